//! Records on disk, drawn at random.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of an index entry: where a record begins (u64), how long it is (u32), and of which part it
/// is (u32).
const ENTRY: usize = 16;

/// Bytes of index entries that are gathered for a part before they are written.
const GATHERED: usize = 64 * ENTRY;

/// Takes records one by one, each of a part that is known by its number.
pub(super) struct SpoolWriter<T> {
    records: BufWriter<File>,
    index: BufWriter<File>,
    end: u64,
    counts: Vec<u64>,
    buffer: Vec<u8>,
    record: PhantomData<T>,
}

/// Records of several parts in two files without names, which vanish with the process. What is kept
/// in memory does not grow with them.
#[derive(Debug)]
pub(super) struct Spool<T> {
    records: File,
    /// An entry for each record, part after part.
    index: File,
    /// The first entry of each part.
    firsts: Vec<u64>,
    buffer: Vec<u8>,
    record: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> SpoolWriter<T> {
    pub fn new() -> io::Result<Self> {
        let file = || Ok::<_, io::Error>(BufWriter::with_capacity(1 << 16, tempfile::tempfile()?));
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
        self.index.write_all(&entry(self.end, length, part as u32))?;
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
        let index = if firsts.len() > 1 { by_part(index, &firsts)? } else { index };
        Ok(Spool { records, index, firsts, buffer: self.buffer, record: PhantomData })
    }
}

impl<T: DeserializeOwned> Spool<T> {
    /// Record `index` of a part.
    pub fn get(&mut self, part: usize, index: usize) -> io::Result<T> {
        let mut entry = [0; ENTRY];
        read_at(&self.index, (self.firsts[part] + index as u64) * ENTRY as u64, &mut entry)?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = entry;
        let (start, length) =
            (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]));
        self.buffer.resize(length as usize, 0);
        read_at(&self.records, start, &mut self.buffer)?;
        postcard::from_bytes(&self.buffer).map_err(io::Error::other)
    }
}

fn entry(start: u64, length: u32, part: u32) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..8].copy_from_slice(&start.to_le_bytes());
    entry[8..12].copy_from_slice(&length.to_le_bytes());
    entry[12..].copy_from_slice(&part.to_le_bytes());
    entry
}

/// The same entries, those of part 0 first: a counting sort from file to file.
fn by_part(mut unsorted: File, firsts: &[u64]) -> io::Result<File> {
    let mut sorted = tempfile::tempfile()?;
    let mut next: Vec<u64> = firsts.iter().map(|first| first * ENTRY as u64).collect();
    let mut gathered: Vec<Vec<u8>> = vec![Vec::new(); firsts.len()];
    let mut write = |entries: &mut Vec<u8>, next: &mut u64| {
        sorted.seek(SeekFrom::Start(*next))?;
        *next += entries.len() as u64;
        let result = sorted.write_all(entries);
        entries.clear();
        result
    };
    unsorted.rewind()?;
    let mut reader = io::BufReader::with_capacity(1 << 16, unsorted);
    let mut entry = [0; ENTRY];
    while io::BufRead::fill_buf(&mut reader)?.len() >= ENTRY {
        reader.read_exact(&mut entry)?;
        let [.., a, b, c, d] = entry;
        let part = u32::from_le_bytes([a, b, c, d]) as usize;
        gathered[part].extend_from_slice(&entry);
        if gathered[part].len() >= GATHERED {
            write(&mut gathered[part], &mut next[part])?;
        }
    }
    gathered.iter_mut().zip(&mut next).try_for_each(|(entries, next)| write(entries, next))?;
    Ok(sorted)
}

/// Fills `buffer` from the file's bytes after `start`.
#[cfg(unix)]
pub fn read_at(file: &File, start: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, start)
}

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
        fn records_come_back_by_part(records in prop::collection::vec((0usize..5, ".{0,9}"), 0..400)) {
            let mut writer = SpoolWriter::new().unwrap();
            for (part, record) in &records {
                writer.push(*part, record).unwrap();
            }
            let counts = writer.counts().to_vec();
            let mut spool = writer.finish().unwrap();
            for (part, &count) in counts.iter().enumerate() {
                let expected: Vec<&String> = records.iter().filter(|(p, _)| *p == part).map(|(_, r)| r).collect();
                prop_assert_eq!(count as usize, expected.len());
                for (index, record) in expected.into_iter().enumerate().rev() {
                    prop_assert_eq!(&spool.get(part, index).unwrap(), record);
                }
            }
        }
    }
}
