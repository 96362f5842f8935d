//! A cache of the teacher's outputs on disk: a file of TFRecords for each teacher and each kind of
//! output.
//!
//! The first record is a header that describes the teacher and its output. Each other record is a
//! sentence:
//!
//! ```text
//! the first 16 bytes of the SHA-256 of its words | number of words, u32
//! | a byte for each word: 1 if it has a row | rows [m, D], bfloat16
//! ```
//!
//! For a teacher of text vectors each text is a sentence of one word.
//!
//! Records are only appended, under a lock, so that several runs may share the file. An incomplete
//! record, from a process that was killed or a disk that was full, is truncated before the next one
//! is appended. A damaged record counts as missing.

use super::{Teach, TeacherOutput};
use crate::error::Result;
use crate::tfrecord;
use espalier_data::read_at;
use espalier_encoder::EncoderError;
use espalier_encoder::digest::hex;
use espalier_kernels::Bf16;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A teacher, and the cache of its outputs if there is a directory for it.
pub(crate) struct CachedTeacher<'a, T> {
    teacher: &'a T,
    cache: Option<Cache>,
}

impl<'a, T: Teach> CachedTeacher<'a, T> {
    /// Opens the cache in a directory, if one is given.
    pub(crate) fn new(teacher: &'a T, directory: Option<&Path>) -> Result<Self> {
        let open = |directory| Cache::open(directory, &teacher.description(), teacher.width());
        Ok(Self { teacher, cache: directory.map(open).transpose()? })
    }

    /// D, the width of an output.
    pub(crate) fn width(&self) -> usize {
        self.teacher.width()
    }

    /// The output for each input.
    pub(crate) fn infer(&mut self, inputs: &[&T::Input]) -> Result<Vec<TeacherOutput>> {
        let Some(cache) = &mut self.cache else { return Ok(self.teacher.infer(inputs)) };
        let mut known: Vec<_> = inputs.iter().map(|input| cache.get(&T::words(input))).collect();
        let missing: Vec<usize> = (0..known.len()).filter(|&i| known[i].is_none()).collect();
        if !missing.is_empty() {
            let inputs: Vec<&T::Input> = missing.iter().map(|&i| inputs[i]).collect();
            let outputs = self.teacher.infer(&inputs);
            cache.append(inputs.into_iter().map(T::words).zip(&outputs))?;
            missing.into_iter().zip(outputs).for_each(|(i, output)| known[i] = Some(output));
        }
        Ok(known.into_iter().flatten().collect())
    }
}

/// The bytes of a record before its payload: the length and its checksum.
const BEFORE: u64 = 12;
/// The bytes of a record after its payload: the checksum.
const AFTER: u64 = 4;

/// The first 16 bytes of the SHA-256 of a sentence's words.
type Key = [u8; 16];

/// An open cache file.
struct Cache {
    path: PathBuf,
    file: File,
    /// The header record.
    header: Vec<u8>,
    /// D, the numbers of a row.
    width: usize,
    /// The offset and length of each sentence's record.
    records: HashMap<Key, (u64, u64)>,
    /// The end of the records that are indexed.
    end: u64,
}

impl Cache {
    /// Opens the file for outputs with this description and rows of `width` numbers.
    fn open(directory: &Path, description: &str, width: usize) -> Result<Self> {
        fs::create_dir_all(directory).map_err(EncoderError::io(directory))?;
        let name = hex(&Sha256::digest(description)[..16]);
        let path = directory.join(format!("{name}.teacher"));
        // Opening a symbolic link could overwrite another file, opening a pipe could block.
        if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            let refusal = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
            return Err(EncoderError::io(&path)(refusal).into());
        }
        let options =
            File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut header = Vec::new();
        let written =
            tfrecord::write(&mut header, format!("espalier teacher 1\n{description}\n").as_bytes());
        let file =
            options.and_then(|file| written.map(|()| file)).map_err(EncoderError::io(&path))?;
        let mut cache = Self { path, file, header, width, records: HashMap::new(), end: 0 };
        cache.with_lock(|_| Ok(()))?;
        Ok(cache)
    }

    /// The output for a sentence, if it is cached.
    fn get(&self, words: &[&str]) -> Option<TeacherOutput> {
        let key = key(words);
        let &(offset, length) = self.records.get(&key)?;
        let mut record = vec![0; usize::try_from(length).ok()?];
        read_at(&self.file, offset, &mut record).ok()?;
        let (payload, _) = tfrecord::read(&record)?;
        let (found, output) = payload.split_first_chunk()?;
        (*found == key)
            .then(|| decode(output, self.width))?
            .filter(|output| output.present.len() == words.len())
    }

    /// Appends the outputs for sentences.
    fn append<'s>(
        &mut self,
        outputs: impl Iterator<Item = (Vec<&'s str>, &'s TeacherOutput)>,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        for (words, output) in outputs {
            // Writing to a Vec cannot fail.
            let _ = tfrecord::write(&mut bytes, &encode(&key(&words), output));
        }
        self.with_lock(|cache| {
            cache.file.seek(SeekFrom::Start(cache.end))?;
            cache.file.write_all(&bytes)?;
            cache.scan()
        })
    }

    /// Takes the lock, indexes what other processes have appended, truncates an incomplete record,
    /// and runs `work`.
    fn with_lock(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<()> {
        // Some network file systems have no locks. There, processes that write at the same time may
        // damage each other's records, and the checksums detect it.
        let _ = self.file.lock();
        let result = self.check_header().and_then(|()| self.scan()).and_then(|()| work(self));
        let _ = self.file.unlock();
        Ok(result.map_err(EncoderError::io(&self.path))?)
    }

    /// Checks the header. Starts over with an empty file if it is missing or different, and with an
    /// empty index if the file has become shorter.
    fn check_header(&mut self) -> io::Result<()> {
        let mut header = vec![0; self.header.len()];
        let matches = read_at(&self.file, 0, &mut header).is_ok() && header == self.header;
        if !matches {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(&self.header)?;
        }
        if !matches || self.end == 0 || self.file.metadata()?.len() < self.end {
            self.records.clear();
            self.end = self.header.len() as u64;
        }
        Ok(())
    }

    /// Indexes the records after `end`, and truncates the file after the last complete one.
    fn scan(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        while let Some((key, record)) = self.record_at(self.end, length) {
            self.records.insert(key, (self.end, record));
            self.end += record;
        }
        if self.end < length { self.file.set_len(self.end) } else { Ok(()) }
    }

    /// The key and the length of the record at an offset of the file, which has `file_length`
    /// bytes; `None` if there is no complete record.
    fn record_at(&self, offset: u64, file_length: u64) -> Option<(Key, u64)> {
        let mut start = [0; BEFORE as usize + size_of::<Key>()];
        read_at(&self.file, offset, &mut start).ok()?;
        let payload = tfrecord::length(&start)?;
        let record = payload.checked_add(BEFORE + AFTER)?;
        (offset.checked_add(record)? <= file_length).then_some((*start.last_chunk()?, record))
    }
}

/// The key of a sentence, given as its words.
fn key(words: &[&str]) -> Key {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    let digest: [u8; 32] = hash.finalize().into();
    *digest.first_chunk().unwrap_or(&[0; 16])
}

/// The payload of a record.
fn encode(key: &Key, output: &TeacherOutput) -> Vec<u8> {
    let mut payload = key.to_vec();
    payload.extend((output.present.len() as u32).to_le_bytes());
    payload.extend(output.present.iter().map(|&present| u8::from(present)));
    payload.extend(output.rows.iter().flat_map(|x| x.to_bits().to_le_bytes()));
    payload
}

/// The inverse of [`encode`], without the key; `None` if the lengths are inconsistent.
fn decode(payload: &[u8], width: usize) -> Option<TeacherOutput> {
    let (words, rest) = payload.split_first_chunk()?;
    let (present, rows) = rest.split_at_checked(u32::from_le_bytes(*words) as usize)?;
    let present: Vec<bool> = present.iter().map(|&byte| byte == 1).collect();
    let rows: Vec<Bf16> =
        rows.as_chunks().0.iter().map(|&bits| Bf16::from_bits(u16::from_le_bytes(bits))).collect();
    let count = present.iter().filter(|&&present| present).count();
    (rows.len() == count * width).then_some(TeacherOutput { present, rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A teacher that counts the texts that it has read. Its output for a text is its length.
    #[derive(Default)]
    struct Counting {
        texts: Cell<usize>,
    }

    impl Teach for Counting {
        type Input = str;

        fn words(text: &str) -> Vec<&str> {
            vec![text]
        }

        fn description(&self) -> String {
            "counting".into()
        }

        fn width(&self) -> usize {
            1
        }

        fn infer(&self, texts: &[&str]) -> Vec<TeacherOutput> {
            self.texts.set(self.texts.get() + texts.len());
            let rows = |text: &&str| vec![Bf16::from_f32(text.len() as f32)];
            let output = |text| TeacherOutput { present: vec![true], rows: rows(text) };
            texts.iter().map(output).collect()
        }
    }

    #[test]
    fn only_texts_that_are_not_in_the_cache_run_through_the_teacher() {
        let (directory, teacher) = (tempfile::tempdir().unwrap(), Counting::default());
        let infer = |texts: &[&str]| {
            let mut cached = CachedTeacher::new(&teacher, Some(directory.path())).unwrap();
            cached.infer(texts).unwrap()
        };
        let first = infer(&["one", "three"]);
        assert_eq!(teacher.texts.get(), 2);
        assert_eq!(infer(&["one", "three"]), first);
        assert_eq!(teacher.texts.get(), 2, "a second run does not run the teacher");
        let rows = infer(&["three", "seventeen", "one"]).into_iter().flat_map(|found| found.rows);
        assert_eq!(rows.map(|x| x.to_f32()).collect::<Vec<_>>(), [5.0, 9.0, 3.0]);
        assert_eq!(teacher.texts.get(), 3);
    }
}
