//! The settings of the objectives `[ner]` and `[mlm]`.

use super::GroupConfig;
use espalier_data::CorpusConfig;
use espalier_encoder::Compute;
use serde::{Deserialize, Deserializer, Serialize};
use std::path::PathBuf;

/// The settings of the NER objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NerConfig {
    /// Concept corpora, or any sentences for distillation. The probability of a file is
    /// proportional to its size times its weight.
    pub corpora: Vec<CorpusConfig>,
    /// `concepts` or `distill`; see [`NerConfig::objective`] for `None`.
    pub objective: Option<NerObjective>,
    /// The number of sentences of a batch.
    pub batch: usize,
    /// The weight of the loss; see [`NerConfig::weight`] for `None`.
    pub weight: Option<f32>,
    /// The parameter group of the objective's linear maps: P and Q of concept contrast, or the
    /// projections of distillation.
    #[serde(deserialize_with = "projection_group")]
    pub projection_group: GroupConfig,
    /// The factor of the cosine between token and concept.
    pub scale: f32,
    /// Added to the score of token and concept.
    pub bias: f32,
    /// `frozen` or `trained`.
    pub concept_encoder: ConceptEncoderKind,
    /// The parameter group of a trained concept encoder. Only its matrices have weight decay.
    #[serde(deserialize_with = "concept_group")]
    pub concept_group: GroupConfig,
    /// Whether to save the concept encoder and the projections, for zero-shot NER.
    pub keep_concepts: bool,
    /// The teacher of distillation: a directory, a packed file or a hub id. A relative path is
    /// resolved as those of corpora.
    pub teacher: Option<String>,
    /// The precision of the teacher.
    pub teacher_precision: Compute,
    /// The directory of a cache of the teacher's outputs.
    pub teacher_cache: Option<PathBuf>,
    /// Distillation.
    pub distill: DistillConfig,
}

/// The objective of the NER family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NerObjective {
    /// Concept contrast: which tokens belong to entities of which concept.
    Concepts,
    /// Distillation: match the teacher's output for each word.
    Distill,
}

/// The encoder that gives the vectors of concepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ConceptEncoderKind {
    /// The backbone before training.
    #[default]
    Frozen,
    /// A second encoder, which starts from the same weights and is trained too.
    Trained,
}

/// The loss of distillation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DistillLossKind {
    /// One minus the cosine of the student's and the teacher's vectors.
    #[default]
    Cosine,
    /// The mean squared difference of their vectors, each normalized to mean 0 and variance 1.
    Mse,
    /// The Kullback-Leibler divergence of their probabilities of the teacher's tags.
    Kl,
}

/// The settings of distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DistillConfig {
    /// `cosine`, `mse` or `kl`.
    pub loss: DistillLossKind,
    /// The weight of words in annotated entities. Other words have weight 1.
    pub entity_weight: f32,
    /// A lower layer of the teacher, from 1, to match in addition to the last; 0 for none.
    pub layer: usize,
    /// The weight of that layer's loss, relative to that of the last layer.
    pub layer_weight: f32,
    /// tau of `kl`.
    pub temperature: f32,
    /// The directory of an adapter to load on the teacher. With `kl`, its head gives the tag
    /// scores.
    pub adapter: Option<PathBuf>,
}

impl NerConfig {
    /// The objective. If it is not set, it is distillation if there is a teacher, which gives the
    /// better student (docs/method.md), otherwise concept contrast.
    pub fn objective(&self) -> NerObjective {
        self.objective.unwrap_or(match self.teacher {
            Some(_) => NerObjective::Distill,
            None => NerObjective::Concepts,
        })
    }

    /// The weight of the loss. If it is not set, it depends on the objective: it makes the
    /// gradients about as large as those of InfoNCE. Without it they would be much smaller, because
    /// the losses are means over many token x concept pairs, most of them easy negatives, or over
    /// all elements of vectors.
    pub fn weight(&self) -> f32 {
        self.weight.unwrap_or(match (self.objective(), self.distill.loss) {
            (NerObjective::Concepts, _) | (NerObjective::Distill, DistillLossKind::Cosine) => 30.0,
            (NerObjective::Distill, DistillLossKind::Mse) => 15.0,
            (NerObjective::Distill, DistillLossKind::Kl) => 1.0,
        })
    }
}

fn projection_group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GroupConfig, D::Error> {
    NerConfig::default().projection_group.deserialize_over(deserializer)
}

fn concept_group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GroupConfig, D::Error> {
    NerConfig::default().concept_group.deserialize_over(deserializer)
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

/// The settings of masked language modelling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MlmConfig {
    /// Corpora of plain text. The probability of a file is proportional to its size times its
    /// weight.
    pub corpora: Vec<CorpusConfig>,
    /// The number of pieces of text of a batch.
    pub batch: usize,
    /// The largest number of tokens of a piece. Longer documents are split into several.
    pub max_tokens: usize,
    /// The probability that a token is masked.
    pub probability: f32,
    /// Whether to mask words, with all their tokens, instead of tokens.
    pub whole_words: bool,
    /// The weight of the loss.
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
