//! Corpora of sentences with spans of free-text concepts, for concept-contrastive pre-finetuning.

use std::path::Path;

use serde::Deserialize;

use super::{DataError, JsonLines, RecordError};

/// A sentence in words, with the spans that name something. Spans may overlap.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct ConceptSentence {
    /// The words, at least one.
    pub tokens: Vec<String>,
    /// The annotated spans.
    pub spans: Vec<ConceptSpan>,
}

/// The words `start..end` of a sentence, an instance of `concept`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct ConceptSpan {
    /// Index of the first word.
    pub start: usize,
    /// Index after the last word.
    pub end: usize,
    /// Free text such as "hotel name"; the key is `type`.
    #[serde(rename = "type")]
    pub concept: String,
}

/// Reads a concept corpus. Every span is within its sentence and holds a word; no concept is blank.
///
/// # Errors
/// The first line that cannot be read or is not valid; a file without records.
pub fn read_concepts(path: &Path) -> Result<Vec<ConceptSentence>, DataError> {
    let sentences = JsonLines::read_all(path, validated)?;
    if sentences.is_empty() {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    Ok(sentences)
}

fn validated(sentence: ConceptSentence) -> Result<ConceptSentence, RecordError> {
    let tokens = sentence.tokens.len();
    if tokens == 0 {
        return Err(RecordError::NoTokens);
    }
    for span in &sentence.spans {
        let (start, end) = (span.start, span.end);
        if start >= end || end > tokens {
            return Err(RecordError::Span { start, end, tokens });
        }
        if span.concept.trim().is_empty() {
            return Err(RecordError::Blank { key: "type" });
        }
    }
    Ok(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<ConceptSentence>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.jsonl");
        std::fs::write(&path, text).unwrap();
        read_concepts(&path).map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn reads_sentences_with_and_without_spans() {
        let rows = read(
            "{\"tokens\":[\"New\",\"York\"],\"spans\":[{\"start\":0,\"end\":2,\"type\":\"city\"}],\"more\":1}\n{\"tokens\":[\"a\"],\"spans\":[]}",
        );
        let city = ConceptSpan { start: 0, end: 2, concept: "city".into() };
        let expected = [
            ConceptSentence { tokens: vec!["New".into(), "York".into()], spans: vec![city] },
            ConceptSentence { tokens: vec!["a".into()], spans: vec![] },
        ];
        assert_eq!(rows.unwrap(), expected);
    }

    #[test]
    fn refuses_invalid_content_with_its_line() {
        for (spans, message) in [
            (r#"{"start":1,"end":1,"type":"x"}"#, "span 1..1 does not fit a sentence of 2 tokens"),
            (r#"{"start":2,"end":1,"type":"x"}"#, "span 2..1 does not fit a sentence of 2 tokens"),
            (r#"{"start":0,"end":3,"type":"x"}"#, "span 0..3 does not fit a sentence of 2 tokens"),
            (r#"{"start":0,"end":1,"type":" "}"#, "\"type\" is blank"),
            (r#"{"start":-1,"end":1,"type":"x"}"#, "not the JSON record expected here: invalid value: integer `-1`"),
            (r#"{"start":0,"end":1}"#, "not the JSON record expected here: missing field `type`"),
        ] {
            let error = read(&format!("\n{{\"tokens\":[\"a\",\"b\"],\"spans\":[{spans}]}}\n")).unwrap_err();
            assert!(error.starts_with(&format!("c.jsonl:2: {message}")), "{error}");
        }
        assert!(read(r#"{"tokens":[],"spans":[]}"#).unwrap_err().starts_with("c.jsonl:1: \"tokens\" is empty"));
        assert_eq!(read("").unwrap_err(), "c.jsonl: holds no records");
    }
}
