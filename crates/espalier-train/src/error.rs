//! What can go wrong in training.

use crate::strategy::{ObjectiveKind, UnknownStrategy};
use espalier_data::DataError;
use espalier_encoder::EncoderError;
use std::path::PathBuf;

/// Result of this crate's fallible functions.
pub type Result<T, E = TrainError> = std::result::Result<T, E>;

/// A training run that cannot start or must stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A corpus or a task cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A backbone or an adapter cannot be read or written.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// The configuration file cannot be read.
    #[error("{}: {cause}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The configuration is not valid TOML, or a value has the wrong type.
    #[error("{origin}: {problem}")]
    ConfigSyntax {
        /// The file, or the override.
        origin: String,
        /// What the parser said.
        problem: String,
    },
    /// A key that no part of the program reads.
    #[error("{origin}: unknown key {key:?}; {hint}")]
    UnknownKey {
        /// The file, or the override.
        origin: String,
        /// The key, dotted.
        key: String,
        /// The nearest known key, or all of them.
        hint: String,
    },
    /// A value outside its range.
    #[error("configuration: {key} is {value}; {rule}")]
    ConfigValue {
        /// The key, dotted.
        key: &'static str,
        /// What it is set to.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// No strategy has this name.
    #[error(transparent)]
    UnknownStrategy(#[from] UnknownStrategy),
    /// A strategy needs a corpus that the configuration does not name.
    #[error("strategy {strategy:?} trains on {} data, but {key} names no file", objective.name())]
    NoCorpus {
        /// The strategy.
        strategy: String,
        /// The objective without data.
        objective: ObjectiveKind,
        /// The key to set.
        key: &'static str,
    },
    /// Nothing can stand in the place of hidden tokens.
    #[error(
        "the tokenizer has no token [MASK] or <mask>, which masked language modelling puts in the \
         place of hidden ones"
    )]
    NoMask,
    /// Distillation without a teacher.
    #[error(
        "ner.objective is distill, but ner.teacher names no teacher; set it to a directory, a \
         packed file or a hub id"
    )]
    NoTeacher,
    /// A teacher that does not have what is asked of it.
    #[error("teacher {}: {reason}", path.display())]
    Teacher {
        /// Its directory or file.
        path: PathBuf,
        /// What is wrong, and how to mend it.
        reason: String,
    },
    /// A loss became infinite or not a number.
    #[error(
        "the {} loss is {loss} at step {step} (batch: {batch}); lower the learning rate or look at that batch",
        objective.name()
    )]
    NotFinite {
        /// The step, from 1.
        step: usize,
        /// Whose loss it is.
        objective: ObjectiveKind,
        /// The loss.
        loss: f64,
        /// The beginning of the batch's first text.
        batch: String,
    },
    /// A gradient became infinite or not a number; the weights of the step before are not lost to
    /// it.
    #[error(
        "the gradient of step {step} is not finite{}; lower the learning rate or look at these \
         batches",
        listed(batches)
    )]
    GradientNotFinite {
        /// The step, from 1.
        step: usize,
        /// The objectives trained, each with the beginning of its batch's first text.
        batches: Vec<(ObjectiveKind, String)>,
    },
    /// An adapter to start from belongs to another family or does not fit.
    #[error("{0}")]
    Init(String),
}

impl TrainError {
    /// The same, naming the batches of the step where the gradient stopped being finite.
    pub(crate) fn in_batches(self, batches: Vec<(ObjectiveKind, String)>) -> Self {
        match self {
            Self::GradientNotFinite { step, .. } => Self::GradientNotFinite { step, batches },
            other => other,
        }
    }
}

fn listed(batches: &[(ObjectiveKind, String)]) -> String {
    let batches: Vec<String> =
        batches.iter().map(|(objective, text)| format!("{}: {text}", objective.name())).collect();
    if batches.is_empty() { String::new() } else { format!(" (batches: {})", batches.join("; ")) }
}
