//! Names of models on the Hugging Face hub.

use crate::error::{HubError, MAX_ID_LENGTH, Result};
use std::fmt;

/// The default backbone, and the only one that may be named without its organisation.
const ALL_MINILM: &str = "all-MiniLM-L6-v2";

/// A validated model id: `org/name`, or `name` for the few old models that have no organisation.
///
/// It is safe in a URL and, by [`ModelId::folder`], as one path component: it has no `..`, no
/// separators, and is not absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelId(String);

impl ModelId {
    /// Validates `text` by the hub's rules, and completes the short name `all-MiniLM-L6-v2`.
    ///
    /// # Errors
    /// [`HubError::InvalidId`].
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        if text.len() > MAX_ID_LENGTH || parts.len() > 2 || !parts.iter().all(|part| is_name(part))
        {
            return Err(HubError::InvalidId { text: text.to_string() });
        }
        Ok(Self(if text == ALL_MINILM {
            format!("sentence-transformers/{text}")
        } else {
            text.to_string()
        }))
    }

    /// The id as one folder name, `org--name`. Ids have no `--`, so no two of them share a folder.
    pub fn folder(&self) -> String {
        self.0.replace('/', "--")
    }

    /// Whether this is all-MiniLM-L6-v2, which the Python package index has too.
    pub fn is_all_minilm(&self) -> bool {
        self.0.strip_prefix("sentence-transformers/") == Some(ALL_MINILM)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The hub's rule for each half of an id: `.` and `-` are not at its ends and not doubled.
fn is_name(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = ['-', '.'];
    !part.is_empty()
        && part.chars().all(allowed)
        && !part.starts_with(ends)
        && !part.ends_with(ends)
        && !part.contains("--")
        && !part.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_name_is_spelled_out() {
        let short = ModelId::parse("all-MiniLM-L6-v2").unwrap();
        assert_eq!(short.to_string(), "sentence-transformers/all-MiniLM-L6-v2");
        assert_eq!(short.folder(), "sentence-transformers--all-MiniLM-L6-v2");
        assert!(short.is_all_minilm());
    }

    #[test]
    fn other_names_are_kept() {
        for id in ["bert-base-uncased", "nreimers/MiniLM-L6-H384-uncased", "org_1/a.b-c_d"] {
            let parsed = ModelId::parse(id).unwrap();
            assert_eq!(parsed.to_string(), id);
            assert!(!parsed.is_all_minilm());
        }
        // Another organisation's model of the same name is another model.
        assert!(!ModelId::parse("someone/all-MiniLM-L6-v2").unwrap().is_all_minilm());
    }

    #[test]
    fn names_that_could_leave_the_cache_are_refused() {
        let long = "a".repeat(97);
        let bad = [
            "",
            "/",
            "..",
            ".",
            "../x",
            "x/..",
            "/etc",
            "org/",
            "/name",
            "a/b/c",
            "a b",
            "a\\b",
            "a--b",
            "a..b",
            "a/.hidden",
            "a/-b",
            "a/b?x=1",
            "a/b#c",
            "a/b%2e",
            "ü/b",
            "a/b\n",
            &long,
        ];
        for text in bad {
            let error = ModelId::parse(text).map(|id| id.to_string()).expect_err(text);
            assert!(error.to_string().contains("is not a model id"), "{error}");
        }
    }
}
