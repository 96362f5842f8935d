//! What a file holds.

use espalier_encoder::Family;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::error::task_name;
use crate::records::fields::{Fields, LABEL, SPANS, TAGS, TEXT, TOKENS};
use crate::records::pairs::anchor_and_positive;

/// What the records of a file are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// Text pairs, for pre-finetuning.
    Pairs,
    /// Sentences with concepts, for pre-finetuning.
    Concepts,
    /// Documents of running text, for masked language modelling.
    Texts,
    /// Sentences with or without concepts, for distillation.
    Sentences,
    /// Labelled examples of a task. If the family is not known, the first example decides it.
    Task(Option<Family>),
}

impl FileKind {
    /// The kind that a record's keys show, if they are those of one.
    pub(super) fn of(record: &Value) -> Option<FileKind> {
        match record {
            Value::Array(_) => return Some(FileKind::Pairs),
            Value::String(_) => return Some(FileKind::Texts),
            _ => {}
        }
        let fields = Fields::of(record).ok()?;
        let has = |keys: &[&'static str]| fields.find(keys).is_some();
        match () {
            () if has(&TOKENS) && has(&TAGS) => Some(FileKind::Task(Some(Family::Ner))),
            () if has(&TOKENS) || (has(&TEXT) && has(&SPANS)) => Some(FileKind::Concepts),
            () if has(&TEXT) && fields.label().is_some() => Some(FileKind::Task(Some(Family::Tc))),
            () if has(&["set"]) || anchor_and_positive(fields).is_some() => Some(FileKind::Pairs),
            () if has(&TEXT) && !has(&LABEL) => Some(FileKind::Texts),
            () => None,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            FileKind::Pairs => "text pairs",
            FileKind::Concepts => "sentences with concepts",
            FileKind::Texts => "running text",
            FileKind::Sentences => "sentences",
            FileKind::Task(Some(family)) => task_name(family),
            FileKind::Task(None) => "a task",
        }
    }
}

/// `pairs`, `concepts`, `texts`, `sentences`, `ner`, `classification`, or `task` for a task of
/// unknown family.
impl Serialize for FileKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            FileKind::Pairs => "pairs",
            FileKind::Concepts => "concepts",
            FileKind::Texts => "texts",
            FileKind::Sentences => "sentences",
            FileKind::Task(Some(Family::Ner)) => "ner",
            FileKind::Task(Some(Family::Tc)) => "classification",
            FileKind::Task(None) => "task",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs read these names in the output of `espalier data check --json`.
    #[test]
    fn serialized_names_stay() {
        let kinds = [
            FileKind::Pairs,
            FileKind::Concepts,
            FileKind::Texts,
            FileKind::Sentences,
            FileKind::Task(Some(Family::Ner)),
            FileKind::Task(Some(Family::Tc)),
        ];
        assert_eq!(
            serde_json::to_string(&kinds).unwrap(),
            r#"["pairs","concepts","texts","sentences","ner","classification"]"#
        );
    }
}
