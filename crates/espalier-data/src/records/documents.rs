//! Documents of running text, for masked language modelling.

use std::path::Path;

use serde_json::Value;

use super::fields::{Fields, TEXT, filled};
use crate::error::{DataError, RecordError};
use crate::formats;

/// The documents of a file one by one: the texts of its records or, in a `.txt` file, the
/// paragraphs between blank lines.
///
/// # Errors
/// When the file cannot be opened; as an item, a record that cannot be read, has no text or a blank
/// one.
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("book.txt");
/// std::fs::write(&path, "The first\nparagraph.\n\nThe second.\n")?;
/// let documents: Vec<String> = espalier_data::documents(&path)?.collect::<Result<_, _>>()?;
/// assert_eq!(documents, ["The first\nparagraph.", "The second."]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn documents(
    path: &Path,
) -> Result<impl Iterator<Item = Result<String, DataError>> + Send + use<>, DataError> {
    let records = (formats::format_of_documents(path).open)(path)?;
    Ok(records.parse(|_, value| parse_document(value)))
}

/// Parses a record as a document: a JSON string, or an object with a text.
pub(crate) fn parse_document(value: &Value) -> Result<String, RecordError> {
    if value.is_string() {
        return Ok(filled(("record", value))?.to_owned());
    }
    let fields = Fields::of(value)?;
    let text = fields
        .find(&TEXT)
        .ok_or_else(|| fields.missing("\"text\" (or \"sentence\", \"utterance\", \"content\")"))?;
    Ok(filled(text)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let texts = documents(&path).and_then(|documents| documents.collect());
        texts.map_err(|error: DataError| {
            error.to_string().replace(&format!("{}/", dir.path().display()), "")
        })
    }

    #[test]
    fn all_spellings_of_a_document_are_read_alike() {
        for (name, text) in [
            ("c.jsonl", "{\"text\": \"one two\", \"source\": \"x\"}\n"),
            ("c.jsonl", "\"one two\"\n"),
            ("c.csv", "id,content\n1,one two\n"),
            ("c.txt", "one two\n"),
        ] {
            assert_eq!(read(name, text), Ok(vec!["one two".to_owned()]), "{name} {text}");
        }
    }

    #[test]
    fn records_without_a_text_are_refused_with_their_line() {
        for (text, message) in [
            (
                "{\"text\": \" \"}",
                "c.jsonl:1: \"text\" is blank: give it a text or leave the record out",
            ),
            (
                "\"a\"\n\"\"",
                "c.jsonl:2: \"record\" is blank: give it a text or leave the record out",
            ),
            ("{\"text\": 3}", "c.jsonl:1: \"text\" is a number, not a text"),
            ("[\"a\"]", "c.jsonl:1: \"record\" is a list, not an object with named values"),
        ] {
            assert_eq!(read("c.jsonl", text), Err(message.to_owned()));
        }
        let missing = read("c.jsonl", "{\"tokens\": []}").unwrap_err();
        assert!(missing.ends_with("expected, but the record has \"tokens\""), "{missing}");
    }
}
