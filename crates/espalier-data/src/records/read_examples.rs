//! Reads labelled examples from files.

use std::path::Path;

use espalier_encoder::Family;
use serde_json::Value;

use super::examples::{AnnotatedText, Example, Examples, LabelledText};
use super::fields::{Field, Fields, SPANS, TAGS, TEXT, TOKENS, filled, text, texts};
use super::schemes::{TagReader, parse_tags};
use super::spans::{End, check_bounds, parse_spans};
use crate::error::{DataError, RecordError};
use crate::formats;

/// Reads the examples of a split. The first record tells whether they are for NER or
/// classification, and all others must agree. Tags may be of any scheme; a number or a boolean as a
/// label becomes its text.
///
/// # Errors
/// The first record that cannot be read or is not valid; a file without records.
///
/// # Examples
/// ```
/// use espalier_data::{Examples, read_examples};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("train.csv");
/// std::fs::write(&path, "text,label\nI lost my card,card lost\n")?;
/// assert_eq!(read_examples(&path)?, Examples::classification([("I lost my card", "card lost")])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_examples(path: &Path) -> Result<Examples, DataError> {
    read_examples_of(path, None)
}

/// As [`read_examples`], with the family that is known from another split.
pub(crate) fn read_examples_of(
    path: &Path,
    mut family: Option<Family>,
) -> Result<Examples, DataError> {
    let mut tags = TagReader::default();
    let parse = |line, value: &Value| {
        let example = parse_example(value, line, &mut tags)?;
        example.check_family(&mut family)?;
        Ok(example)
    };
    let (mut sentences, mut texts) = (Vec::new(), Vec::new());
    for example in formats::open(path)?.parse(parse) {
        match example? {
            Example::Ner(sentence) => sentences.push(sentence),
            Example::Classification(text) => texts.push(text),
        }
    }
    match (sentences.is_empty(), texts.is_empty()) {
        (false, _) => Ok(Examples::Ner(sentences)),
        (_, false) => Ok(Examples::Classification(texts)),
        _ => Err(DataError::Empty { path: path.to_owned() }),
    }
}

/// Parses a record as an example. Its keys tell the family.
pub(crate) fn parse_example(
    value: &Value,
    line: usize,
    reader: &mut TagReader,
) -> Result<Example, RecordError> {
    let fields = Fields::of(value)?;
    let (tokens, tags) = (fields.find(&TOKENS), fields.find(&TAGS));
    match (tokens, tags, fields.find(&TEXT), fields.find(&SPANS), fields.label()) {
        (Some(tokens), Some(tags), _, _, None) => {
            let tokens = texts(tokens)?;
            let spans = reader.read(line, &parse_tags(tags, tokens.len())?)?;
            AnnotatedText::from_word_spans(&tokens, spans).map(Example::Ner)
        }
        (Some(tokens), None, _, Some(spans), None) => {
            let tokens = texts(tokens)?;
            let spans = check_bounds(parse_spans(spans, End::Exclusive)?, tokens.len())?;
            AnnotatedText::from_word_spans(&tokens, spans).map(Example::Ner)
        }
        (None, None, Some(field), Some(spans), None) => {
            let text = text(field)?;
            let spans = parse_spans(spans, End::Exclusive)?;
            AnnotatedText::from_character_spans(text.to_owned(), spans).map(Example::Ner)
        }
        (_, None, Some(field), None, Some(label)) => {
            let (text, label) = (text(field)?.to_owned(), parse_label(label)?);
            Ok(Example::Classification(LabelledText { text, label }))
        }
        _ => Err(RecordError::UnknownFamily { found: fields.keys() }),
    }
}

/// The name of a class; a number or a boolean is its own name.
fn parse_label((key, label): Field) -> Result<String, RecordError> {
    Ok(match label {
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        Value::Bool(label) => label.to_string(),
        label => filled((key, label))?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use espalier_encoder::tags::Entity;

    use super::*;
    use crate::AnnotatedText;

    const NER: &str = r#"{"tokens":["Ada","wrote"],"tags":["B-person","O"]}"#;
    const TEXT: &str = r#"{"text":"fine","label":"good"}"#;

    fn read(text: &str) -> Result<Examples, String> {
        read_named("train.jsonl", text)
    }

    fn read_named(name: &str, text: &str) -> Result<Examples, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        read_examples(&path)
            .map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn the_keys_of_the_first_record_tell_the_family() {
        let entities = vec![Entity { start: 0, end: 3, label: "person".into() }];
        let sentence = AnnotatedText { text: "Ada wrote".into(), entities };
        assert_eq!(sentence, AnnotatedText::from_tags(&["Ada", "wrote"], &["B-person", "O"]));
        assert_eq!(read(NER), Ok(Examples::Ner(vec![sentence])));
        let text = LabelledText { text: "fine".into(), label: "good".into() };
        assert_eq!(read(TEXT), Ok(Examples::Classification(vec![text])));
    }

    #[test]
    fn further_keys_are_ignored() {
        let ner = read(r#"{"id":7,"text":"a","tokens":["a"],"tags":["O"]}"#).unwrap();
        assert!(matches!(ner, Examples::Ner(_)));
        let classification = read(r#"{"tokens":["a"],"text":"a","label":"x"}"#).unwrap();
        assert!(matches!(classification, Examples::Classification(_)));
    }

    #[test]
    fn records_of_neither_or_both_families_are_refused() {
        for row in [
            "{}",
            r#"{"tokens":["a"]}"#,
            r#"{"text":"a","tags":["O"]}"#,
            r#"{"text":"a","label":null}"#,
            r#"{"tokens":["a"],"tags":["O"],"text":"a","label":"x"}"#,
        ] {
            let error = read(&format!("\n{row}\n")).unwrap_err();
            assert!(
                error.starts_with("train.jsonl:2: cannot tell the kind of task"),
                "{row}: {error}"
            );
        }
    }

    #[test]
    fn a_mixture_of_families_is_refused() {
        let error = read(&format!("{NER}\n{TEXT}\n")).unwrap_err();
        assert!(
            error.starts_with("train.jsonl:2: a classification record among NER records"),
            "{error}"
        );
        let error = read(&format!("{TEXT}\n{TEXT}\n{NER}\n")).unwrap_err();
        assert!(
            error.starts_with("train.jsonl:3: a NER record among classification records"),
            "{error}"
        );
    }

    #[test]
    fn invalid_content_is_refused_with_its_line() {
        for (good, row, message) in [
            (NER, r#"{"tokens":[],"tags":[]}"#, "\"tokens\" is empty"),
            (NER, r#"{"tokens":["a","b"],"tags":["O"]}"#, "2 tokens but 1 tags"),
            (NER, r#"{"tokens":["a"],"tags":["X-person"]}"#, "tag \"X-person\" is of no scheme"),
            (NER, r#"{"tokens":["a"],"tags":["S-person"]}"#, "a mixture of tag schemes"),
            (NER, r#"{"tokens":["a"],"tags":[1]}"#, "tags are numbers"),
            (
                NER,
                r#"{"text":"a b","spans":[[0,3,"x"],[2,3,"y"]]}"#,
                "spans 0..2 (\"x\") and 1..2 (\"y\") share words",
            ),
            (TEXT, r#"{"text":"a","label":" "}"#, "\"label\" is blank"),
            (TEXT, r#"{"text":"a","label":0.5}"#, "\"label\" is a fraction, not a text"),
            (TEXT, r#"{"text":3,"label":"x"}"#, "\"text\" is a number, not a text"),
        ] {
            let error = read(&format!("{good}\n{row}\n")).unwrap_err();
            assert!(error.starts_with(&format!("train.jsonl:2: {message}")), "{error}");
        }
        assert_eq!(read(" \n").unwrap_err(), "train.jsonl: holds no records");
    }

    #[test]
    fn all_spellings_of_an_example_are_read_alike() {
        let ner = read(NER).unwrap();
        for row in [
            r#"{"tokens":["Ada","wrote"],"ner_tags":["S-person","O"]}"#,
            r#"{"words":["Ada","wrote"],"tags":["I-person","O"]}"#,
            r#"{"tokens":["Ada","wrote"],"spans":[{"start":0,"end":1,"type":"person"}]}"#,
            r#"{"text":"Ada wrote","spans":[{"start":0,"end":3,"label":"person"}]}"#,
            r#"{"text":"Ada wrote","entities":[[0,3,"person"]]}"#,
        ] {
            assert_eq!(read(row).unwrap(), ner, "{row}");
        }
        assert_eq!(read_named("t.conll", "-DOCSTART- O\n\nAda I-person\nwrote O\n").unwrap(), ner);
        for (name, text) in [
            ("t.csv", "Text,Label\nfine,good\n"),
            ("t.tsv", "id\tsentence\tintent\n7\tfine\tgood\n"),
            ("t.jsonl", r#"{"utterance":"fine","label":3,"label_text":"good"}"#),
        ] {
            assert_eq!(read_named(name, text).unwrap(), read(TEXT).unwrap(), "{name}");
        }
        let numbers = read(r#"{"text":"a","label":3}"#).unwrap();
        assert_eq!(numbers.label_counts(), BTreeMap::from([("3".to_owned(), 1)]));
    }

    #[test]
    fn labels_are_counted_by_entity_and_by_text() {
        let ner = read(r#"{"tokens":["a","b","c","d"],"tags":["B-x","B-x","I-x","I-y"]}"#).unwrap();
        assert_eq!(ner.label_counts(), BTreeMap::from([("x".to_owned(), 2), ("y".to_owned(), 1)]));
        let texts = read(&format!("{TEXT}\n{TEXT}\n")).unwrap();
        assert_eq!(texts.label_counts(), BTreeMap::from([("good".to_owned(), 2)]));
    }
}
