//! JSON lines: one record on each line, read as a stream, plain or compressed by gzip.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use serde::de::DeserializeOwned;

use super::{DataError, RecordError};

/// The longest line that is read, bytes. A file without line ends (or a small gzip file that unpacks into one) would
/// otherwise fill the memory.
pub const MAX_LINE_BYTES: usize = 16 << 20;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The records of a JSON lines file, each with its line number (from 1), as an iterator.
///
/// gzip is recognised by its first bytes, whatever the file's name; a byte order mark and blank lines are skipped. The
/// iterator ends after its first error.
pub struct JsonLines<T> {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    buffer: Vec<u8>,
    line: usize,
    done: bool,
    record: PhantomData<T>,
}

impl<T: DeserializeOwned> JsonLines<T> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`DataError::Open`].
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let reader = open_plain_or_gzip(path).map_err(|cause| DataError::Open { path: path.to_owned(), cause })?;
        Ok(JsonLines { path: path.to_owned(), reader, buffer: Vec::new(), line: 0, done: false, record: PhantomData })
    }

    /// Reads all records, passing each through `check`, whose error gets the record's path and line.
    ///
    /// # Errors
    /// The first error of reading or of `check`.
    pub fn read_all<U>(path: &Path, check: impl Fn(T) -> Result<U, RecordError>) -> Result<Vec<U>, DataError> {
        let mut records = Vec::new();
        for item in JsonLines::<T>::open(path)? {
            let (line, record) = item?;
            let record = check(record);
            records.push(record.map_err(|problem| DataError::Record { path: path.to_owned(), line, problem })?);
        }
        Ok(records)
    }

    /// Reads the next line into the buffer; false at the end of the file.
    fn read_line(&mut self) -> Result<bool, DataError> {
        self.line += 1;
        self.buffer.clear();
        // One byte more than allowed tells a line of the greatest length from a longer one.
        let mut limited = self.reader.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        let (path, line) = (&self.path, self.line);
        limited.read_until(b'\n', &mut self.buffer).map_err(|cause| DataError::Read {
            path: path.clone(),
            line,
            cause,
        })?;
        if self.buffer.len() > MAX_LINE_BYTES {
            return Err(DataError::LineTooLong { path: path.clone(), line, limit: MAX_LINE_BYTES });
        }
        Ok(!self.buffer.is_empty())
    }

    fn next_record(&mut self) -> Result<Option<(usize, T)>, DataError> {
        while self.read_line()? {
            let mark =
                if self.line == 1 && self.buffer.starts_with(&BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
            let bytes = &self.buffer[mark..];
            if !bytes.trim_ascii().is_empty() {
                return parse(bytes, &self.path, self.line).map(|record| Some((self.line, record)));
            }
        }
        Ok(None)
    }
}

impl<T: DeserializeOwned> Iterator for JsonLines<T> {
    type Item = Result<(usize, T), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.next_record().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

fn open_plain_or_gzip(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let compressed = magic == GZIP_MAGIC;
    // Given back to the front instead of seeking, so that pipes can be read too.
    let whole = BufReader::new(Cursor::new(magic).chain(file));
    Ok(if compressed { Box::new(BufReader::new(MultiGzDecoder::new(whole))) } else { Box::new(whole) })
}

fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path, line: usize) -> Result<T, DataError> {
    let text = std::str::from_utf8(bytes).map_err(|error| DataError::NotUtf8 {
        path: path.to_owned(),
        line,
        column: error.valid_up_to() + 1,
    })?;
    serde_json::from_str(text).map_err(|error| {
        // The parser saw one line and calls it line 1, which would contradict the file's line number.
        let position = format!(" at line {} column {}", error.line(), error.column());
        let message = error.to_string();
        let problem = message.strip_suffix(&position).unwrap_or(&message).to_owned();
        DataError::Json { path: path.to_owned(), line, column: error.column(), problem }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug, PartialEq)]
    struct Row {
        n: u32,
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The rows as `(line, n)`, or the error's message without the folder.
    fn read(bytes: &[u8]) -> Result<Vec<(usize, u32)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        std::fs::write(&path, bytes).unwrap();
        let rows: Result<Vec<_>, _> = JsonLines::<Row>::open(&path).unwrap().collect();
        let folder = format!("{}/", dir.path().display());
        rows.map(|rows| rows.into_iter().map(|(line, row)| (line, row.n)).collect())
            .map_err(|error| error.to_string().replace(&folder, ""))
    }

    #[test]
    fn reads_lines_and_counts_blank_ones() {
        assert_eq!(read(b"{\"n\":1}\n\n  \r\n{\"n\":2}\r\n{\"n\":3}"), Ok(vec![(1, 1), (4, 2), (5, 3)]));
        assert_eq!(read(b""), Ok(vec![]));
        assert_eq!(read(b"\n\n"), Ok(vec![]));
    }

    #[test]
    fn skips_a_byte_order_mark_of_the_first_line_only() {
        assert_eq!(read(b"\xef\xbb\xbf{\"n\":1}\n"), Ok(vec![(1, 1)]));
        assert!(read(b"{\"n\":1}\n\xef\xbb\xbf{\"n\":1}\n").unwrap_err().starts_with("rows.jsonl:2: "));
    }

    #[test]
    fn reads_gzip_of_several_members_whatever_the_name() {
        let members = [gzip(b"{\"n\":1}\n{\"n\""), gzip(b":2}\n")].concat();
        assert_eq!(read(&members), Ok(vec![(1, 1), (2, 2)]));
    }

    #[test]
    fn a_truncated_gzip_file_is_an_error_at_the_line_it_broke_off() {
        // Stored without compression, so that the first line is in the part that is left.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(&b"{\"n\":1}\n".repeat(4)).unwrap();
        let whole = encoder.finish().unwrap();
        let error = read(&whole[..whole.len() - 20]).unwrap_err();
        assert!(error.starts_with("rows.jsonl:3: cannot be read on: "), "{error}");
    }

    #[test]
    fn a_bad_record_is_named_by_its_line_and_column() {
        let error = read(b"{\"n\":1}\n{\"n\":x}\n").unwrap_err();
        assert_eq!(error, "rows.jsonl:2: not the JSON record expected here: expected value (column 6)");
        let error = read(b"{\"m\":1}\n").unwrap_err();
        assert_eq!(error, "rows.jsonl:1: not the JSON record expected here: missing field `n` (column 7)");
        let error = read(b"{\"n\":1} {\"n\":2}\n").unwrap_err();
        assert_eq!(error, "rows.jsonl:1: not the JSON record expected here: trailing characters (column 9)");
    }

    #[test]
    fn invalid_utf8_is_named_by_its_line_and_byte() {
        let error = read(b"{\"n\":1}\n\n{\"\xff\":1}\n").unwrap_err();
        assert_eq!(error, "rows.jsonl:3: byte 3 is not UTF-8: store the file as UTF-8, plain or compressed by gzip");
    }

    #[test]
    fn a_line_beyond_the_limit_is_refused_even_from_a_small_gzip_file() {
        let mut longest = b"{\"n\":1}".to_vec();
        longest.resize(MAX_LINE_BYTES - 1, b' ');
        longest.push(b'\n');
        assert_eq!(read(&gzip(&longest)), Ok(vec![(1, 1)]));
        longest.insert(7, b' ');
        assert_eq!(
            read(&gzip(&longest)).unwrap_err(),
            "rows.jsonl:1: longer than 16777216 bytes: put one JSON record on each line"
        );
    }

    #[test]
    fn nothing_follows_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        std::fs::write(&path, "[\n{\"n\":1}\n").unwrap();
        let mut rows = JsonLines::<Row>::open(&path).unwrap();
        assert!(rows.next().unwrap().is_err());
        assert!(rows.next().is_none());
    }

    #[test]
    fn a_missing_file_and_a_folder_cannot_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("absent.jsonl"), dir.path().to_owned()] {
            let error = JsonLines::<Row>::open(&path).err().unwrap();
            assert!(error.to_string().starts_with(&format!("{}: cannot be opened: ", path.display())), "{error}");
        }
    }
}
