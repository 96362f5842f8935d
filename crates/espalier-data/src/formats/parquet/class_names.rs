//! Names of numbered classes, which Hugging Face's Parquet files hold in their metadata.

use serde_json::Value;

/// The class names of each column of class numbers.
#[derive(Default)]
pub(super) struct ClassNames(Vec<(String, Vec<String>)>);

impl ClassNames {
    /// Reads the metadata that the library `datasets` writes: `{"info": {"features": {"label":
    /// {"names": [...], "_type": "ClassLabel"}}}}`; for lists one level deeper, under `feature`.
    /// Anything else has no names.
    pub fn from_metadata(metadata: &str) -> Self {
        let Ok(metadata) = serde_json::from_str::<Value>(metadata) else { return Self::default() };
        let features = metadata["info"]["features"].as_object();
        let names = |feature: &Value| -> Option<Vec<String>> {
            let class = if feature["names"].is_array() { feature } else { &feature["feature"] };
            class["names"].as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
        };
        let columns = features.into_iter().flatten();
        Self(
            columns
                .filter_map(|(column, feature)| Some((column.clone(), names(feature)?)))
                .collect(),
        )
    }

    /// Replaces class numbers in a record by the names of the classes.
    pub fn replace_numbers(&self, record: &mut Value) {
        for (column, names) in &self.0 {
            match record.get_mut(column) {
                Some(Value::Array(items)) => items.iter_mut().for_each(|item| replace(item, names)),
                Some(item) => replace(item, names),
                None => {}
            }
        }
    }
}

fn replace(item: &mut Value, names: &[String]) {
    if let Some(name) = item.as_u64().and_then(|number| names.get(usize::try_from(number).ok()?)) {
        *item = name.as_str().into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_get_their_names() {
        let metadata = json!({"info": {"features": {
            "label": {"names": ["no", "yes"], "_type": "ClassLabel"},
            "ner_tags": {
                "feature": {"names": ["O", "B-x"], "_type": "ClassLabel"},
                "_type": "Sequence",
            },
            "text": {"dtype": "string", "_type": "Value"},
        }}});
        let names = ClassNames::from_metadata(&metadata.to_string());
        let mut record = json!({"label": 1, "ner_tags": [1, 0, 7], "text": "1", "other": 1});
        names.replace_numbers(&mut record);
        assert_eq!(
            record,
            json!({"label": "yes", "ner_tags": ["B-x", "O", 7], "text": "1", "other": 1})
        );
        for nothing in ["", "{}", "[]", "{\"info\": 3}"] {
            assert!(ClassNames::from_metadata(nothing).0.is_empty());
        }
    }
}
