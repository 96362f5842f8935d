//! JSON lines: one record on each line. Blank lines are skipped. A line that is not JSON is an
//! error of that line only.

use super::format::{Format, Numbered};
use super::lines::{self, Lines};
use crate::error::DataError;

pub(super) const FORMAT: Format = Format {
    name: "JSON lines",
    extensions: &["jsonl", "ndjson", "json"],
    open: |path| lines::records(path, next_record),
};

fn next_record(lines: &mut Lines) -> Result<Option<Numbered>, DataError> {
    loop {
        match lines.next_line()? {
            None => return Ok(None),
            Some(text) if text.trim_ascii().is_empty() => lines.skip()?,
            Some(text) => {
                let parsed = serde_json::from_str(text);
                lines.used();
                return parsed
                    .map(|value| Some((lines.line, value)))
                    .map_err(|error| not_json(&error, lines));
            }
        }
    }
}

fn not_json(error: &serde_json::Error, lines: &Lines) -> DataError {
    // The parser saw one line and calls it line 1, which would contradict the file's line number.
    let position = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let problem = message.strip_suffix(&position).unwrap_or(&message).to_owned();
    DataError::Json { path: lines.path.clone(), line: lines.line, column: error.column(), problem }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::MAX_LINE_BYTES;
    use flate2::{Compression, write::GzEncoder};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The rows as `(line, n)`, or the error's message without the folder.
    fn read(bytes: &[u8]) -> Result<Vec<(usize, u64)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        std::fs::write(&path, bytes).unwrap();
        let rows: Result<Vec<_>, _> = (FORMAT.open)(&path).unwrap().collect();
        let folder = format!("{}/", dir.path().display());
        rows.map(|rows| {
            rows.into_iter().map(|(line, row)| (line, row["n"].as_u64().unwrap())).collect()
        })
        .map_err(|error| error.to_string().replace(&folder, ""))
    }

    #[test]
    fn reads_lines_and_counts_blank_ones() {
        assert_eq!(
            read(b"{\"n\":1}\n\n  \r\n{\"n\":2}\r\n{\"n\":3}"),
            Ok(vec![(1, 1), (4, 2), (5, 3)])
        );
        assert_eq!(read(b""), Ok(vec![]));
        assert_eq!(read(b"\n\n"), Ok(vec![]));
    }

    #[test]
    fn skips_a_byte_order_mark_on_the_first_line_only() {
        assert_eq!(read(b"\xef\xbb\xbf{\"n\":1}\n"), Ok(vec![(1, 1)]));
        assert!(
            read(b"{\"n\":1}\n\xef\xbb\xbf{\"n\":1}\n").unwrap_err().starts_with("rows.jsonl:2: ")
        );
    }

    #[test]
    fn reads_gzip_of_several_members_whatever_the_name() {
        let members = [gzip(b"{\"n\":1}\n{\"n\""), gzip(b":2}\n")].concat();
        assert_eq!(read(&members), Ok(vec![(1, 1), (2, 2)]));
    }

    #[test]
    fn a_truncated_gzip_file_is_an_error_at_its_last_line() {
        // Stored without compression, so that the first line is in the part that is left.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(&b"{\"n\":1}\n".repeat(4)).unwrap();
        let complete = encoder.finish().unwrap();
        let error = read(&complete[..complete.len() - 20]).unwrap_err();
        assert!(error.starts_with("rows.jsonl:3: cannot be read any further: "), "{error}");
    }

    #[test]
    fn a_bad_record_is_named_by_its_line_and_column() {
        let error = read(b"{\"n\":1}\n{\"n\":x}\n").unwrap_err();
        assert_eq!(
            error,
            "rows.jsonl:2: not the JSON record expected here: expected value (column 6)"
        );
        let error = read(b"{\"n\":1} {\"n\":2}\n").unwrap_err();
        assert_eq!(
            error,
            "rows.jsonl:1: not the JSON record expected here: trailing characters (column 9)"
        );
    }

    #[test]
    fn invalid_utf8_is_named_by_its_line_and_byte() {
        let error = read(b"{\"n\":1}\n\n{\"\xff\":1}\n").unwrap_err();
        assert_eq!(
            error,
            "rows.jsonl:3: byte 3 is not UTF-8: store the file as UTF-8, plain or compressed by \
             gzip or zstd"
        );
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
            "rows.jsonl:1: longer than 16777216 bytes: put one record on each line"
        );
    }

    #[test]
    fn blank_lines_are_limited() {
        let record = b"{\"n\":1}\n".to_vec();
        let blank = vec![b'\n'; MAX_LINE_BYTES];
        let lines = MAX_LINE_BYTES + 2;
        assert_eq!(
            read(&gzip(&[&record[..], &blank, &record].concat())),
            Ok(vec![(1, 1), (lines, 1)])
        );
        let error = read(&gzip(&[&record[..], &blank, b"\n", &record].concat())).unwrap_err();
        assert!(
            error.starts_with(&format!("rows.jsonl:{lines}: no record in 16777216 bytes")),
            "{error}"
        );
    }

    #[test]
    fn an_invalid_line_is_skipped_and_a_failed_read_ends_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        let mut bytes = b"[\n{\"n\":1}\n\xff\n{\"n\":2}\n".to_vec();
        bytes.resize(bytes.len() + MAX_LINE_BYTES + 1, b' ');
        std::fs::write(&path, bytes).unwrap();
        let outcomes: Vec<Option<usize>> =
            (FORMAT.open)(&path).unwrap().map(|item| item.ok().map(|(line, _)| line)).collect();
        assert_eq!(outcomes, [None, Some(2), None, Some(4), None]);
    }

    #[test]
    fn a_missing_file_and_a_folder_cannot_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("absent.jsonl"), dir.path().to_owned()] {
            let error = (FORMAT.open)(&path).err().unwrap();
            assert!(
                error.to_string().starts_with(&format!("{}: cannot be opened: ", path.display())),
                "{error}"
            );
        }
    }
}
