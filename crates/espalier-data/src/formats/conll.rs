//! CoNLL columns: a word and its tags on each line, a blank line after each sentence.

use std::path::Path;

use serde_json::{Value, json};

use super::lines::Lines;
use crate::scheme::split_tag;
use crate::{DataError, RecordError};

/// The sentences of a file, each with its first line, as records with `tokens` and `tags`: the
/// first and the last column. Columns are separated by tabs where a line has some, by spaces
/// otherwise. `-DOCSTART-` lines and comments before a sentence are skipped.
pub(super) struct Conll {
    pub lines: Lines,
}

impl Conll {
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Ok(Self { lines: Lines::open(path)? })
    }

    fn next_sentence(&mut self) -> Result<Option<(usize, Value)>, DataError> {
        let (mut first, mut tokens, mut tags) = (0, Vec::new(), Vec::new());
        let mut wrong = None;
        while let Some(text) = self.lines.next()? {
            if text.trim().is_empty() || text.starts_with("-DOCSTART-") {
                if tokens.is_empty() && wrong.is_none() {
                    self.lines.pass()?;
                    continue;
                }
                break;
            }
            match columns(text) {
                _ if tokens.is_empty() && is_comment(text) => self.lines.pass()?,
                Some((token, tag)) => {
                    tokens.push(token.to_owned());
                    tags.push(tag.to_owned());
                    self.lines.used();
                    if tokens.len() == 1 {
                        first = self.lines.line;
                    }
                }
                None => {
                    wrong = wrong.or(Some(self.lines.line));
                    self.lines.used();
                }
            }
        }
        match wrong {
            Some(line) => Err(DataError::Record {
                path: self.lines.path.clone(),
                line,
                problem: RecordError::OneColumn,
            }),
            None if tokens.is_empty() => Ok(None),
            None => Ok(Some((first, json!({"tokens": tokens, "tags": tags})))),
        }
    }
}

impl Iterator for Conll {
    type Item = Result<(usize, Value), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_sentence().transpose()
    }
}

/// The first and the last column, where there are two or more.
fn columns(line: &str) -> Option<(&str, &str)> {
    let columns = match line.trim_end().split_once('\t') {
        Some((token, rest)) => (token.trim(), rest.rsplit('\t').next()?.trim()),
        None => {
            let line = line.trim();
            (line.split(' ').next()?, line.rsplit_once(' ')?.1)
        }
    };
    (!columns.0.is_empty() && !columns.1.is_empty()).then_some(columns)
}

/// Lines that are looked at before a file is taken for CoNLL or not.
const LOOKED_AT: usize = 20;

/// Whether most of a file's first lines end with a tag.
pub(crate) fn looks_tagged(path: &Path) -> bool {
    let Ok(mut lines) = Lines::open(path) else { return false };
    let (mut tagged, mut seen) = (0, 0);
    while seen < LOOKED_AT
        && let Ok(Some(line)) = lines.next()
    {
        if !line.trim().is_empty() {
            seen += 1;
            tagged += usize::from(columns(line).is_some_and(|(_, tag)| split_tag(tag).is_some()));
        } else if lines.pass().is_err() {
            break;
        }
    }
    2 * tagged > seen
}

/// A line that begins with `#` and does not end with a tag, as the word `#` does.
fn is_comment(line: &str) -> bool {
    line.starts_with('#') && columns(line).is_none_or(|(_, tag)| split_tag(tag).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_LINE_BYTES;

    fn read(text: &str) -> Result<Vec<(usize, Value)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.conll");
        std::fs::write(&path, text).unwrap();
        let rows: Result<Vec<_>, _> = Conll::open(&path).and_then(Iterator::collect);
        rows.map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    fn sentence(tokens: &[&str], tags: &[&str]) -> Value {
        json!({"tokens": tokens, "tags": tags})
    }

    #[test]
    fn reads_columns_by_spaces_or_tabs() {
        let text = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\n\n# id \
                    7\n#\tO\r\nNew York\tB-x\n# \tO\n";
        let expected = vec![
            (3, sentence(&["EU", "rejects"], &["I-ORG", "O"])),
            (8, sentence(&["#", "New York", "#"], &["O", "B-x", "O"])),
        ];
        assert_eq!(read(text), Ok(expected));
        assert_eq!(read("\n\n"), Ok(vec![]));
    }

    #[test]
    fn tagged_lines_are_told_from_prose() {
        let looks = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            looks_tagged(file.path())
        };
        assert!(looks("# id\nEU NNP B-ORG\nrejects VBZ O\n\nlamb O\n"));
        assert!(!looks("It was a dark\nand stormy night.\n\nVitamin B\nand blood group O\n"));
        assert!(!looks(""));
    }

    #[test]
    fn comments_are_not_read_without_end() {
        let error = read(&"# id\n".repeat(MAX_LINE_BYTES / 5 + 1)).unwrap_err();
        assert!(error.contains(": no record in 16777216 bytes"), "{error}");
    }

    #[test]
    fn a_line_of_one_column_is_named() {
        let error = read("a O\n\nb O\nc\n").unwrap_err();
        assert!(error.starts_with("a.conll:4: a line of one column"), "{error}");
    }
}
