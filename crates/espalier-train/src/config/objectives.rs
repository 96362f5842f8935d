//! The settings of the objectives: `[ner]`, `[tc]` and `[mlm]`.

use super::GroupConfig;
use espalier_data::CorpusConfig;
use espalier_encoder::{Compute, Pooling};
use serde::{Deserialize, Deserializer, Serialize};
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
    /// The parameter group of the maps of the objective: P and Q, or the projections and heads of
    /// distillation.
    #[serde(deserialize_with = "projection_group")]
    pub projection_group: GroupConfig,
    /// Factor of the cosine between token and concept.
    pub scale: f32,
    /// Added to the score of token and concept.
    pub bias: f32,
    /// `frozen` or `trained`.
    pub concept_encoder: ConceptEncoderKind,
    /// The parameter group of a trained concept encoder; only its matrices have weight decay.
    #[serde(deserialize_with = "concept_group")]
    pub concept_group: GroupConfig,
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

/// How the student's output is compared with the teacher's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DistillLossKind {
    /// The angle between their vectors.
    #[default]
    Cosine,
    /// The distance of their vectors, each scaled to mean 0 and variance 1.
    Mse,
    /// The divergence of the probabilities that their classifiers give to the teacher's tags.
    Kl,
}

/// What the student takes over from its teacher, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillConfig {
    /// `cosine`, `mse` or `kl`.
    pub loss: DistillLossKind,
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
            (NerObjective::Concepts, _) | (NerObjective::Distill, DistillLossKind::Cosine) => 30.0,
            (NerObjective::Distill, DistillLossKind::Mse) => 15.0,
            (NerObjective::Distill, DistillLossKind::Kl) => 1.0,
        })
    }
}

fn projection_group<'de, D: Deserializer<'de>>(given: D) -> Result<GroupConfig, D::Error> {
    NerConfig::default().projection_group.or_given(given)
}

fn concept_group<'de, D: Deserializer<'de>>(given: D) -> Result<GroupConfig, D::Error> {
    NerConfig::default().concept_group.or_given(given)
}

impl Default for NerConfig {
    fn default() -> Self {
        Self {
            corpora: Vec::new(),
            objective: None,
            batch: 32,
            weight: None,
            projection_group: GroupConfig::new(1e-3, 0.0),
            scale: 10.0,
            bias: -4.0,
            concept_encoder: ConceptEncoderKind::Frozen,
            concept_group: GroupConfig::new(5e-5, 0.01),
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
            loss: DistillLossKind::Cosine,
            entity_weight: 1.0,
            layer: 0,
            layer_weight: 1.0,
            temperature: 2.0,
            adapter: None,
        }
    }
}

/// The classification side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcConfig {
    /// Pair corpora. A file's weight multiplies that of its sources.
    pub corpora: Vec<CorpusConfig>,
    /// Pairs per batch.
    pub batch: usize,
    /// Texts that are embedded at a time, for batches whose activations do not fit into memory; 0
    /// for all of the batch at once.
    pub chunk: usize,
    /// Weight of the loss.
    pub weight: f32,
    /// tau of InfoNCE.
    pub temperature: f32,
    /// How token vectors become text vectors.
    pub pooling: Pooling,
    /// Sources are drawn in proportion to size^source_exponent.
    pub source_exponent: f64,
}

impl Default for TcConfig {
    fn default() -> Self {
        Self {
            corpora: Vec::new(),
            batch: 64,
            chunk: 0,
            weight: 1.0,
            temperature: 0.05,
            pooling: Pooling::Mean,
            source_exponent: 0.5,
        }
    }
}

/// Masked language modelling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlmConfig {
    /// Text corpora. A piece of text comes from a file in proportion to its size times its weight.
    pub corpora: Vec<CorpusConfig>,
    /// Pieces of text per batch.
    pub batch: usize,
    /// The longest piece in tokens; longer documents are cut into several.
    pub max_tokens: usize,
    /// Share of the tokens that are hidden.
    pub probability: f32,
    /// Whether words are hidden with all their tokens.
    pub whole_words: bool,
    /// Weight of the loss.
    pub weight: f32,
}

impl Default for MlmConfig {
    fn default() -> Self {
        Self {
            corpora: Vec::new(),
            batch: 64,
            max_tokens: 128,
            probability: 0.15,
            whole_words: false,
            weight: 1.0,
        }
    }
}
