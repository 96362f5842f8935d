use crate::pooling::Pooling;
use crate::tags::TagSet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// The two kinds of task, which want different things of the last layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Named entity recognition: a decision per word.
    Ner,
    /// Text classification: a decision per text.
    Tc,
}

impl Family {
    /// `ner` or `tc`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ner => "ner",
            Self::Tc => "tc",
        }
    }
}

/// What an adapter gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", try_from = "OutputFile")]
pub enum Output {
    /// A BIO2 tag per word; the tags are in the order of the head's classes.
    Tags {
        /// `O`, `B-...`, `I-...`
        tags: Vec<String>,
    },
    /// One label per text; the labels are in the order of the head's classes.
    Labels {
        /// The labels.
        labels: Vec<String>,
    },
    /// Vectors only: a family adapter, to start others from.
    Vectors,
}

/// An [`Output`] as it is read. What serde makes of a tagged enum itself would be a large part of
/// the library for devices.
#[derive(Deserialize)]
struct OutputFile {
    kind: String,
    tags: Option<Vec<String>>,
    labels: Option<Vec<String>>,
}

impl TryFrom<OutputFile> for Output {
    type Error = &'static str;

    fn try_from(file: OutputFile) -> Result<Self, &'static str> {
        match (file.kind.as_str(), file.tags, file.labels) {
            ("tags", Some(tags), _) => Ok(Self::Tags { tags }),
            ("labels", _, Some(labels)) => Ok(Self::Labels { labels }),
            ("vectors", _, _) => Ok(Self::Vectors),
            ("tags" | "labels", _, _) => Err("output has no list of its kind: tags or labels"),
            _ => Err("output is of no known kind: tags, labels or vectors"),
        }
    }
}

impl Output {
    /// Number of classes, none for vectors.
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::Tags { tags } => Some(tags.len()),
            Self::Labels { labels } => Some(labels.len()),
            Self::Vectors => None,
        }
    }

    /// Whether the names are usable: BIO2 tags, no label twice.
    pub(super) fn validate(&self) -> Result<(), String> {
        match self {
            Self::Tags { tags } => {
                TagSet::from_tags(tags.clone()).map(|_| ()).map_err(|error| error.to_string())
            }
            Self::Labels { labels } => {
                let mut seen = HashSet::new();
                match labels.iter().find(|label| !seen.insert(*label)) {
                    Some(label) => Err(format!("label {label:?} is listed twice")),
                    None => Ok(()),
                }
            }
            Self::Vectors => Ok(()),
        }
    }
}

/// `espalier.json`: what an adapter is for, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterCard {
    /// Version of this file's format.
    pub format: u32,
    /// The family of the adapter's task.
    pub family: Family,
    /// What it gives.
    pub output: Output,
    /// How text vectors are made for the head.
    pub pooling: Pooling,
    /// Fingerprint of the backbone that it was trained on.
    pub backbone: String,
    /// How it was trained: free-form notes for people and scripts.
    #[serde(default)]
    pub training: BTreeMap<String, serde_json::Value>,
}

impl AdapterCard {
    /// The version that this program writes.
    pub const FORMAT: u32 = 1;
    /// Key of [`AdapterCard::training`]: which words were tagged in training.
    pub const WORDS: &str = "words";
    /// Its value for the words that the tokenizer finds in a text ([`crate::decode`]).
    pub const OF_TOKENIZER: &str = "tokenizer";

    /// Whether it tags words, but perhaps others than those that it is asked about: adapters from
    /// before there was one rule, and from elsewhere, were trained on the words of a file.
    pub fn tags_words_of_files(&self) -> bool {
        let of_tokenizer =
            self.training.get(Self::WORDS).is_some_and(|words| words == Self::OF_TOKENIZER);
        matches!(self.output, Output::Tags { .. }) && !of_tokenizer
    }
}
