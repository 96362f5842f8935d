//! Sentences with spans of free-text concepts, for concept-contrastive pre-finetuning and for
//! distillation.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, SPANS, TAGS, TOKENS, text, texts};
use super::schemes::{TagReader, parse_tags};
use super::spans::{ConceptSpan, End, check_bounds, parse_spans, to_words};
use super::words::words_at;
use crate::error::{DataError, RecordError};
use crate::formats;

/// A sentence in words, with the spans that are instances of concepts. Spans may overlap.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConceptSentence {
    /// The words, at least one.
    pub tokens: Vec<String>,
    /// The annotated spans.
    pub spans: Vec<ConceptSpan>,
}

/// Whether sentences must be annotated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Annotation {
    /// A sentence without spans or tags is an error.
    Required,
    /// A sentence without spans or tags is one without entities.
    Optional,
}

/// Key of spans over words with an inclusive end, as in GLiNER's files.
const INCLUSIVE_SPANS: [&str; 1] = ["ner"];

const EXPECTED: &str = "\"tokens\" and \"spans\" (or \"text\" and \"spans\" or \"entities\", \
                        \"tokenized_text\" and \"ner\", \"tokens\" and \"tags\")";
const EXPECTED_WORDS: &str = "\"tokens\" or \"text\" (or \"words\", \"tokenized_text\")";

/// Reads a concept corpus. Every span is within its sentence and covers a word; no concept is
/// blank.
///
/// # Errors
/// The first record that cannot be read or is not valid; a file without records.
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("hotels.jsonl");
/// std::fs::write(&path, r#"{"tokens": ["Hotel", "Astoria"], "spans": [[0, 2, "hotel name"]]}"#)?;
/// let sentences = espalier_data::read_concepts(&path)?;
/// assert_eq!(sentences[0].tokens, ["Hotel", "Astoria"]);
/// assert_eq!(sentences[0].spans[0].concept, "hotel name");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_concepts(path: &Path) -> Result<Vec<ConceptSentence>, DataError> {
    let sentences = sentences(path, Annotation::Required)?.collect::<Result<Vec<_>, _>>()?;
    if sentences.is_empty() {
        Err(DataError::Empty { path: path.to_owned() })
    } else {
        Ok(sentences)
    }
}

/// The sentences of a file one by one.
pub(crate) fn sentences(
    path: &Path,
    annotation: Annotation,
) -> Result<impl Iterator<Item = Result<ConceptSentence, DataError>> + use<>, DataError> {
    let mut tags = TagReader::default();
    let records = formats::open(path)?;
    Ok(records.parse(move |line, value| parse_sentence(value, line, &mut tags, annotation)))
}

/// Parses a record as a sentence.
pub(crate) fn parse_sentence(
    value: &Value,
    line: usize,
    tags: &mut TagReader,
    annotation: Annotation,
) -> Result<ConceptSentence, RecordError> {
    let fields = Fields::of(value)?;
    let Some(tokens) = fields.find(&TOKENS) else { return parse_text(fields, annotation) };
    let tokens = texts(tokens)?;
    if tokens.is_empty() {
        return Err(RecordError::NoTokens);
    }
    let spans = if let Some(spans) = fields.find(&SPANS) {
        check_bounds(parse_spans(spans, End::Exclusive)?, tokens.len())?
    } else if let Some(spans) = fields.find(&INCLUSIVE_SPANS) {
        check_bounds(parse_spans(spans, End::Inclusive)?, tokens.len())?
    } else if let Some(field) = fields.find(&TAGS) {
        tags.read(line, &parse_tags(field, tokens.len())?)?
    } else if annotation == Annotation::Optional {
        Vec::new()
    } else {
        return Err(fields.missing(EXPECTED));
    };
    Ok(ConceptSentence { tokens, spans })
}

/// Parses a record that has a text instead of words, with spans over its characters.
fn parse_text(fields: Fields, annotation: Annotation) -> Result<ConceptSentence, RecordError> {
    let (field, spans) = match (fields.find(&["text"]), fields.find(&SPANS), annotation) {
        (Some(text), Some(spans), _) => (text, parse_spans(spans, End::Exclusive)?),
        (Some(text), None, Annotation::Optional) => (text, Vec::new()),
        (None, _, Annotation::Optional) => return Err(fields.missing(EXPECTED_WORDS)),
        _ => return Err(fields.missing(EXPECTED)),
    };
    let text = text(field)?;
    let (words, spans) = to_words(text, spans)?;
    if words.is_empty() {
        Err(RecordError::Blank { key: "text" })
    } else {
        Ok(ConceptSentence { tokens: words_at(text, &words), spans })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_named(name: &str, text: &str) -> Result<Vec<ConceptSentence>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        read_concepts(&path)
            .map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    fn read(text: &str) -> Result<Vec<ConceptSentence>, String> {
        read_named("c.jsonl", text)
    }

    fn new_york() -> ConceptSentence {
        let city = ConceptSpan { start: 1, end: 3, concept: "city".into() };
        ConceptSentence {
            tokens: ["to", "New", "York"].map(str::to_owned).into(),
            spans: vec![city],
        }
    }

    #[test]
    fn all_spellings_of_a_sentence_are_read_alike() {
        for row in [
            r#"{"tokens":["to","New","York"],"spans":[{"start":1,"end":3,"type":"city"}],"more":1}"#,
            r#"{"tokens":["to","New","York"],"entities":[[1,3,"city"]]}"#,
            r#"{"tokenized_text":["to","New","York"],"ner":[[1,2,"city"]]}"#,
            r#"{"tokens":["to","New","York"],"tags":["O","B-city","I-city"]}"#,
            r#"{"tokens":["to","New","York"],"ner_tags":["O","B-city","E-city"]}"#,
            r#"{"text":"to New York","spans":[{"start":3,"end":11,"label":"city"}]}"#,
            r#"{"text":"to New York","entities":[[3,11,"city"]]}"#,
            r#"{"text":"to New York","entities":[{"start_offset":3,"end_offset":11,"label":"city"}]}"#,
        ] {
            assert_eq!(read(row), Ok(vec![new_york()]), "{row}");
        }
        assert_eq!(
            read_named("c.conll", "to TO O\nNew NNP I-city\nYork NNP I-city\n"),
            Ok(vec![new_york()])
        );
        assert_eq!(read(r#"{"tokens":["a"],"spans":[]}"#).unwrap()[0].spans, []);
    }

    #[test]
    fn refuses_invalid_spans_with_their_line() {
        for (spans, message) in [
            (r#"{"start":1,"end":1,"type":"x"}"#, "span 1..1 does not fit a sentence of 2 tokens"),
            (r#"{"start":2,"end":1,"type":"x"}"#, "span 2..1 does not fit a sentence of 2 tokens"),
            (r#"{"start":0,"end":3,"type":"x"}"#, "span 0..3 does not fit a sentence of 2 tokens"),
            (r#"{"start":0,"end":1,"type":" "}"#, "\"type\" is blank"),
            (
                r#"{"start":-1,"end":1,"type":"x"}"#,
                "\"start\" is a negative number, not a whole number",
            ),
            (
                r#"{"start":0,"end":1}"#,
                "\"type\" or \"label\" of a span expected, but the record has \"end\", \"start\"",
            ),
            ("3", "\"spans\" is a number, not a list of spans"),
            ("[1,2]", "\"spans\" is a list of others, not a list of [start, end, label]"),
        ] {
            let error =
                read(&format!("\n{{\"tokens\":[\"a\",\"b\"],\"spans\":[{spans}]}}\n")).unwrap_err();
            assert!(error.starts_with(&format!("c.jsonl:2: {message}")), "{error}");
        }
    }

    #[test]
    fn refuses_invalid_records_with_their_line() {
        for (row, message) in [
            (r#"{"tokens":[],"spans":[]}"#, "\"tokens\" is empty"),
            (r#"{"tokens":["a"]}"#, "\"tokens\" and \"spans\" (or"),
            (r#"{"anchor":"a","positive":"b"}"#, "\"tokens\" and \"spans\" (or"),
            (r#"{"tokens":"a","spans":[]}"#, "\"tokens\" is a text, not a list"),
            (r#"{"tokens":["a"],"ner_tags":[3]}"#, "tags are numbers"),
            (r#"{"tokens":["a"],"tags":[]}"#, "1 tokens but 0 tags"),
            (
                r#"{"tokens":["a"],"ner":[[0,18446744073709551615,"x"]]}"#,
                "span 0..18446744073709551615 does not fit",
            ),
            (r#"{"text":" ","spans":[]}"#, "\"text\" is blank"),
            (
                r#"{"text":"ab","spans":[{"start":1,"end":3,"type":"x"}]}"#,
                "span 1..3 does not fit a text of 2 characters",
            ),
        ] {
            let error = read(&format!("\n{row}\n")).unwrap_err();
            assert!(error.starts_with(&format!("c.jsonl:2: {message}")), "{row}: {error}");
        }
        assert_eq!(read("").unwrap_err(), "c.jsonl: holds no records");
    }
}
