//! Pairs of texts with the same meaning, for contrastive pre-finetuning.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Field, Fields, filled, list, one_or_more};
use crate::error::{DataError, RecordError};
use crate::formats;

/// Texts that belong together, and hard negatives, which only seem to.
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
    /// The data set that the pair comes from. All pairs of a batch are from one source.
    pub source: String,
}

/// Keys of an anchor, each with the keys that its positives may have.
const ANCHOR_AND_POSITIVES: [(&str, &[&str]); 8] = [
    ("anchor", &["positive", "positives", "pos"]),
    ("query", &["positive", "positives", "pos", "answer", "passage", "document"]),
    ("question", &["positive", "positives", "answer", "answers", "context"]),
    ("sentence1", &["sentence2"]),
    ("text1", &["text2"]),
    ("premise", &["hypothesis"]),
    ("title", &["body", "abstract", "text"]),
    ("summary", &["text", "document"]),
];
/// Keys of further positives, where the first one has a key of its own.
const MORE_POSITIVES: [&str; 2] = ["positives", "pos"];
/// Keys of hard negatives.
const NEGATIVES: [&str; 5] = ["negative", "negatives", "hard_negative", "hard_negatives", "neg"];
/// Keys that say whether the texts of a pair belong together.
const RELATION: [&str; 3] = ["label", "gold_label", "is_duplicate"];

const EXPECTED: &str = "\"anchor\" and \"positive\" (or \"query\" and \"positive\", \
                        \"question\" and \"answer\", \"sentence1\" and \"sentence2\", \
                        \"text1\" and \"text2\", \"premise\" and \"hypothesis\", \
                        \"title\" and \"body\", \"set\")";

/// Reads a corpus of text pairs. The source of a pair that names none is the file (`wiki` for
/// `data/wiki.jsonl.gz`).
///
/// # Errors
/// The first record that cannot be read, has fewer than two texts, or has a blank one; a file
/// without records.
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("faq.csv");
/// std::fs::write(&path, "question,answer\nIs it open?,\"Yes, until five.\"\n")?;
/// let pairs = espalier_data::read_pairs(&path)?;
/// assert_eq!(pairs[0].anchor, "Is it open?");
/// assert_eq!(pairs[0].positive, "Yes, until five.");
/// assert_eq!(pairs[0].source, "faq");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_pairs(path: &Path) -> Result<Vec<TextPair>, DataError> {
    let pairs = pairs(path)?.collect::<Result<Vec<_>, _>>()?;
    if pairs.is_empty() { Err(DataError::Empty { path: path.to_owned() }) } else { Ok(pairs) }
}

/// The pairs of a file one by one.
pub(crate) fn pairs(
    path: &Path,
) -> Result<impl Iterator<Item = Result<TextPair, DataError>> + use<>, DataError> {
    let source = default_source(path);
    Ok(formats::open(path)?.parse(move |_, value| parse_pair(value, &source)))
}

/// Parses a record as a pair; `source` is that of a record that names none.
pub(crate) fn parse_pair(value: &Value, source: &str) -> Result<TextPair, RecordError> {
    if value.is_array() {
        // [anchor, positive, negative ...], as many collections have it.
        let mut related = one_or_more(("record", value))?;
        let negatives = related.split_off(related.len().min(2));
        return text_pair(related, negatives, source);
    }
    let fields = Fields::of(value)?;
    let source = match fields.find(&["source"]) {
        Some(source) => filled(source)?,
        None => source,
    };
    if let Some(set) = fields.find(&["set"]) {
        list(set)?;
        return text_pair(one_or_more(set)?, Vec::new(), source);
    }
    let (anchor, positive) = anchor_and_positive(fields).ok_or_else(|| fields.missing(EXPECTED))?;
    check_relation(fields, anchor.0)?;
    let mut positives = one_or_more(positive)?;
    if let Some(more) = fields.find(&MORE_POSITIVES).filter(|more| more.0 != positive.0) {
        positives.extend(one_or_more(more)?);
    }
    let negatives = fields.find(&NEGATIVES).map(one_or_more).transpose()?.unwrap_or_default();
    positives.insert(0, filled(anchor)?.to_owned());
    text_pair(positives, negatives, source)
}

/// The anchor and its first positive, if the record has such keys.
pub(crate) fn anchor_and_positive(fields: Fields) -> Option<(Field, Field)> {
    ANCHOR_AND_POSITIVES
        .iter()
        .find_map(|&(anchor, positives)| Some((fields.find(&[anchor])?, fields.find(positives)?)))
}

/// The pair of texts that belong together, the anchor first.
fn text_pair(
    related: Vec<String>,
    negatives: Vec<String>,
    source: &str,
) -> Result<TextPair, RecordError> {
    let mut related = related.into_iter();
    let (Some(anchor), Some(positive)) = (related.next(), related.next()) else {
        return Err(RecordError::TooFewTexts);
    };
    let (positives, source) = (related.collect(), source.to_owned());
    Ok(TextPair { anchor, positive, positives, negatives, source })
}

/// Checks a labelled pair, as in data for natural language inference: only one value of the label
/// means that the texts belong together.
fn check_relation(fields: Fields, anchor: &str) -> Result<(), RecordError> {
    let Some((_, label)) = fields.find(&RELATION) else { return Ok(()) };
    let related = match label {
        Value::String(label) => {
            ["entailment", "1", "true", "paraphrase", "duplicate"].contains(&label.as_str())
        }
        Value::Bool(label) => *label,
        // In natural language inference numbers are classes, and which one is entailment differs
        // from file to file.
        label => anchor != "premise" && label.as_f64() == Some(1.0),
    };
    if related { Ok(()) } else { Err(RecordError::NotAlike { label: label.to_string() }) }
}

/// The source of pairs that name none: the file's name without the extensions of its format and
/// compression.
pub(crate) fn default_source(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = Path::new(formats::uncompressed(&name)).file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
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
            "{\"anchor\":\"a\",\"positive\":\"b\"}\n\
             {\"anchor\":\"c\",\"positive\":\"d\",\"source\":\"wiki\"}\n",
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
    fn the_usual_keys_are_understood() {
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
            assert_eq!(default_source(Path::new(path)), expected);
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
