//! A record's keys and values.

use espalier_encoder::text::{excerpt, first_few};
use serde_json::{Map, Value};

use super::RecordError;

/// A record with named values. A key whose value is null counts as missing.
#[derive(Clone, Copy)]
pub(super) struct Row<'a>(&'a Map<String, Value>);

/// A key that was found, with its value.
pub(super) type Found<'a> = (&'static str, &'a Value);

impl<'a> Row<'a> {
    pub fn of(value: &'a Value) -> Result<Row<'a>, RecordError> {
        value.as_object().map(Row).ok_or(RecordError::Type {
            key: "record",
            expected: "an object with named values",
            found: type_name(value),
        })
    }

    /// The first of `keys` that the record has.
    pub fn find(self, keys: &[&'static str]) -> Option<Found<'a>> {
        keys.iter().find_map(|&key| {
            self.0.get(key).filter(|value| !value.is_null()).map(|value| (key, value))
        })
    }

    /// The keys, for messages.
    pub fn keys(self) -> String {
        match self.0.is_empty() {
            true => "no keys".into(),
            false => first_few(self.0.keys().map(|key| format!("\"{}\"", excerpt(key, 40)))),
        }
    }

    pub fn missing(self, wanted: &'static str) -> RecordError {
        RecordError::Missing { wanted, found: self.keys() }
    }
}

/// A text, blank or not.
pub(super) fn text((key, value): Found<'_>) -> Result<&str, RecordError> {
    value.as_str().ok_or(RecordError::Type { key, expected: "a text", found: type_name(value) })
}

/// A text that says something.
pub(super) fn filled(found: Found<'_>) -> Result<&str, RecordError> {
    let text = text(found)?;
    if text.trim().is_empty() { Err(RecordError::Blank { key: found.0 }) } else { Ok(text) }
}

/// A list of texts.
pub(super) fn texts((key, value): Found) -> Result<Vec<String>, RecordError> {
    list((key, value))?.iter().map(|item| text((key, item)).map(str::to_owned)).collect()
}

/// A text that says something, or a list of such texts.
pub(super) fn one_or_more((key, value): Found) -> Result<Vec<String>, RecordError> {
    match value {
        Value::Array(items) => {
            items.iter().map(|item| filled((key, item)).map(str::to_owned)).collect()
        }
        _ => Ok(vec![filled((key, value))?.to_owned()]),
    }
}

/// A list.
pub(super) fn list((key, value): Found<'_>) -> Result<&Vec<Value>, RecordError> {
    value.as_array().ok_or(RecordError::Type { key, expected: "a list", found: type_name(value) })
}

/// A whole number of at least 0.
pub(super) fn index((key, value): Found) -> Result<usize, RecordError> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or(RecordError::Type {
        key,
        expected: "a whole number of at least 0",
        found: type_name(value),
    })
}

pub(super) fn type_name(value: &Value) -> &'static str {
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
