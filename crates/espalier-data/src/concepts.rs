//! Corpora of sentences with spans of free-text concepts, for concept-contrastive pre-finetuning.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::formats::Records;
use super::row::{Row, text, texts};
use super::scheme::TagReader;
use super::spans::{End, in_words, spans, to_words};
use super::words::words_at;
use super::{DataError, RecordError};

/// A sentence in words, with the spans that name something. Spans may overlap.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConceptSentence {
    /// The words, at least one.
    pub tokens: Vec<String>,
    /// The annotated spans.
    pub spans: Vec<ConceptSpan>,
}

/// The words `start..end` of a sentence, an instance of `concept`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConceptSpan {
    /// Index of the first word.
    pub start: usize,
    /// Index after the last word.
    pub end: usize,
    /// Free text such as "hotel name".
    pub concept: String,
}

/// Whether sentences must be annotated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Annotation {
    /// Those without spans or tags are refused.
    Required,
    /// Words or a text are enough; without spans or tags nothing in them is an entity.
    Optional,
}

pub(super) const TOKENS: [&str; 3] = ["tokens", "words", "tokenized_text"];
pub(super) const TAGS: [&str; 3] = ["tags", "ner_tags", "bio_tags"];
/// Spans by words or characters, end exclusive.
pub(super) const SPANS: [&str; 2] = ["spans", "entities"];
/// GLiNER's: by words, end inclusive.
const INCLUSIVE: [&str; 1] = ["ner"];

/// Reads a concept corpus. Every span is within its sentence and holds a word; no concept is blank.
///
/// # Errors
/// The first record that cannot be read or is not valid; a file without records.
pub fn read_concepts(path: &Path) -> Result<Vec<ConceptSentence>, DataError> {
    let sentences = sentences(path, Annotation::Required)?.collect::<Result<Vec<_>, _>>()?;
    if sentences.is_empty() {
        Err(DataError::Empty { path: path.to_owned() })
    } else {
        Ok(sentences)
    }
}

/// The sentences of a file one by one.
pub(super) fn sentences(
    path: &Path,
    annotation: Annotation,
) -> Result<impl Iterator<Item = Result<ConceptSentence, DataError>>, DataError> {
    let (owned, mut tags) = (path.to_owned(), TagReader::default());
    Ok(Records::open(path)?.map(move |item| {
        let (line, value) = item?;
        let problem = |problem| DataError::Record { path: owned.clone(), line, problem };
        sentence(&value, line, &mut tags, annotation).map_err(problem)
    }))
}

/// A record as a sentence with concepts.
pub(super) fn sentence(
    value: &Value,
    line: usize,
    reader: &mut TagReader,
    annotation: Annotation,
) -> Result<ConceptSentence, RecordError> {
    let row = Row::of(value)?;
    let Some(tokens) = row.find(&TOKENS) else {
        let (found, spans) = match (row.find(&["text"]), row.find(&SPANS), annotation) {
            (Some(found), Some(annotation), _) => (found, spans(annotation, End::Exclusive)?),
            (Some(found), None, Annotation::Optional) => (found, Vec::new()),
            (None, _, Annotation::Optional) => return Err(row.missing(WANTED_ANY)),
            _ => return Err(row.missing(WANTED)),
        };
        let text = text(found)?;
        let (words, spans) = to_words(text, spans)?;
        return if words.is_empty() {
            Err(RecordError::Blank { key: "text" })
        } else {
            Ok(ConceptSentence { tokens: words_at(text, &words), spans })
        };
    };
    let tokens = texts(tokens)?;
    if tokens.is_empty() {
        return Err(RecordError::NoTokens);
    }
    let spans = if let Some(found) = row.find(&SPANS) {
        in_words(spans(found, End::Exclusive)?, tokens.len())?
    } else if let Some(found) = row.find(&INCLUSIVE) {
        in_words(spans(found, End::Inclusive)?, tokens.len())?
    } else if let Some(found) = row.find(&TAGS) {
        reader.read(line, &tags(found, tokens.len())?)?
    } else if annotation == Annotation::Optional {
        Vec::new()
    } else {
        return Err(row.missing(WANTED));
    };
    Ok(ConceptSentence { tokens, spans })
}

const WANTED: &str = "\"tokens\" and \"spans\" (or \"text\" and \"spans\" or \"entities\", \
                      \"tokenized_text\" and \"ner\", \"tokens\" and \"tags\")";

const WANTED_ANY: &str = "\"tokens\" or \"text\" (or \"words\", \"tokenized_text\")";

/// The tags of a sentence of `tokens` words.
pub(super) fn tags(found: super::row::Found, tokens: usize) -> Result<Vec<String>, RecordError> {
    if super::row::list(found)?.iter().any(Value::is_number) {
        return Err(RecordError::NumericTags);
    }
    let tags = texts(found)?;
    if tags.len() == tokens {
        Ok(tags)
    } else {
        Err(RecordError::TagCount { tokens, tags: tags.len() })
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
