//! The keys and values of a record.

use espalier_encoder::text::{excerpt, first_few};
use serde_json::{Map, Value};

use crate::error::RecordError;

/// Keys of a sentence's words.
pub(crate) const TOKENS: [&str; 3] = ["tokens", "words", "tokenized_text"];
/// Keys of a sentence's tags.
pub(crate) const TAGS: [&str; 3] = ["tags", "ner_tags", "bio_tags"];
/// Keys of spans over words or characters, end exclusive.
pub(crate) const SPANS: [&str; 2] = ["spans", "entities"];
/// Keys of a text.
pub(crate) const TEXT: [&str; 4] = ["text", "sentence", "utterance", "content"];
/// Keys of a class. Where a class has a name and a number, the name comes first.
pub(crate) const LABEL: [&str; 7] =
    ["label_text", "label_name", "label", "intent", "class", "category", "sentiment"];

/// A record with named values. A key whose value is null counts as missing.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a Map<String, Value>);

/// A key that a record has, with its value.
pub(crate) type Field<'a> = (&'static str, &'a Value);

impl<'a> Fields<'a> {
    pub fn of(value: &'a Value) -> Result<Fields<'a>, RecordError> {
        value.as_object().map(Fields).ok_or(RecordError::Type {
            key: "record",
            expected: "an object with named values",
            found: type_name(value),
        })
    }

    /// The first of `keys` that the record has.
    pub fn find(self, keys: &[&'static str]) -> Option<Field<'a>> {
        keys.iter().find_map(|&key| {
            self.0.get(key).filter(|value| !value.is_null()).map(|value| (key, value))
        })
    }

    /// The class of a text, if the record has one. A list of classes is none.
    pub fn label(self) -> Option<Field<'a>> {
        self.find(&LABEL).filter(|(_, label)| !label.is_array())
    }

    /// The keys, for messages.
    pub fn keys(self) -> String {
        match self.0.is_empty() {
            true => "no keys".into(),
            false => first_few(self.0.keys().map(|key| format!("\"{}\"", excerpt(key, 40)))),
        }
    }

    /// The error of a record that lacks what is described by `wanted`.
    pub fn missing(self, wanted: &'static str) -> RecordError {
        RecordError::Missing { wanted, found: self.keys() }
    }
}

/// A text, blank or not.
pub(crate) fn text((key, value): Field<'_>) -> Result<&str, RecordError> {
    value.as_str().ok_or(RecordError::Type { key, expected: "a text", found: type_name(value) })
}

/// A text that is not blank.
pub(crate) fn filled(field: Field<'_>) -> Result<&str, RecordError> {
    let text = text(field)?;
    if text.trim().is_empty() { Err(RecordError::Blank { key: field.0 }) } else { Ok(text) }
}

/// A list of texts.
pub(crate) fn texts((key, value): Field) -> Result<Vec<String>, RecordError> {
    list((key, value))?.iter().map(|item| text((key, item)).map(str::to_owned)).collect()
}

/// A text that is not blank, or a list of such texts.
pub(crate) fn one_or_more((key, value): Field) -> Result<Vec<String>, RecordError> {
    match value {
        Value::Array(items) => {
            items.iter().map(|item| filled((key, item)).map(str::to_owned)).collect()
        }
        _ => Ok(vec![filled((key, value))?.to_owned()]),
    }
}

/// A list.
pub(crate) fn list((key, value): Field<'_>) -> Result<&Vec<Value>, RecordError> {
    value.as_array().ok_or(RecordError::Type { key, expected: "a list", found: type_name(value) })
}

/// A whole number of at least 0.
pub(crate) fn index((key, value): Field) -> Result<usize, RecordError> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or(RecordError::Type {
        key,
        expected: "a whole number of at least 0",
        found: type_name(value),
    })
}

/// What a value is, for messages.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => {
            "a negative number"
        }
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
