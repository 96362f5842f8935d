//! The teacher's outputs on disk, so that they are computed once: a file of TFRecords for each teacher
//! and each kind of output.
//!
//! The first record says what the file is. Each of the others is a sentence:
//!
//! ```text
//! the first 16 bytes of the SHA-256 of its words | number of words, u32
//! | a byte for each word: 1 if it has a row | rows [m, D], bfloat16
//! ```
//!
//! Records are only ever appended, and under a lock, so that several runs may share the file. A record
//! that is incomplete, because a process was killed or a disk was full, is cut off before the next one
//! is appended; a damaged record counts as missing.

use super::teacher::{Teacher, TeacherOutput};
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

/// A teacher whose outputs are cached, if a directory for them is given.
pub(super) struct CachedTeacher<'a> {
    teacher: &'a Teacher,
    cache: Option<Cache>,
}

impl<'a> CachedTeacher<'a> {
    /// Caches the outputs in the directory, if one is given.
    pub(super) fn new(teacher: &'a Teacher, directory: Option<&Path>) -> Result<Self> {
        let open = |directory| Cache::open(directory, &teacher.description(), teacher.width());
        Ok(Self { teacher, cache: directory.map(open).transpose()? })
    }

    /// D, the width of an output.
    pub(super) fn width(&self) -> usize {
        self.teacher.width()
    }

    /// The output for the words of each sentence.
    pub(super) fn infer(&mut self, sentences: &[&[String]]) -> Result<Vec<TeacherOutput>> {
        let Some(cache) = &mut self.cache else { return Ok(self.teacher.infer(sentences)) };
        let mut known: Vec<_> = sentences.iter().map(|words| cache.get(words)).collect();
        let missing: Vec<usize> = (0..known.len()).filter(|&s| known[s].is_none()).collect();
        if !missing.is_empty() {
            let sentences: Vec<&[String]> = missing.iter().map(|&s| sentences[s]).collect();
            let outputs = self.teacher.infer(&sentences);
            cache.append(sentences.into_iter().zip(&outputs))?;
            missing.into_iter().zip(outputs).for_each(|(s, output)| known[s] = Some(output));
        }
        Ok(known.into_iter().flatten().collect())
    }
}

/// Bytes of a record around its payload: length and its checksum before, the payload's checksum
/// after.
const BEFORE: u64 = 12;
const AFTER: u64 = 4;

type Key = [u8; 16];

/// An open file.
struct Cache {
    path: PathBuf,
    file: File,
    /// The first record.
    header: Vec<u8>,
    /// Numbers of a row.
    width: usize,
    /// Where the record of a sentence begins, and its length.
    records: HashMap<Key, (u64, u64)>,
    /// Everything before is known.
    end: u64,
}

impl Cache {
    /// The file in `directory` for outputs of this description, with rows of `width` numbers.
    fn open(directory: &Path, description: &str, width: usize) -> Result<Self> {
        fs::create_dir_all(directory).map_err(EncoderError::io(directory))?;
        let name = hex(&Sha256::digest(description)[..16]);
        let path = directory.join(format!("{name}.teacher"));
        // A link may lead to a file that is not ours, a pipe to nothing.
        if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file()) {
            let refusal =
                io::Error::new(io::ErrorKind::InvalidInput, "it is a link or no regular file");
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
        cache.locked(|_| Ok(()))?;
        Ok(cache)
    }

    /// The output for a sentence, if it is cached.
    fn get(&self, words: &[String]) -> Option<TeacherOutput> {
        let key = key(words);
        let &(start, length) = self.records.get(&key)?;
        let mut record = vec![0; usize::try_from(length).ok()?];
        read_at(&self.file, start, &mut record).ok()?;
        let (payload, _) = tfrecord::read(&record)?;
        let (found, output) = payload.split_first_chunk()?;
        (*found == key)
            .then(|| decode(output, self.width))?
            .filter(|output| output.present.len() == words.len())
    }

    /// Appends the outputs for sentences.
    fn append<'s>(
        &mut self,
        outputs: impl Iterator<Item = (&'s [String], &'s TeacherOutput)>,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        for (words, output) in outputs {
            // Memory takes all that is written to it.
            let _ = tfrecord::write(&mut bytes, &encode(&key(words), output));
        }
        self.locked(|cache| {
            cache.file.seek(SeekFrom::Start(cache.end))?;
            cache.file.write_all(&bytes)?;
            cache.scan()
        })
    }

    /// Reads what other processes have appended, cuts off an incomplete record, and then does
    /// `work`, all under the lock.
    fn locked(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<()> {
        // Some network file systems have no locks: then records of several processes may damage
        // each other, which their checksums show.
        let _ = self.file.lock();
        let done = self.begin().and_then(|()| self.scan()).and_then(|()| work(self));
        let _ = self.file.unlock();
        Ok(done.map_err(EncoderError::io(&self.path))?)
    }

    /// Checks the first record, or writes it, and that the file is not shorter than it was.
    fn begin(&mut self) -> io::Result<()> {
        let mut header = vec![0; self.header.len()];
        let known = read_at(&self.file, 0, &mut header).is_ok() && header == self.header;
        if !known {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(&self.header)?;
        }
        if !known || self.end == 0 || self.file.metadata()?.len() < self.end {
            self.records.clear();
            self.end = self.header.len() as u64;
        }
        Ok(())
    }

    /// Indexes the records after those known, and cuts the file off after the last complete one.
    fn scan(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        while let Some((key, record)) = self.record_at(self.end, length) {
            self.records.insert(key, (self.end, record));
            self.end += record;
        }
        if self.end < length { self.file.set_len(self.end) } else { Ok(()) }
    }

    /// The key and the length of the record that begins at `start` in the file of `length` bytes,
    /// if it does and is not longer than that.
    fn record_at(&self, start: u64, length: u64) -> Option<(Key, u64)> {
        let mut head = [0; BEFORE as usize + size_of::<Key>()];
        read_at(&self.file, start, &mut head).ok()?;
        let payload = tfrecord::length(&head)?;
        let record = payload.checked_add(BEFORE + AFTER)?;
        (start.checked_add(record)? <= length).then_some((*head.last_chunk()?, record))
    }
}

fn key(words: &[String]) -> Key {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    let digest: [u8; 32] = hash.finalize().into();
    *digest.first_chunk().unwrap_or(&[0; 16])
}

fn encode(key: &Key, output: &TeacherOutput) -> Vec<u8> {
    let mut payload = key.to_vec();
    payload.extend((output.present.len() as u32).to_le_bytes());
    payload.extend(output.present.iter().map(|&present| u8::from(present)));
    payload.extend(output.rows.iter().flat_map(|x| x.to_bits().to_le_bytes()));
    payload
}

/// The inverse of [`encode`]; `None` where the lengths do not agree.
fn decode(payload: &[u8], width: usize) -> Option<TeacherOutput> {
    let (words, rest) = payload.split_first_chunk()?;
    let (present, rows) = rest.split_at_checked(u32::from_le_bytes(*words) as usize)?;
    let present: Vec<bool> = present.iter().map(|&byte| byte == 1).collect();
    let rows: Vec<Bf16> =
        rows.as_chunks().0.iter().map(|&bits| Bf16::from_bits(u16::from_le_bytes(bits))).collect();
    let count = present.iter().filter(|&&present| present).count();
    (rows.len() == count * width).then_some(TeacherOutput { present, rows })
}
