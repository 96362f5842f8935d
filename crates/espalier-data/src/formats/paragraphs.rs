//! Plain text: documents separated by blank lines.

use std::path::Path;

use serde_json::Value;

use super::lines::Lines;
use crate::DataError;

/// Bytes after which a document ends at the next line end: a file without blank lines would be read
/// into memory as one.
const LONG: usize = 1 << 20;

/// The documents of a file, each with its first line: consecutive lines that are not blank.
pub(super) struct Paragraphs {
    pub lines: Lines,
}

impl Paragraphs {
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Ok(Self { lines: Lines::open(path)? })
    }

    fn next_paragraph(&mut self) -> Result<Option<(usize, Value)>, DataError> {
        let (mut first, mut text) = (0, String::new());
        while text.len() < LONG {
            match self.lines.next()? {
                Some(line) if !line.trim().is_empty() => {
                    if !text.is_empty() {
                        text.push('\n');
                    }
                    text.push_str(line);
                    self.lines.used();
                    first = if first == 0 { self.lines.line } else { first };
                }
                Some(_) if text.is_empty() => self.lines.pass()?,
                _ => break,
            }
        }
        Ok((!text.is_empty()).then_some((first, Value::String(text))))
    }
}

impl Iterator for Paragraphs {
    type Item = Result<(usize, Value), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_paragraph().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let found = |item: Result<(usize, Value), DataError>| item.unwrap();
        let paragraphs = Paragraphs::open(file.path()).unwrap().map(found);
        paragraphs.map(|(line, text)| (line, text.as_str().unwrap().to_owned())).collect()
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
        assert!(found.len() == 3 && found.iter().all(|(_, text)| text.len() < LONG + 1001));
        assert_eq!(found.iter().map(|(_, text)| text.lines().count()).sum::<usize>(), 2500);
        assert_eq!(found[1].0, found[0].1.lines().count() + 1);
    }
}
