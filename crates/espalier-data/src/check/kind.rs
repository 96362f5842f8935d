//! What a file is for.

use serde::Serialize;
use serde_json::Value;

use crate::concepts::{SPANS, TAGS, TOKENS};
use crate::examples::{LABEL, TEXT};
use crate::pairs;
use crate::row::Row;

/// What the records of a file are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Text pairs, for pre-finetuning.
    Pairs,
    /// Sentences with concepts, for pre-finetuning.
    Concepts,
    /// Running text, for masked language modelling.
    Texts,
    /// Sentences with or without concepts, to distil on.
    Sentences,
    /// Tagged sentences, a task.
    Ner,
    /// Labelled texts, a task.
    Classification,
    /// A task of either kind; the first record tells which.
    Task,
}

impl Kind {
    /// The kind that a record shows, if it is of one.
    pub(super) fn of(record: &Value) -> Option<Kind> {
        match record {
            Value::Array(_) => return Some(Kind::Pairs),
            Value::String(_) => return Some(Kind::Texts),
            _ => {}
        }
        let row = Row::of(record).ok()?;
        let has = |keys: &[&'static str]| row.find(keys).is_some();
        let label = row.find(&LABEL).is_some_and(|(_, label)| !label.is_array());
        match () {
            () if has(&TOKENS) && has(&TAGS) => Some(Kind::Ner),
            () if has(&TOKENS) || (has(&TEXT) && has(&SPANS)) => Some(Kind::Concepts),
            () if has(&TEXT) && label => Some(Kind::Classification),
            () if has(&["set"]) || pairs::keys_of(row).is_some() => Some(Kind::Pairs),
            () if has(&TEXT) && row.find(&LABEL).is_none() => Some(Kind::Texts),
            () => None,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pairs => "text pairs",
            Kind::Concepts => "sentences with concepts",
            Kind::Texts => "running text",
            Kind::Sentences => "sentences",
            Kind::Ner => "NER",
            Kind::Classification => "classification",
            Kind::Task => "a task",
        }
    }
}
