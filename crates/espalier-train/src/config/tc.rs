//! The settings of the classification side.

use espalier_data::CorpusConfig;
use espalier_encoder::Pooling;
use serde::{Deserialize, Serialize};

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
