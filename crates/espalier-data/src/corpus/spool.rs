//! Records in temporary files, for random access.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::DataError;

const BUFFER_BYTES: usize = 1 << 16;

/// Bytes of index entries that are gathered for a part before they are written.
const GATHERED_BYTES: usize = 64 * Entry::BYTES;

/// Takes records one by one, each with the number of its part.
pub(super) struct SpoolWriter<T> {
    records: BufWriter<File>,
    index: BufWriter<File>,
    end: u64,
    counts: Vec<u64>,
    buffer: Vec<u8>,
    record: PhantomData<T>,
}

/// Records of several parts in two unnamed files, which the operating system removes with the
/// process. Memory does not grow with the number of records.
#[derive(Debug)]
pub(super) struct Spool<T> {
    records: File,
    /// An entry for each record, sorted by part.
    index: File,
    /// The first entry of each part.
    firsts: Vec<u64>,
    buffer: Vec<u8>,
    record: PhantomData<T>,
}

/// Where a record is.
#[derive(Clone, Copy)]
struct Entry {
    start: u64,
    length: u32,
    part: u32,
}

impl Entry {
    const BYTES: usize = 16;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let Self { start, length, part } = self;
        (u128::from(start) | u128::from(length) << 64 | u128::from(part) << 96).to_le_bytes()
    }

    fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let packed = u128::from_le_bytes(bytes);
        Self { start: packed as u64, length: (packed >> 64) as u32, part: (packed >> 96) as u32 }
    }
}

impl<T: Serialize + DeserializeOwned> SpoolWriter<T> {
    pub fn new() -> io::Result<Self> {
        let file =
            || Ok::<_, io::Error>(BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile()?));
        let (records, index) = (file()?, file()?);
        Ok(Self {
            records,
            index,
            end: 0,
            counts: Vec::new(),
            buffer: Vec::new(),
            record: PhantomData,
        })
    }

    pub fn push(&mut self, part: usize, record: &T) -> io::Result<()> {
        self.buffer.clear();
        self.buffer = postcard::to_extend(record, std::mem::take(&mut self.buffer))
            .map_err(io::Error::other)?;
        self.records.write_all(&self.buffer)?;
        let too_large = |_| io::Error::other("a record of 4 GiB or more");
        let length = u32::try_from(self.buffer.len()).map_err(too_large)?;
        let entry = Entry { start: self.end, length, part: part as u32 };
        self.index.write_all(&entry.to_bytes())?;
        self.end += u64::from(length);
        if part >= self.counts.len() {
            self.counts.resize(part + 1, 0);
        }
        self.counts[part] += 1;
        Ok(())
    }

    /// Number of records of each part.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    pub fn finish(self) -> io::Result<Spool<T>> {
        let (records, index) = (self.records.into_inner()?, self.index.into_inner()?);
        let starts =
            self.counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count)));
        let firsts: Vec<u64> = starts.collect();
        let index = if firsts.len() > 1 { sort_by_part(index, &firsts)? } else { index };
        Ok(Spool { records, index, firsts, buffer: self.buffer, record: PhantomData })
    }
}

impl<T: DeserializeOwned> Spool<T> {
    /// Record `index` of a part.
    pub fn get(&mut self, part: usize, index: usize) -> io::Result<T> {
        let mut entry = [0; Entry::BYTES];
        let place = (self.firsts[part] + index as u64) * Entry::BYTES as u64;
        read_at(&self.index, place, &mut entry)?;
        let Entry { start, length, .. } = Entry::from_bytes(entry);
        self.buffer.resize(length as usize, 0);
        read_at(&self.records, start, &mut self.buffer)?;
        postcard::from_bytes(&self.buffer).map_err(io::Error::other)
    }
}

/// The same entries, those of part 0 first: a counting sort from file to file.
fn sort_by_part(mut unsorted: File, firsts: &[u64]) -> io::Result<File> {
    let mut sorted = tempfile::tempfile()?;
    let mut next: Vec<u64> = firsts.iter().map(|first| first * Entry::BYTES as u64).collect();
    let mut gathered: Vec<Vec<u8>> = vec![Vec::new(); firsts.len()];
    let mut write = |entries: &mut Vec<u8>, next: &mut u64| {
        sorted.seek(SeekFrom::Start(*next))?;
        *next += entries.len() as u64;
        let result = sorted.write_all(entries);
        entries.clear();
        result
    };
    unsorted.rewind()?;
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, unsorted);
    let mut entry = [0; Entry::BYTES];
    while reader.fill_buf()?.len() >= Entry::BYTES {
        reader.read_exact(&mut entry)?;
        let part = Entry::from_bytes(entry).part as usize;
        gathered[part].extend_from_slice(&entry);
        if gathered[part].len() >= GATHERED_BYTES {
            write(&mut gathered[part], &mut next[part])?;
        }
    }
    gathered.iter_mut().zip(&mut next).try_for_each(|(entries, next)| write(entries, next))?;
    Ok(sorted)
}

/// The error of a spool: its folder is that for temporary files.
pub(super) fn failed(cause: io::Error) -> DataError {
    DataError::Spool { dir: std::env::temp_dir(), cause }
}

/// Fills `buffer` with the file's bytes from `start` on.
#[cfg(unix)]
pub fn read_at(file: &File, start: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, start)
}

/// Fills `buffer` with the file's bytes from `start` on.
#[cfg(not(unix))]
pub fn read_at(mut file: &File, start: u64, buffer: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(buffer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_come_back_by_part(
            records in prop::collection::vec((0usize..5, ".{0,9}"), 0..400)
        ) {
            let mut writer = SpoolWriter::new().unwrap();
            for (part, record) in &records {
                writer.push(*part, record).unwrap();
            }
            let counts = writer.counts().to_vec();
            let mut spool = writer.finish().unwrap();
            for (part, &count) in counts.iter().enumerate() {
                let expected = records.iter().filter(|(p, _)| *p == part).map(|(_, record)| record);
                let expected: Vec<&String> = expected.collect();
                prop_assert_eq!(count as usize, expected.len());
                for (index, record) in expected.into_iter().enumerate().rev() {
                    prop_assert_eq!(&spool.get(part, index).unwrap(), record);
                }
            }
        }
    }
}
