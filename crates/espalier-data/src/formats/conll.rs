//! CoNLL columns: a word and its tags on each line, a blank line after each sentence.

use std::path::Path;

use serde_json::json;

use super::format::{Format, Numbered};
use super::lines::{self, Lines};
use crate::error::{DataError, RecordError};

/// Each sentence is a record with `tokens`, the first column, and `tags`, the last one.
///
/// Columns are separated by tabs where a line has a tab, otherwise by spaces. `-DOCSTART-` lines
/// and comments before a sentence are skipped.
pub(super) const FORMAT: Format = Format {
    name: "CoNLL columns",
    extensions: &["conll", "bio", "iob", "iob2", "txt"],
    open: |path| lines::records(path, next_sentence),
};

fn next_sentence(lines: &mut Lines) -> Result<Option<Numbered>, DataError> {
    let (mut first, mut tokens, mut tags) = (0, Vec::new(), Vec::new());
    let mut invalid_line = None;
    while let Some(text) = lines.next_line()? {
        if text.trim().is_empty() || text.starts_with("-DOCSTART-") {
            if tokens.is_empty() && invalid_line.is_none() {
                lines.skip()?;
                continue;
            }
            break;
        }
        match columns(text) {
            _ if tokens.is_empty() && is_comment(text) => lines.skip()?,
            Some((token, tag)) => {
                tokens.push(token.to_owned());
                tags.push(tag.to_owned());
                lines.used();
                if tokens.len() == 1 {
                    first = lines.line;
                }
            }
            None => {
                invalid_line = invalid_line.or(Some(lines.line));
                lines.used();
            }
        }
    }
    match invalid_line {
        Some(line) => Err(DataError::Record {
            path: lines.path.clone(),
            line,
            problem: RecordError::OneColumn,
        }),
        None if tokens.is_empty() => Ok(None),
        None => Ok(Some((first, json!({"tokens": tokens, "tags": tags})))),
    }
}

/// The first and the last column of a line that has two or more.
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

/// A line that begins with `#` and does not end with a tag, as a line with the word `#` would.
fn is_comment(line: &str) -> bool {
    line.starts_with('#') && columns(line).is_none_or(|(_, tag)| split_tag(tag).is_none())
}

/// The prefix and the label of a tag such as `B-person`; `('O', "")` for `O`. Nothing if the text
/// is not a tag of any scheme (IOB, IOBES, BILOU).
pub(crate) fn split_tag(tag: &str) -> Option<(char, &str)> {
    if tag == "O" {
        return Some(('O', ""));
    }
    let (prefix, label) = tag.split_once('-')?;
    let mut letters = prefix.chars();
    match (letters.next(), letters.next()) {
        (Some(letter @ ('B' | 'I' | 'E' | 'S' | 'L' | 'U')), None) if !label.trim().is_empty() => {
            Some((letter, label))
        }
        _ => None,
    }
}

/// Lines by which [`looks_tagged`] decides.
const INSPECTED_LINES: usize = 20;

/// Whether most of a file's first lines end with a tag. This tells CoNLL columns from plain text
/// where a `.txt` file may be either.
pub(crate) fn looks_tagged(path: &Path) -> bool {
    let Ok(mut lines) = Lines::open(path) else { return false };
    let (mut tagged, mut seen) = (0, 0);
    while seen < INSPECTED_LINES
        && let Ok(Some(line)) = lines.next_line()
    {
        if !line.trim().is_empty() {
            seen += 1;
            tagged += usize::from(columns(line).is_some_and(|(_, tag)| split_tag(tag).is_some()));
        } else if lines.skip().is_err() {
            break;
        }
    }
    2 * tagged > seen
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::MAX_LINE_BYTES;

    fn read(text: &str) -> Result<Vec<Numbered>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.conll");
        std::fs::write(&path, text).unwrap();
        let rows: Result<Vec<_>, _> = (FORMAT.open)(&path).and_then(Iterator::collect);
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
    fn comments_are_limited() {
        let error = read(&"# id\n".repeat(MAX_LINE_BYTES / 5 + 1)).unwrap_err();
        assert!(error.contains(": no record in 16777216 bytes"), "{error}");
    }

    #[test]
    fn a_line_of_one_column_is_named() {
        let error = read("a O\n\nb O\nc\n").unwrap_err();
        assert!(error.starts_with("a.conll:4: a line of one column"), "{error}");
    }
}
