//! An adapter's scores on a task's examples.

use crate::metrics::{ClassificationScores, NerScores, answer_scores, classification_scores};
use espalier_data::Examples;
use espalier_encoder::tags::Entity;
use espalier_encoder::{Adapter, Family};
use espalier_train::finetune::{FrozenEncoder, Predictions, predict};
use espalier_train::{Result, TrainError};
use serde::Serialize;

/// Scores by the task's kind.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Scores {
    /// Entity-level scores, strict and lenient.
    Ner(NerScores),
    /// Accuracy and macro F1.
    Classification(ClassificationScores),
}

impl Scores {
    /// The figure that stands for the task: strict micro F1, or accuracy.
    pub fn headline(&self) -> f64 {
        match self {
            Self::Ner(scores) => scores.strict.f1,
            Self::Classification(scores) => scores.accuracy,
        }
    }

    /// The family of the task scored.
    pub fn family(&self) -> Family {
        match self {
            Self::Ner(_) => Family::Ner,
            Self::Classification(_) => Family::Tc,
        }
    }

    /// What [`Scores::headline`] is called.
    pub fn headline_name(&self) -> &'static str {
        match self {
            Self::Ner(_) => "strict F1",
            Self::Classification(_) => "accuracy",
        }
    }
}

/// Runs the adapter over the examples' texts and compares its answers, those of the runtime, with
/// the examples'.
///
/// # Errors
/// [`TrainError::Init`] when the adapter is for the other kind of task or has no head.
pub fn evaluate<'a>(
    encoder: impl Into<FrozenEncoder<'a>>,
    adapter: &Adapter,
    examples: &Examples,
) -> Result<Scores> {
    match (predict(encoder, adapter, examples)?, examples) {
        (Predictions::Entities(predicted), Examples::Ner(texts)) => {
            let gold: Vec<Vec<Entity>> = texts.iter().map(|text| text.entities.clone()).collect();
            Ok(Scores::Ner(answer_scores(&gold, &predicted)))
        }
        (Predictions::Labels(predicted), Examples::Classification(texts)) => {
            let gold: Vec<String> = texts.iter().map(|text| text.label.clone()).collect();
            Ok(Scores::Classification(classification_scores(&gold, &predicted)))
        }
        _ => Err(TrainError::Init("the adapter's answers are not of the examples' kind".into())),
    }
}
