//! Numbers that PyTorch, transformers and peft computed.

use crate::fixtures::{fixture, read_json};
use crate::tensors::{self, RawTensors};
use espalier_encoder::Batch;
use serde_json::Value;
use std::path::Path;

/// What `scripts/make_parity_fixtures.py` or `scripts/make_kin_fixtures.py` recorded.
pub struct Recorded {
    /// Inputs, hidden states, logits, gradients.
    pub tensors: RawTensors,
    /// Losses and tokenizations.
    pub json: Value,
}

impl Recorded {
    /// The numbers of the tiny BERT.
    pub fn read() -> Self {
        Self::at(&fixture("."))
    }

    /// The numbers in another directory.
    pub fn at(directory: &Path) -> Self {
        let tensors = tensors::read(&directory.join("parity.safetensors"));
        Self { tensors, json: read_json(&directory.join("parity.json")) }
    }

    /// The ragged batch of all cases.
    pub fn batch(&self) -> Batch {
        let ids: Vec<u32> = self.tensors["input_ids"].i64s().iter().map(|&id| id as u32).collect();
        let mut rest = ids.as_slice();
        Batch::new(self.tensors["lengths"].i64s().iter().map(|&length| {
            let (sequence, after) = rest.split_at(length as usize);
            rest = after;
            sequence
        }))
    }

    /// Target classes; -100, PyTorch's value for rows without a target, gives `None`.
    pub fn targets(&self, name: &str) -> Vec<Option<u32>> {
        self.tensors[name].i64s().iter().map(|&label| u32::try_from(label).ok()).collect()
    }

    /// A loss, or another single number.
    pub fn scalar(&self, name: &str) -> f64 {
        self.json["scalars"][name].as_f64().expect("a number in parity.json")
    }
}
