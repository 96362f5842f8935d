//! Corpora of running text, for masked language modelling.

use std::path::Path;

use serde_json::Value;

use super::examples::TEXT;
use super::formats::{Format, Records};
use super::row::{Row, filled};
use super::{DataError, RecordError};

/// The documents of a corpus one by one: the texts of its records or, in a `.txt` file, what stands
/// between blank lines.
///
/// # Errors
/// When the file cannot be opened; as an item, the record that cannot be read, has no text or a
/// blank one.
pub fn documents(
    path: &Path,
) -> Result<impl Iterator<Item = Result<String, DataError>> + Send + use<>, DataError> {
    let owned = path.to_owned();
    Ok(Records::open_as(path, Format::of_texts(path))?.map(move |item| {
        let (line, value) = item?;
        document(&value).map_err(|problem| DataError::Record { path: owned.clone(), line, problem })
    }))
}

/// A record as a text: a text itself, or an object with one.
pub(super) fn document(value: &Value) -> Result<String, RecordError> {
    if value.is_string() {
        return Ok(filled(("record", value))?.to_owned());
    }
    let row = Row::of(value)?;
    let found = row
        .find(&TEXT)
        .ok_or_else(|| row.missing("\"text\" (or \"sentence\", \"utterance\", \"content\")"))?;
    Ok(filled(found)?.to_owned())
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
    fn what_is_no_text_is_refused_with_its_line() {
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
