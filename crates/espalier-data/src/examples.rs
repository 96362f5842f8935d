//! Labelled examples of one split of a task: sentences with tags (NER) or texts with a class
//! (classification).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use espalier_encoder::Family;
use espalier_encoder::tags::{Entity, entities_lenient};
use serde_json::Value;

use super::concepts::{SPANS, TAGS, TOKENS, tags};
use super::formats::Records;
use super::row::{Found, Row, filled, text, texts};
use super::scheme::TagReader;
use super::spans::{End, disjoint, in_words, spans, to_words};
use super::words::{WordSpan, joined};
use super::{ConceptSpan, DataError, RecordError};

/// A text and the entities in it.
///
/// This is all that training and scoring know of an example, and all that the product is given: the
/// text is cut into words by the backbone's tokenizer alone ([`espalier_encoder::decode`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnotatedText {
    /// The text; where words were given, these with a space between them.
    pub text: String,
    /// The entities, in characters of the text and in its order. No two share a character.
    pub entities: Vec<Entity>,
}

impl AnnotatedText {
    /// The text of given words, and the entities that their BIO2 tags spell; an `I-` that continues
    /// nothing begins an entity.
    pub fn from_tags(words: &[impl AsRef<str>], tags: &[impl AsRef<str>]) -> Self {
        let words: Vec<String> = words.iter().map(|word| word.as_ref().to_owned()).collect();
        let (text, words) = joined(&words);
        let in_characters =
            |entity: Entity| entity_at(&words, entity.start, entity.end, entity.label);
        let entities =
            entities_lenient(tags).into_iter().filter(|entity| entity.end <= words.len());
        Self { entities: entities.map(in_characters).collect(), text }
    }
}

/// A text and its class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LabelledText {
    /// The text.
    pub text: String,
    /// The class, not blank.
    pub label: String,
}

/// The examples of a split.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Examples {
    /// Named entity recognition.
    Ner(Vec<AnnotatedText>),
    /// Text classification.
    Classification(Vec<LabelledText>),
}

impl Examples {
    /// The family of tasks that they belong to.
    pub fn family(&self) -> Family {
        match self {
            Examples::Ner(_) => Family::Ner,
            Examples::Classification(_) => Family::Tc,
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        match self {
            Examples::Ner(sentences) => sentences.len(),
            Examples::Classification(texts) => texts.len(),
        }
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often each label occurs: entities of a label for NER, texts of a class for
    /// classification.
    pub fn label_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for i in 0..self.len() {
            for label in self.labels_of(i) {
                *counts.entry(label).or_default() += 1;
            }
        }
        counts
    }

    /// The labels of example `i`: one for each of its entities, or its class.
    pub(super) fn labels_of(&self, i: usize) -> Vec<String> {
        match self {
            Examples::Ner(rows) => {
                rows[i].entities.iter().map(|entity| entity.label.clone()).collect()
            }
            Examples::Classification(rows) => vec![rows[i].label.clone()],
        }
    }

    /// The examples at `indices`, in their order.
    pub(super) fn select(&self, indices: &[usize]) -> Examples {
        match self {
            Examples::Ner(rows) => {
                Examples::Ner(indices.iter().map(|&i| rows[i].clone()).collect())
            }
            Examples::Classification(rows) => {
                Examples::Classification(indices.iter().map(|&i| rows[i].clone()).collect())
            }
        }
    }

    /// The text of each example: what the model reads.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Examples::Ner(rows) => rows.iter().map(|row| row.text.as_str()).collect(),
            Examples::Classification(rows) => rows.iter().map(|row| row.text.as_str()).collect(),
        }
    }

    /// How many examples have the text of an example of `other`.
    pub(super) fn count_shared_with(&self, other: &Examples) -> usize {
        let known: BTreeSet<&str> = other.texts().into_iter().collect();
        self.texts().into_iter().filter(|text| known.contains(text)).count()
    }
}

/// The two kinds of task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ner,
    Classification,
}

impl Kind {
    pub(super) fn of(examples: &Examples) -> Kind {
        match examples {
            Examples::Ner(_) => Kind::Ner,
            Examples::Classification(_) => Kind::Classification,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Ner => "NER",
            Kind::Classification => "classification",
        }
    }
}

/// A labelled example of either kind.
pub(super) enum Example {
    Ner(AnnotatedText),
    Classification(LabelledText),
}

pub(super) const TEXT: [&str; 4] = ["text", "sentence", "utterance", "content"];
/// Where a label has a name and a number, the name comes first.
pub(super) const LABEL: [&str; 7] =
    ["label_text", "label_name", "label", "intent", "class", "category", "sentiment"];

/// Reads a split. The first record says whether it is NER or classification, and all others must
/// agree. Tags of every scheme become BIO2; a number or a truth value as a label becomes its text.
///
/// # Errors
/// The first record that cannot be read or is not valid; a file without records.
pub fn read_examples(path: &Path) -> Result<Examples, DataError> {
    read_examples_of(path, None)
}

/// As [`read_examples`], but of a kind that is known from another split.
pub(super) fn read_examples_of(path: &Path, mut kind: Option<Kind>) -> Result<Examples, DataError> {
    let (mut sentences, mut texts) = (Vec::new(), Vec::new());
    let mut tags = TagReader::default();
    for item in Records::open(path)? {
        let (line, value) = item?;
        let example =
            example(&value, line, &mut tags).and_then(|example| of_one_kind(example, &mut kind));
        match example.map_err(|problem| DataError::Record {
            path: path.to_owned(),
            line,
            problem,
        })? {
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

/// A record as an example: which keys are there says what kind it is.
pub(super) fn example(
    value: &Value,
    line: usize,
    reader: &mut TagReader,
) -> Result<Example, RecordError> {
    let row = Row::of(value)?;
    let label = row.find(&LABEL).filter(|(_, label)| !label.is_array());
    match (row.find(&TOKENS), row.find(&TAGS), row.find(&TEXT), row.find(&SPANS), label) {
        (Some(tokens), Some(tags), _, _, None) => tagged(texts(tokens)?, tags, line, reader),
        (_, None, Some(found), None, Some(label)) => labelled(text(found)?.to_owned(), label),
        (None, None, Some(found), Some(annotation), None) => {
            let text = text(found)?;
            let (words, spans) = to_words(text, spans(annotation, End::Exclusive)?)?;
            annotated(text.to_owned(), &words, spans)
        }
        (Some(tokens), None, _, Some(annotation), None) => {
            let (text, words) = joined(&texts(tokens)?);
            let spans = in_words(spans(annotation, End::Exclusive)?, words.len())?;
            annotated(text, &words, spans)
        }
        _ => Err(RecordError::UnknownKind { found: row.keys() }),
    }
}

fn tagged(
    tokens: Vec<String>,
    found: Found,
    line: usize,
    reader: &mut TagReader,
) -> Result<Example, RecordError> {
    let tags = tags(found, tokens.len())?;
    let entities = reader.read(line, &tags)?;
    let (text, words) = joined(&tokens);
    annotated(text, &words, entities)
}

/// A text whose words stand at `words`, with spans of words for its entities.
fn annotated(
    text: String,
    words: &[WordSpan],
    spans: Vec<ConceptSpan>,
) -> Result<Example, RecordError> {
    if words.is_empty() {
        return Err(RecordError::NoTokens);
    }
    let spans = disjoint(spans)?.into_iter();
    let entities = spans.map(|span| entity_at(words, span.start, span.end, span.concept)).collect();
    Ok(Example::Ner(AnnotatedText { text, entities }))
}

/// The entity of the words `start..end`, in characters.
fn entity_at(words: &[WordSpan], start: usize, end: usize, label: String) -> Entity {
    Entity { start: words[start].0, end: words[end - 1].1, label }
}

fn labelled(text: String, (key, label): Found) -> Result<Example, RecordError> {
    let label = match label {
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        Value::Bool(label) => label.to_string(),
        label => filled((key, label))?.to_owned(),
    };
    Ok(Example::Classification(LabelledText { text, label }))
}

/// Lets an example pass that is of `kind`, which the first example decides if it is not known
/// before.
fn of_one_kind(example: Example, kind: &mut Option<Kind>) -> Result<Example, RecordError> {
    let found = match example {
        Example::Ner(_) => Kind::Ner,
        Example::Classification(_) => Kind::Classification,
    };
    let expected = *kind.get_or_insert(found);
    if found != expected {
        return Err(RecordError::MixedKinds { expected: expected.name(), found: found.name() });
    }
    Ok(example)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_keys_of_the_first_record_tell_the_kind() {
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
    fn records_of_neither_or_both_kinds_are_refused() {
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
    fn a_mixture_of_kinds_is_refused() {
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
