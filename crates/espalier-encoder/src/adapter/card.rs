//! `espalier.json`: what an adapter answers, and the checksums of its other files.

use crate::digest::sha256;
use crate::error::{EncoderError, Result};
use crate::files;
use crate::pooling::Pooling;
use crate::tags::TagSet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::path::Path;

/// The two kinds of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Named entity recognition: a tag per word.
    Ner,
    /// Text classification: a label per text.
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

/// What an adapter answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", try_from = "OutputFile")]
pub enum Output {
    /// A BIO2 tag per word.
    Tags {
        /// The tags, `O`, `B-...` and `I-...`, in the order of the head's classes.
        tags: Vec<String>,
    },
    /// A label per text.
    Labels {
        /// The labels, in the order of the head's classes.
        labels: Vec<String>,
    },
    /// Text vectors: a family's adapter, from which others are fine-tuned.
    Vectors,
}

/// An [`Output`] in JSON. The code that serde derives for a tagged enum would be a large part of
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
    /// Number of classes, `None` for vectors.
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::Tags { tags } => Some(tags.len()),
            Self::Labels { labels } => Some(labels.len()),
            Self::Vectors => None,
        }
    }

    /// Checks that tags are BIO2, and that nothing is listed twice.
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

/// What an adapter is for and how it was made: `espalier.json` without the checksums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterCard {
    /// Version of the file's format.
    pub format: u32,
    /// The family of the adapter's task.
    pub family: Family,
    /// What it answers.
    pub output: Output,
    /// How text vectors are made for the head.
    pub pooling: Pooling,
    /// Fingerprint of the backbone that it was trained on.
    pub backbone: String,
    /// Free-form notes on the training.
    #[serde(default)]
    pub training: BTreeMap<String, serde_json::Value>,
}

impl AdapterCard {
    /// The version of the format that this program writes.
    pub const FORMAT: u32 = 1;
    /// Key of [`AdapterCard::training`]: whose words were tagged in training.
    pub const WORDS: &str = "words";
    /// The value of [`AdapterCard::WORDS`] for the words of the tokenizer (see [`crate::decode`]).
    pub const OF_TOKENIZER: &str = "tokenizer";

    /// Whether it is a tagger that was not trained on the words of the tokenizer but on those of a
    /// file, as adapters of early versions and from other programs are. It then meets other words
    /// in prediction than in training.
    pub fn trained_on_words_of_files(&self) -> bool {
        let of_tokenizer =
            self.training.get(Self::WORDS).is_some_and(|words| words == Self::OF_TOKENIZER);
        matches!(self.output, Output::Tags { .. }) && !of_tokenizer
    }

    /// The bytes of espalier.json for an adapter with these other files; `path` is named in errors.
    pub(super) fn to_json(&self, path: &Path, files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        struct CardFile<'a> {
            #[serde(flatten)]
            card: &'a AdapterCard,
            files: Checksums,
        }
        let sums = files.iter().map(|(name, bytes)| (name.to_string(), sha256(bytes)));
        files::json_bytes(path, &CardFile { card: self, files: Checksums(sums.collect()) })
    }
}

/// The SHA-256 of an adapter's other files. Cards that are written by hand, and those of early
/// versions, have none.
#[derive(Deserialize, Serialize, Default)]
#[serde(transparent)]
pub(super) struct Checksums(BTreeMap<String, String>);

impl Checksums {
    /// Those in an espalier.json.
    pub fn parse(path: &Path, card: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            files: Checksums,
        }
        let part: Part = serde_json::from_slice(card).map_err(EncoderError::json(path))?;
        Ok(part.files)
    }

    /// Reads a file of the adapter and checks that it was written with the card.
    pub fn read_file(&self, directory: &Path, name: &'static str) -> Result<Vec<u8>> {
        let mismatch =
            || EncoderError::AdapterChecksum { directory: directory.to_path_buf(), file: name };
        let Some(sum) = self.0.get(name) else { return files::read(&directory.join(name)) };
        match files::read(&directory.join(name)) {
            Ok(bytes) if sha256(&bytes) == *sum => Ok(bytes),
            Ok(_) => Err(mismatch()),
            Err(EncoderError::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => {
                Err(mismatch())
            }
            Err(error) => Err(error),
        }
    }
}
