//! Plain text: documents separated by blank lines.

use serde_json::Value;

use super::format::{Format, Numbered};
use super::lines::{self, Lines};
use crate::error::DataError;

/// Each document is a record: a JSON string of consecutive lines that are not blank.
pub(super) const FORMAT: Format = Format {
    name: "plain text",
    extensions: &["txt"],
    open: |path| lines::records(path, next_document),
};

/// Bytes after which a document ends at the next line end: a file without blank lines would be read
/// into memory as one document.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

fn next_document(lines: &mut Lines) -> Result<Option<Numbered>, DataError> {
    let (mut first, mut text) = (0, String::new());
    while text.len() < MAX_DOCUMENT_BYTES {
        match lines.next_line()? {
            Some(line) if !line.trim().is_empty() => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(line);
                lines.used();
                first = if first == 0 { lines.line } else { first };
            }
            Some(_) if text.is_empty() => lines.skip()?,
            _ => break,
        }
    }
    Ok((!text.is_empty()).then_some((first, Value::String(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let found = |item: Result<Numbered, DataError>| item.unwrap();
        let documents = (FORMAT.open)(file.path()).unwrap().map(found);
        documents.map(|(line, text)| (line, text.as_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn blank_lines_end_documents() {
        let found = read("\n\none\r\ntwo\n \t\n\nthree");
        assert_eq!(found, [(3, "one\ntwo".to_owned()), (7, "three".to_owned())]);
        assert!(read("\n \n").is_empty());
    }

    #[test]
    fn a_file_without_blank_lines_does_not_become_one_document() {
        let line = format!("{}\n", "x".repeat(1000));
        let found = read(&line.repeat(2500));
        assert!(
            found.len() == 3
                && found.iter().all(|(_, text)| text.len() < MAX_DOCUMENT_BYTES + 1001)
        );
        assert_eq!(found.iter().map(|(_, text)| text.lines().count()).sum::<usize>(), 2500);
        assert_eq!(found[1].0, found[0].1.lines().count() + 1);
    }
}
