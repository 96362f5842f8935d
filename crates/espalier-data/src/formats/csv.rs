//! CSV and TSV: tables with a header, whose column names become the keys of the records.

use std::io;
use std::path::{Path, PathBuf};

use csv_core::{ReadRecordResult, Reader as Parser, ReaderBuilder};
use serde_json::{Map, Value};

use super::compression::{self, Reader};
use super::format::{Format, Numbered, Records};
use super::limits::{MAX_COLUMNS, MAX_LINE_BYTES};
use crate::error::{DataError, RecordError};

/// Fields are separated by commas, or by semicolons where the header has semicolons and no comma.
/// They may be quoted.
pub(super) const CSV: Format =
    Format { name: "CSV", extensions: &["csv"], open: |path| Table::open(path, Separator::Comma) };

/// Fields are separated by tabs. Quotes have no meaning.
pub(super) const TSV: Format =
    Format { name: "TSV", extensions: &["tsv"], open: |path| Table::open(path, Separator::Tab) };

#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// Or a semicolon.
    Comma,
    Tab,
}

/// A table that is being read, row by row.
struct Table {
    path: PathBuf,
    reader: Reader,
    parser: Parser,
    /// The keys of the records, from the header.
    keys: Vec<String>,
    /// Line ends that were skipped between rows and that the parser has not seen.
    skipped: usize,
    done: bool,
}

impl Table {
    fn open(path: &Path, separator: Separator) -> Result<Records, DataError> {
        let failed = |cause| DataError::Open { path: path.to_owned(), cause };
        let (mut reader, compression) = compression::open(path).map_err(failed)?;
        let tabs = separator == Separator::Tab;
        let delimiter =
            if tabs { b'\t' } else { comma_or_semicolon(reader.fill_buf().map_err(failed)?) };
        let parser = ReaderBuilder::new().delimiter(delimiter).quoting(!tabs).build();
        let (path, keys) = (path.to_owned(), Vec::new());
        let mut table = Self { path, reader, parser, keys, skipped: 0, done: false };
        table.read_header()?;
        Ok(Records::new(&table.path.clone(), compression, table))
    }

    /// Takes the first row as the header: names of columns, which become keys in lower case and
    /// without white space around them.
    fn read_header(&mut self) -> Result<(), DataError> {
        let names = self.next_row()?.map(|(_, names)| names).unwrap_or_default();
        self.keys = names.iter().map(|name| name.trim().to_lowercase()).collect();
        Ok(())
    }

    /// The next row as a record.
    fn next_record(&mut self) -> Result<Option<Numbered>, DataError> {
        let Some((line, fields)) = self.next_row()? else { return Ok(None) };
        if fields.len() != self.keys.len() {
            let problem = RecordError::Columns { header: self.keys.len(), found: fields.len() };
            return Err(DataError::Record { path: self.path.clone(), line, problem });
        }
        let pairs = self.keys.iter().cloned().zip(fields.into_iter().map(Value::String));
        Ok(Some((line, Value::Object(pairs.collect::<Map<_, _>>()))))
    }

    /// The line and the fields of the next row.
    fn next_row(&mut self) -> Result<Option<(usize, Vec<String>)>, DataError> {
        let line = self.skip_blank_lines()?;
        let (mut text, mut ends) = (vec![0; 4096], vec![0; 64]);
        let (mut written, mut fields) = (0, 0);
        let mut beyond = 0; // Fields that are counted only.
        loop {
            let path = &self.path;
            let input = self.reader.fill_buf().map_err(|cause| DataError::Read {
                path: path.clone(),
                line,
                cause,
            })?;
            let (result, read, wrote, ended) =
                self.parser.read_record(input, &mut text[written..], &mut ends[fields..]);
            self.reader.consume(read);
            (written, fields) = (written + wrote, fields + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if written >= MAX_LINE_BYTES => {
                    return Err(DataError::LineTooLong {
                        path: path.clone(),
                        line,
                        limit: MAX_LINE_BYTES,
                    });
                }
                ReadRecordResult::OutputFull => text.resize(2 * text.len(), 0),
                ReadRecordResult::OutputEndsFull if fields >= MAX_COLUMNS => {
                    (beyond, fields) = (beyond + fields, 0);
                }
                ReadRecordResult::OutputEndsFull => ends.resize(2 * ends.len(), 0),
                ReadRecordResult::Record if beyond + fields > MAX_COLUMNS => {
                    let problem =
                        RecordError::TooManyColumns { found: beyond + fields, limit: MAX_COLUMNS };
                    return Err(DataError::Record { path: path.clone(), line, problem });
                }
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        let text = std::str::from_utf8(&text[..written]).map_err(|error| DataError::NotUtf8 {
            path: self.path.clone(),
            line,
            column: error.valid_up_to() + 1,
        })?;
        let starts = std::iter::once(&0).chain(&ends);
        let fields = starts.zip(&ends[..fields]).map(|(&start, &end)| text[start..end].to_owned());
        Ok(Some((line, fields.collect())))
    }

    /// The line of the next row, after blank lines.
    fn skip_blank_lines(&mut self) -> Result<usize, DataError> {
        for _ in 0..MAX_LINE_BYTES {
            let line = self.parser.line() as usize + self.skipped;
            let read = |cause: io::Error| DataError::Read { path: self.path.clone(), line, cause };
            match self.reader.fill_buf().map_err(read)?.first() {
                Some(b'\n') => self.skipped += 1,
                Some(b'\r') => {}
                _ => return Ok(line),
            }
            self.reader.consume(1);
        }
        let line = self.parser.line() as usize + self.skipped;
        Err(DataError::NothingThere { path: self.path.clone(), line, limit: MAX_LINE_BYTES })
    }
}

impl Iterator for Table {
    type Item = Result<Numbered, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.next_record().transpose();
        // Where the next row begins is not known after one that is too long or cannot be read.
        self.done = matches!(
            item,
            None | Some(Err(DataError::Read { .. }
                | DataError::LineTooLong { .. }
                | DataError::NothingThere { .. }))
        );
        item
    }
}

/// The separator of a CSV file, by its header.
fn comma_or_semicolon(beginning: &[u8]) -> u8 {
    let header = beginning.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if header.contains(&b';') && !header.contains(&b',') { b';' } else { b',' }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(name: &str, text: &[u8]) -> Result<Vec<Numbered>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let format = if name.ends_with(".tsv") { TSV } else { CSV };
        let rows: Result<Vec<_>, _> = (format.open)(&path).and_then(Iterator::collect);
        rows.map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn records_have_the_headers_keys_and_their_first_line() {
        let text = b"\xef\xbb\xbfText, LABEL\r\n\"a, \"\"b\"\"\r\nc\",x\r\n\r\n\r\nd,y";
        let expected = vec![
            (2, json!({"text": "a, \"b\"\r\nc", "label": "x"})),
            (6, json!({"text": "d", "label": "y"})),
        ];
        assert_eq!(read("a.csv", text), Ok(expected));
        let expected = vec![(2, json!({"a": "1,5", "b": "x"}))];
        assert_eq!(read("a.csv", b"a;b\n1,5;x\n"), Ok(expected));
    }

    #[test]
    fn quotes_mean_nothing_in_tsv() {
        let expected = vec![(2, json!({"a": "5\" disk", "b": "\"x"}))];
        assert_eq!(read("a.tsv", b"a\tb\n5\" disk\t\"x\n"), Ok(expected));
    }

    #[test]
    fn invalid_rows_are_named_by_their_line() {
        let error = read("a.csv", b"a,b\n1,2\n3\n").unwrap_err();
        assert!(error.starts_with("a.csv:3: 1 column(s) where the header has 2"), "{error}");
        let error = read("a.csv", b"a,b\n1,\xff\n").unwrap_err();
        assert!(error.starts_with("a.csv:2: byte 2 is not UTF-8"), "{error}");
    }

    #[test]
    fn columns_and_blank_lines_are_limited() {
        let header = |columns: usize| ["x"].repeat(columns).join(",");
        assert_eq!(read("a.csv", header(MAX_COLUMNS).as_bytes()), Ok(vec![]));
        for (header, columns) in [(header(MAX_COLUMNS + 1), 16_385), (header(1_000_000), 1_000_000)]
        {
            let error = read("a.csv", header.as_bytes()).unwrap_err();
            assert_eq!(
                error,
                format!(
                    "a.csv:1: {columns} columns, more than 16384: is this the right separator?"
                )
            );
        }
        let error =
            read("a.csv", &[b"a\n1\n".to_vec(), vec![b'\n'; 17 << 20]].concat()).unwrap_err();
        assert!(error.contains(": no record in 16777216 bytes"), "{error}");
    }

    #[test]
    fn an_open_quote_does_not_fill_the_memory() {
        let mut text = b"a,b\n1,2\n3,\"".to_vec();
        text.resize(3 * MAX_LINE_BYTES, b'x');
        let error = read("a.csv", &text).unwrap_err();
        assert!(error.starts_with("a.csv:3: longer than 16777216 bytes"), "{error}");
    }
}
