//! The errors of training.

use crate::strategy::{ObjectiveKind, UnknownStrategy};
use espalier_data::DataError;
use espalier_encoder::EncoderError;
use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = TrainError> = std::result::Result<T, E>;

/// Why training cannot start or has to stop.
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
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// The configuration is not valid TOML, or a value has the wrong type.
    #[error("{origin}: {problem}")]
    ConfigSyntax {
        /// The file, or the override.
        origin: String,
        /// The message of the parser.
        problem: String,
    },
    /// An unknown configuration key.
    #[error("{origin}: unknown key {key:?}; {hint}")]
    UnknownKey {
        /// The file, or the override.
        origin: String,
        /// The key, dotted.
        key: String,
        /// The most similar known key, or all known keys.
        hint: String,
    },
    /// A value that is out of range.
    #[error("configuration: {key} is {value}; {rule}")]
    ConfigValue {
        /// The key, dotted.
        key: &'static str,
        /// The value.
        value: String,
        /// The values that are allowed.
        rule: &'static str,
    },
    /// An unknown strategy.
    #[error(transparent)]
    UnknownStrategy(#[from] UnknownStrategy),
    /// The strategy needs a corpus that the configuration does not name.
    #[error("strategy {strategy:?} trains on {} data, but {key} names no file", objective.name())]
    NoCorpus {
        /// The name of the strategy.
        strategy: String,
        /// The objective without a corpus.
        objective: ObjectiveKind,
        /// The configuration key to set.
        key: &'static str,
    },
    /// The tokenizer has no mask token.
    #[error(
        "the tokenizer has no token [MASK] or <mask>, which masked language modelling needs to \
         hide tokens"
    )]
    NoMask,
    /// Distillation without a teacher.
    #[error(
        "ner.objective is distill, but ner.teacher names no teacher; set it to a directory, a \
         packed file or a hub id"
    )]
    NoTeacher,
    /// A teacher of text vectors is configured, but the run was not given one.
    #[error(
        "tc.teacher is set, but the run was given no teacher of text vectors; open it with \
         TextTeacher::open and give it to the run with Encoders::with_text_teacher"
    )]
    NoTextTeacher,
    /// The teacher lacks the output that distillation should match.
    #[error("teacher {}: {reason}", path.display())]
    Teacher {
        /// Its directory or file.
        path: PathBuf,
        /// What is missing, and how to fix it.
        reason: String,
    },
    /// A loss is infinite or NaN.
    #[error(
        "the {} loss is {loss} at step {step} (batch: {batch}); lower the learning rate or look \
         at that batch",
        objective.name()
    )]
    NotFinite {
        /// The step, from 1.
        step: usize,
        /// The objective of the loss.
        objective: ObjectiveKind,
        /// The loss.
        loss: f64,
        /// The beginning of the batch's first text.
        batch: String,
    },
    /// A gradient is infinite or NaN. The weights still have the values of the step before.
    #[error(
        "the gradient of step {step} is not finite{}; lower the learning rate or look at these \
         batches",
        listed(batches)
    )]
    GradientNotFinite {
        /// The step, from 1.
        step: usize,
        /// The objectives of the step, each with the beginning of its batch's first text.
        batches: Vec<(ObjectiveKind, String)>,
    },
    /// Inputs that do not fit each other, such as an adapter and an encoder of another shape.
    #[error("{0}")]
    Mismatch(String),
}

impl TrainError {
    /// Adds the batches of the step to [`TrainError::GradientNotFinite`].
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
