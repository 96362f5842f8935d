//! An adapter's scores on a task's examples.

use crate::metrics::{ClassificationScores, NerScores, answer_scores, classification_scores};
use espalier_data::Examples;
use espalier_encoder::tags::Entity;
use espalier_encoder::{Adapter, Family};
use espalier_train::finetune::{FrozenEncoder, Predictions, predict};
use espalier_train::{Result, TrainError};
use serde::Serialize;

/// The scores of an adapter, by the kind of its task.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
#[non_exhaustive]
pub enum Scores {
    /// Entity-level scores, strict and lenient.
    Ner(NerScores),
    /// Accuracy and macro F1.
    Classification(ClassificationScores),
}

impl Scores {
    /// Scores predictions against the examples' labels.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] when the predictions are for the other kind of task.
    pub fn of(predictions: &Predictions, examples: &Examples) -> Result<Self> {
        match (predictions, examples) {
            (Predictions::Entities(predicted), Examples::Ner(texts)) => {
                let gold: Vec<Vec<Entity>> =
                    texts.iter().map(|text| text.entities.clone()).collect();
                Ok(Self::Ner(answer_scores(&gold, predicted)))
            }
            (Predictions::Labels(predicted), Examples::Classification(texts)) => {
                let gold: Vec<String> = texts.iter().map(|text| text.label.clone()).collect();
                Ok(Self::Classification(classification_scores(&gold, predicted)))
            }
            _ => {
                let problem = "the adapter's answers are not of the examples' kind";
                Err(TrainError::Mismatch(problem.into()))
            }
        }
    }

    /// The score that tasks are compared by, 0 to 1: strict micro F1, or accuracy.
    pub fn main_score(&self) -> f64 {
        match self {
            Self::Ner(scores) => scores.strict.f1,
            Self::Classification(scores) => scores.accuracy,
        }
    }

    /// The other score, 0 to 1: lenient micro F1, or macro F1.
    pub fn second_score(&self) -> f64 {
        match self {
            Self::Ner(scores) => scores.lenient.f1,
            Self::Classification(scores) => scores.macro_f1,
        }
    }

    /// The family of the task scored.
    pub fn family(&self) -> Family {
        match self {
            Self::Ner(_) => Family::Ner,
            Self::Classification(_) => Family::Tc,
        }
    }

    /// The name of the metric of [`Scores::main_score`].
    pub fn main_metric(&self) -> &'static str {
        match self {
            Self::Ner(_) => "strict F1",
            Self::Classification(_) => "accuracy",
        }
    }
}

/// Runs the adapter over the examples' texts, as the runtime would, and scores its answers against
/// the examples' labels.
///
/// ```
/// use espalier_data::Examples;
/// use espalier_encoder::Backbone;
/// use espalier_study::evaluate;
/// use espalier_train::Finetuner;
/// use espalier_train::finetune::FinetuneConfig;
/// # use std::path::Path;
/// # let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert"));
///
/// let backbone = Backbone::open(directory)?;
/// let rows = [("great music", "good"), ("bad weather", "bad")];
/// let examples = Examples::classification(rows)?;
/// let mut config = FinetuneConfig::default();
/// config.steps = 2;
/// let adapter = Finetuner::new(&backbone).config(config).train(&examples, |_| {})?;
///
/// let scores = evaluate(&backbone, &adapter, &examples)?;
/// assert_eq!(scores.main_metric(), "accuracy");
/// assert!((0.0..=1.0).contains(&scores.main_score()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TrainError::Mismatch`] when the adapter is for the other kind of task or has no head.
pub fn evaluate<'a>(
    encoder: impl Into<FrozenEncoder<'a>>,
    adapter: &Adapter,
    examples: &Examples,
) -> Result<Scores> {
    Scores::of(&predict(encoder, adapter, examples)?, examples)
}
