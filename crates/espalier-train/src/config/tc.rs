//! The settings of the classification objective: `[tc]` and, for a teacher, `[tc.distill]`.

use super::GroupConfig;
use espalier_data::CorpusConfig;
use espalier_encoder::{Compute, Pooling};
use serde::{Deserialize, Deserializer, Serialize};
use std::path::PathBuf;

/// The settings of the classification objective, contrast of text pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TcConfig {
    /// Corpora of text pairs. The weight of a file multiplies the weights of its sources.
    pub corpora: Vec<CorpusConfig>,
    /// The number of pairs of a batch.
    pub batch: usize,
    /// The number of texts that are embedded at a time, for batches whose activations do not fit
    /// into memory; 0 for all texts of the batch.
    pub chunk: usize,
    /// The weight of the loss.
    pub weight: f32,
    /// tau of InfoNCE.
    pub temperature: f32,
    /// How hidden states are pooled to text vectors.
    pub pooling: Pooling,
    /// The probability of a source is proportional to size^source_exponent.
    pub source_exponent: f64,
    /// The teacher of text vectors: a directory, a packed file or a hub id. A relative path is
    /// resolved as those of corpora.
    pub teacher: Option<String>,
    /// The precision of the teacher; see [`TcConfig::teacher_precision`] for `None`.
    pub teacher_precision: Option<Compute>,
    /// The directory of a cache of the teacher's vectors.
    pub teacher_cache: Option<PathBuf>,
    /// How the teacher is matched; see [`TcConfig::distill`] for `None`. Without a teacher it must
    /// be `None`.
    pub distill: Option<TcDistillConfig>,
}

/// The settings of the terms of the loss that match a teacher of text vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TcDistillConfig {
    /// The weight of the divergence from the teacher's similarities, relative to that of InfoNCE.
    pub similarity_weight: f32,
    /// tau of the similarities; see [`TcConfig::distill_temperature`] for `None`.
    pub temperature: Option<f32>,
    /// The weight of the distance from the teacher's vectors, relative to that of InfoNCE. With 0
    /// there is no projection.
    pub vector_weight: f32,
    /// The parameter group of the projection to the teacher's vectors.
    #[serde(deserialize_with = "projection_group")]
    pub projection_group: GroupConfig,
}

impl TcConfig {
    /// The precision of the teacher: `auto` if it is not set.
    pub fn teacher_precision(&self) -> Compute {
        self.teacher_precision.unwrap_or_default()
    }

    /// How the teacher is matched, with the temperature filled in.
    pub fn distill(&self) -> TcDistillConfig {
        let temperature = Some(self.distill_temperature());
        TcDistillConfig { temperature, ..self.distill.clone().unwrap_or_default() }
    }

    /// tau of the similarities that are matched. If it is not set, it is that of InfoNCE, so that
    /// the gradients of both have the same scale.
    pub fn distill_temperature(&self) -> f32 {
        let temperature = self.distill.as_ref().and_then(|distill| distill.temperature);
        temperature.unwrap_or(self.temperature)
    }
}

fn projection_group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GroupConfig, D::Error> {
    TcDistillConfig::default().projection_group.deserialize_over(deserializer)
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
            teacher: None,
            teacher_precision: None,
            teacher_cache: None,
            distill: None,
        }
    }
}

impl Default for TcDistillConfig {
    fn default() -> Self {
        Self {
            similarity_weight: 1.0,
            temperature: None,
            vector_weight: 1.0,
            projection_group: GroupConfig::new(1e-3, 0.0),
        }
    }
}
