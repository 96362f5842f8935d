//! The settings of the NER side.

use crate::objectives::DistillLoss;
use crate::optimizer::Schedule;
use espalier_data::CorpusConfig;
use espalier_encoder::Compute;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The NER side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NerConfig {
    /// Concept corpora, or any sentences to distil on. A sentence comes from a file in proportion
    /// to its size times its weight.
    pub corpora: Vec<CorpusConfig>,
    /// `concepts` or `distill`; `None`: [`NerConfig::objective`].
    pub objective: Option<NerObjective>,
    /// Sentences per batch.
    pub batch: usize,
    /// Weight of the loss; `None`: that of the objective, [`NerConfig::weight`].
    pub weight: Option<f32>,
    /// Peak learning rate of what the objective maps vectors by: P and Q, or the projections and
    /// heads of distillation.
    pub projection_learning_rate: f32,
    /// Weight decay of the projections.
    pub projection_weight_decay: f32,
    /// Schedule of the projections; `None`: that of `train`.
    pub projection_schedule: Option<Schedule>,
    /// Warm-up of the projections; `None`: that of `train`.
    pub projection_warmup: Option<f32>,
    /// Factor of the cosine between token and concept.
    pub scale: f32,
    /// Added to the score of token and concept.
    pub bias: f32,
    /// `frozen` or `trained`.
    pub concept_encoder: ConceptEncoderKind,
    /// Peak learning rate of a trained concept encoder.
    pub concept_learning_rate: f32,
    /// Weight decay of its matrices.
    pub concept_weight_decay: f32,
    /// Its schedule; `None`: that of `train`.
    pub concept_schedule: Option<Schedule>,
    /// Its warm-up; `None`: that of `train`.
    pub concept_warmup: Option<f32>,
    /// Whether the concept encoder and the projections are kept at the end, for zero-shot NER.
    pub keep_concepts: bool,
    /// The teacher of distillation: a directory, a packed file, a relative path counting as those
    /// of corpora, or a hub id.
    pub teacher: Option<String>,
    /// What the teacher computes in.
    pub teacher_precision: Compute,
    /// A directory that keeps what the teacher said.
    pub teacher_cache: Option<PathBuf>,
    /// Distillation.
    pub distill: DistillConfig,
}

/// What tokens learn on the NER side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NerObjective {
    /// To tell which of the batch's concepts they are instances of.
    Concepts,
    /// What a teacher says about them.
    Distill,
}

/// What gives the vectors of concepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConceptEncoderKind {
    /// The encoder as it was before training.
    #[default]
    Frozen,
    /// A second encoder, which starts as the first and learns with it.
    Trained,
}

/// What the student takes over from its teacher, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillConfig {
    /// `cosine`, `mse` or `kl`.
    pub loss: DistillLoss,
    /// How much a word of an annotated entity counts; the others count 1.
    pub entity_weight: f32,
    /// A further layer of the teacher, from 1, that the student's word vectors match as well; 0 for
    /// none.
    pub layer: usize,
    /// Weight of that layer's loss beside that of the last.
    pub layer_weight: f32,
    /// tau of `kl`.
    pub temperature: f32,
    /// An adapter directory to put on the teacher; with `kl` its head gives the tags.
    pub adapter: Option<PathBuf>,
}

impl NerConfig {
    /// What tokens learn: where the configuration does not say, from a teacher if it names one,
    /// since that makes the better student (docs/method.md).
    pub fn objective(&self) -> NerObjective {
        self.objective.unwrap_or(match self.teacher {
            Some(_) => NerObjective::Distill,
            None => NerObjective::Concepts,
        })
    }

    /// The weight of the loss. Means over all token x concept pairs, most of them easy negatives,
    /// and of differences of vectors have gradients far smaller than InfoNCE's; where the
    /// configuration names no weight, that of the objective makes them about as large.
    pub fn weight(&self) -> f32 {
        self.weight.unwrap_or(match (self.objective(), self.distill.loss) {
            (NerObjective::Concepts, _) | (NerObjective::Distill, DistillLoss::Cosine) => 30.0,
            (NerObjective::Distill, DistillLoss::Mse) => 15.0,
            (NerObjective::Distill, DistillLoss::Kl) => 1.0,
        })
    }
}

impl Default for NerConfig {
    fn default() -> Self {
        Self {
            corpora: Vec::new(),
            objective: None,
            batch: 32,
            weight: None,
            projection_learning_rate: 1e-3,
            projection_weight_decay: 0.0,
            projection_schedule: None,
            projection_warmup: None,
            scale: 10.0,
            bias: -4.0,
            concept_encoder: ConceptEncoderKind::Frozen,
            concept_learning_rate: 5e-5,
            concept_weight_decay: 0.01,
            concept_schedule: None,
            concept_warmup: None,
            keep_concepts: false,
            teacher: None,
            teacher_precision: Compute::Auto,
            teacher_cache: None,
            distill: DistillConfig::default(),
        }
    }
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self {
            loss: DistillLoss::Cosine,
            entity_weight: 1.0,
            layer: 0,
            layer_weight: 1.0,
            temperature: 2.0,
            adapter: None,
        }
    }
}
