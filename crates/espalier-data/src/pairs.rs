//! Corpora of text pairs that mean alike, for contrastive pre-finetuning.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::formats::{Records, uncompressed};
use super::row::{Found, Row, filled, list, one_or_more};
use super::{DataError, RecordError};

/// Texts that belong together, and texts that only seem to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TextPair {
    /// The first text, not blank.
    pub anchor: String,
    /// The text that belongs to it, not blank.
    pub positive: String,
    /// Further texts that belong to it, none blank.
    pub positives: Vec<String>,
    /// Hard negatives: texts that look related and do not belong to it, none blank.
    pub negatives: Vec<String>,
    /// Where the pair comes from. A batch is drawn from one source.
    pub source: String,
}

/// Keys of a first text, each with the keys that its positives may have.
const KEYS: [(&str, &[&str]); 8] = [
    ("anchor", &["positive", "positives", "pos"]),
    ("query", &["positive", "positives", "pos", "answer", "passage", "document"]),
    ("question", &["positive", "positives", "answer", "answers", "context"]),
    ("sentence1", &["sentence2"]),
    ("text1", &["text2"]),
    ("premise", &["hypothesis"]),
    ("title", &["body", "abstract", "text"]),
    ("summary", &["text", "document"]),
];
/// Further positives of a pair whose first one has a key of its own.
const MORE_POSITIVES: [&str; 2] = ["positives", "pos"];
const NEGATIVES: [&str; 5] = ["negative", "negatives", "hard_negative", "hard_negatives", "neg"];

/// Reads a corpus of text pairs. A pair without a source gets the name of the file (`wiki` for
/// `data/wiki.jsonl.gz`).
///
/// # Errors
/// The first record that cannot be read, has no two texts, or has a blank one; a file without
/// records.
pub fn read_pairs(path: &Path) -> Result<Vec<TextPair>, DataError> {
    let pairs = pairs(path)?.collect::<Result<Vec<_>, _>>()?;
    if pairs.is_empty() { Err(DataError::Empty { path: path.to_owned() }) } else { Ok(pairs) }
}

/// The pairs of a file one by one.
pub(super) fn pairs(
    path: &Path,
) -> Result<impl Iterator<Item = Result<TextPair, DataError>>, DataError> {
    let (owned, source) = (path.to_owned(), stem(path));
    Ok(Records::open(path)?.map(move |item| {
        let (line, value) = item?;
        pair(&value, &source).map_err(|problem| DataError::Record {
            path: owned.clone(),
            line,
            problem,
        })
    }))
}

/// A record as a pair; `source` is that of a record that names none.
pub(super) fn pair(value: &Value, source: &str) -> Result<TextPair, RecordError> {
    if value.is_array() {
        // [anchor, positive, negative ...], as many collections have it.
        let mut texts = one_or_more(("record", value))?.into_iter();
        return assembled(texts.next(), texts.next(), Vec::new(), texts.collect(), source);
    }
    let row = Row::of(value)?;
    let source = match row.find(&["source"]) {
        Some(found) => filled(found)?,
        None => source,
    };
    if let Some(set) = row.find(&["set"]) {
        list(set)?;
        let mut texts = one_or_more(set)?.into_iter();
        return assembled(texts.next(), texts.next(), texts.collect(), Vec::new(), source);
    }
    let (anchor, positive) = keys_of(row).ok_or_else(|| row.missing(WANTED))?;
    belongs_together(row, anchor.0)?;
    let mut positives = one_or_more(positive)?;
    if let Some(more) = row.find(&MORE_POSITIVES).filter(|more| more.0 != positive.0) {
        positives.extend(one_or_more(more)?);
    }
    let mut positives = positives.into_iter();
    let negatives = row.find(&NEGATIVES).map(one_or_more).transpose()?.unwrap_or_default();
    assembled(
        Some(filled(anchor)?.to_owned()),
        positives.next(),
        positives.collect(),
        negatives,
        source,
    )
}

const WANTED: &str = "\"anchor\" and \"positive\" (or \"query\" and \"positive\", \"question\" and \"answer\", \"sentence1\" and \"sentence2\", \"text1\" and \"text2\", \"premise\" and \"hypothesis\", \"title\" and \"body\", \"set\")";

/// The anchor and its first positive, if the record has such keys.
pub(super) fn keys_of(row: Row) -> Option<(Found, Found)> {
    KEYS.iter().find_map(|&(anchor, positives)| Some((row.find(&[anchor])?, row.find(positives)?)))
}

fn assembled(
    anchor: Option<String>,
    positive: Option<String>,
    positives: Vec<String>,
    negatives: Vec<String>,
    source: &str,
) -> Result<TextPair, RecordError> {
    match (anchor, positive) {
        (Some(anchor), Some(positive)) => {
            Ok(TextPair { anchor, positive, positives, negatives, source: source.to_owned() })
        }
        _ => Err(RecordError::TooFewTexts),
    }
}

/// Sentence pairs of classification data have a label, and only one of its values means that they
/// belong together.
fn belongs_together(row: Row, anchor: &str) -> Result<(), RecordError> {
    let Some((_, label)) = row.find(&["label", "gold_label", "is_duplicate"]) else {
        return Ok(());
    };
    let yes = match label {
        Value::String(label) => {
            ["entailment", "1", "true", "paraphrase", "duplicate"].contains(&label.as_str())
        }
        Value::Bool(label) => *label,
        // In natural language inference numbers are classes, and which is entailment differs from
        // file to file.
        label => anchor != "premise" && label.as_f64() == Some(1.0),
    };
    if yes { Ok(()) } else { Err(RecordError::NotAlike { label: label.to_string() }) }
}

/// The file's name without the endings that say how it is written.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Path::new(uncompressed(&name)).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_named(name: &str, text: &str) -> Result<Vec<TextPair>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        read_pairs(&path)
            .map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    fn read(text: &str) -> Result<Vec<TextPair>, String> {
        read_named("my.pairs.jsonl", text)
    }

    fn texts(pair: &TextPair) -> Value {
        json!([[pair.anchor, pair.positive], pair.positives, pair.negatives])
    }

    #[test]
    fn reads_pairs_and_names_their_source() {
        let pairs = read(
            "{\"anchor\":\"a\",\"positive\":\"b\"}\n{\"anchor\":\"c\",\"positive\":\"d\",\"source\":\"wiki\"}\n",
        );
        let pair = |a: &str, b: &str, s: &str| TextPair {
            anchor: a.into(),
            positive: b.into(),
            positives: vec![],
            negatives: vec![],
            source: s.into(),
        };
        assert_eq!(pairs.unwrap(), [pair("a", "b", "my.pairs"), pair("c", "d", "wiki")]);
    }

    #[test]
    fn the_customary_keys_are_understood() {
        for (record, expected) in [
            (json!({"query": "a", "positive": "b"}), json!([["a", "b"], [], []])),
            (json!({"question": "a", "answer": "b", "id": 7}), json!([["a", "b"], [], []])),
            (json!({"sentence1": "a", "sentence2": "b", "label": 1}), json!([["a", "b"], [], []])),
            (
                json!({"text1": "a", "text2": "b", "is_duplicate": true}),
                json!([["a", "b"], [], []]),
            ),
            (
                json!({"premise": "a", "hypothesis": "b", "label": "entailment"}),
                json!([["a", "b"], [], []]),
            ),
            (json!({"title": "a", "body": "b"}), json!([["a", "b"], [], []])),
            (
                json!({"anchor": "a", "positive": "b", "negative": "n"}),
                json!([["a", "b"], [], ["n"]]),
            ),
            (
                json!({"anchor": "a", "positive": "b", "hard_negatives": ["n", "m"]}),
                json!([["a", "b"], [], ["n", "m"]]),
            ),
            (
                json!({"anchor": "a", "positive": "b", "positives": ["c"], "negative": null}),
                json!([["a", "b"], ["c"], []]),
            ),
            (
                json!({"query": "a", "pos": ["b", "c"], "neg": ["n"]}),
                json!([["a", "b"], ["c"], ["n"]]),
            ),
            (json!({"set": ["a", "b", "c"]}), json!([["a", "b"], ["c"], []])),
            (json!(["a", "b"]), json!([["a", "b"], [], []])),
            (json!(["a", "b", "n"]), json!([["a", "b"], [], ["n"]])),
        ] {
            assert_eq!(texts(&read(&record.to_string()).unwrap()[0]), expected, "{record}");
        }
    }

    #[test]
    fn tables_hold_pairs_too() {
        let pairs = read_named("t.tsv", "Query\tPositive\tsource\na\tb\ts\n").unwrap();
        assert_eq!(
            (texts(&pairs[0]), pairs[0].source.as_str()),
            (json!([["a", "b"], [], []]), "s")
        );
        let error = read_named("t.csv", "question,answer\na,b\nc,\n").unwrap_err();
        assert!(error.starts_with("t.csv:3: \"answer\" is blank"), "{error}");
    }

    #[test]
    fn the_default_source_leaves_the_extensions_out() {
        for (path, expected) in [
            ("data/wiki.jsonl.gz", "wiki"),
            ("wiki.jsonl", "wiki"),
            ("a.b.jsonl.zst", "a.b"),
            ("x", "x"),
            ("t.parquet", "t"),
        ] {
            assert_eq!(stem(Path::new(path)), expected);
        }
    }

    #[test]
    fn refuses_records_without_two_texts() {
        let good = json!({"anchor": "a", "positive": "b"});
        for (record, message) in [
            (json!({"anchor": " \n", "positive": "b"}), "\"anchor\" is blank"),
            (json!({"anchor": "a", "positive": ""}), "\"positive\" is blank"),
            (json!({"anchor": "a", "positive": "b", "negatives": [" "]}), "\"negatives\" is blank"),
            (json!({"anchor": "a", "positive": "b", "source": ""}), "\"source\" is blank"),
            (json!({"anchor": "a"}), "\"anchor\" and \"positive\" (or"),
            (json!({"anchor": "a", "positive": 3}), "\"positive\" is a number, not a text"),
            (json!({"query": "a", "pos": []}), "fewer than two texts"),
            (json!({"set": ["a"]}), "fewer than two texts"),
            (json!({"set": "a"}), "\"set\" is a text, not a list"),
            (json!(["a"]), "fewer than two texts"),
            (json!(3), "\"record\" is a number, not an object"),
            (
                json!({"premise": "a", "hypothesis": "b", "label": "neutral"}),
                "the pair is labelled \"neutral\"",
            ),
            (json!({"premise": "a", "hypothesis": "b", "label": 1}), "the pair is labelled 1"),
            (json!({"sentence1": "a", "sentence2": "b", "label": 0}), "the pair is labelled 0"),
        ] {
            let error = read(&format!("{good}\n\n{record}\n")).unwrap_err();
            assert!(error.starts_with(&format!("my.pairs.jsonl:3: {message}")), "{error}");
        }
        assert_eq!(read("\n").unwrap_err(), "my.pairs.jsonl: holds no records");
    }
}
