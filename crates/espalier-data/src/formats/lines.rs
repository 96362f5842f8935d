//! Numbered lines of UTF-8 text.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use super::bytes::{self, Compression, Reader};
use crate::DataError;

/// The longest line or record that is read, bytes. A file without line ends (or a small compressed
/// file that unpacks into one) would otherwise fill the memory.
pub const MAX_LINE_BYTES: usize = 16 << 20;

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The lines of a file. After a line that is not text the next one can be read; after any other
/// error nothing follows.
pub(super) struct Lines {
    pub path: PathBuf,
    pub compression: Compression,
    /// Number of the last line read, from 1.
    pub line: usize,
    reader: Reader,
    buffer: Vec<u8>,
    broken: bool,
    /// Bytes of the lines passed over since the last that was of use.
    passed: usize,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (reader, compression) =
            bytes::open(path).map_err(|cause| DataError::Open { path: path.to_owned(), cause })?;
        Ok(Self {
            path: path.to_owned(),
            compression,
            line: 0,
            reader,
            buffer: Vec::new(),
            broken: false,
            passed: 0,
        })
    }

    /// The next line without its end, or nothing at the end of the file.
    pub fn next(&mut self) -> Result<Option<&str>, DataError> {
        if self.broken || !self.fill()? {
            return Ok(None);
        }
        let bytes = match self.buffer.strip_prefix(&BYTE_ORDER_MARK) {
            Some(rest) if self.line == 1 => rest,
            _ => &self.buffer,
        };
        let text = std::str::from_utf8(bytes).map_err(|error| DataError::NotUtf8 {
            path: self.path.clone(),
            line: self.line,
            column: error.valid_up_to() + 1,
        })?;
        Ok(Some(
            text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line)),
        ))
    }

    /// Counts the last line as one of no use, blank or a comment.
    ///
    /// # Errors
    /// After [`MAX_LINE_BYTES`] of such lines: a small compressed file may hold nothing else for
    /// hours.
    pub fn pass(&mut self) -> Result<(), DataError> {
        self.passed += self.buffer.len();
        if self.passed <= MAX_LINE_BYTES {
            return Ok(());
        }
        self.broken = true;
        Err(DataError::NothingThere {
            path: self.path.clone(),
            line: self.line,
            limit: MAX_LINE_BYTES,
        })
    }

    /// Counts the last line as one of use.
    pub fn used(&mut self) {
        self.passed = 0;
    }

    /// Reads the next line into the buffer; false at the end of the file.
    fn fill(&mut self) -> Result<bool, DataError> {
        self.line += 1;
        self.buffer.clear();
        self.broken = true; // Until this line is read whole.
        // One byte more than allowed tells a line of the greatest length from a longer one.
        let mut limited = self.reader.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        let (path, line) = (&self.path, self.line);
        let read = limited.read_until(b'\n', &mut self.buffer);
        read.map_err(|cause| DataError::Read { path: path.clone(), line, cause })?;
        if self.buffer.len() > MAX_LINE_BYTES {
            return Err(DataError::LineTooLong { path: path.clone(), line, limit: MAX_LINE_BYTES });
        }
        self.broken = false;
        Ok(!self.buffer.is_empty())
    }
}
