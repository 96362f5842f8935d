//! Numbered lines of UTF-8 text.

use std::io::{BufRead, Read};
use std::iter;
use std::path::{Path, PathBuf};

use super::compression::{self, Compression, Reader};
use super::format::{Numbered, Records};
use super::limits::MAX_LINE_BYTES;
use crate::error::DataError;

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The lines of a file. After a line that is not UTF-8 the next one can be read; after any other
/// error nothing follows.
pub(super) struct Lines {
    pub path: PathBuf,
    /// Number of the last line read, from 1.
    pub line: usize,
    compression: Compression,
    reader: Reader,
    buffer: Vec<u8>,
    /// Whether reading failed, so that nothing can follow.
    failed: bool,
    /// Bytes of the lines skipped since the last one used.
    skipped: usize,
}

/// Opens a file of lines as records; `next_record` reads as many lines as the next record has.
pub(super) fn records<F>(path: &Path, mut next_record: F) -> Result<Records, DataError>
where
    F: FnMut(&mut Lines) -> Result<Option<Numbered>, DataError> + Send + 'static,
{
    let mut lines = Lines::open(path)?;
    let compression = lines.compression;
    let records = iter::from_fn(move || next_record(&mut lines).transpose());
    Ok(Records::new(path, compression, records))
}

impl Lines {
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (reader, compression) = compression::open(path)
            .map_err(|cause| DataError::Open { path: path.to_owned(), cause })?;
        Ok(Self {
            path: path.to_owned(),
            line: 0,
            compression,
            reader,
            buffer: Vec::new(),
            failed: false,
            skipped: 0,
        })
    }

    /// The next line without its line end, or nothing at the end of the file.
    pub fn next_line(&mut self) -> Result<Option<&str>, DataError> {
        if self.failed || !self.fill()? {
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

    /// Counts the last line as skipped: blank or a comment.
    ///
    /// # Errors
    /// After [`MAX_LINE_BYTES`] of such lines in a row: a small compressed file may hold nothing
    /// else for hours.
    pub fn skip(&mut self) -> Result<(), DataError> {
        self.skipped += self.buffer.len();
        if self.skipped <= MAX_LINE_BYTES {
            return Ok(());
        }
        self.failed = true;
        Err(DataError::NothingThere {
            path: self.path.clone(),
            line: self.line,
            limit: MAX_LINE_BYTES,
        })
    }

    /// Counts the last line as part of a record.
    pub fn used(&mut self) {
        self.skipped = 0;
    }

    /// Reads the next line into the buffer; false at the end of the file.
    fn fill(&mut self) -> Result<bool, DataError> {
        self.line += 1;
        self.buffer.clear();
        self.failed = true; // Until the line is complete.
        // One byte more than allowed tells a line of the greatest length from a longer one.
        let mut limited = self.reader.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        let (path, line) = (&self.path, self.line);
        let read = limited.read_until(b'\n', &mut self.buffer);
        read.map_err(|cause| DataError::Read { path: path.clone(), line, cause })?;
        if self.buffer.len() > MAX_LINE_BYTES {
            return Err(DataError::LineTooLong { path: path.clone(), line, limit: MAX_LINE_BYTES });
        }
        self.failed = false;
        Ok(!self.buffer.is_empty())
    }
}
