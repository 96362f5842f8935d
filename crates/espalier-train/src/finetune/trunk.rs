//! The frozen lower layers, run once over a task's texts.

use super::FrozenEncoder;
use espalier_data::Examples;
use espalier_encoder::{Batch, Encoded};
use rayon::prelude::*;

/// Tokens that go through the trunk at a time.
const TOKENS: usize = 2048;

/// A task's texts after the trunk.
pub(super) struct Trunk {
    /// Number of its layers.
    layers: usize,
    encoded: Vec<Encoded>,
    /// Its output for each text, [t, trunk width].
    hidden: Vec<Vec<f32>>,
}

impl Trunk {
    /// Runs the first `layers` layers over all examples.
    pub(super) fn new(encoder: FrozenEncoder, examples: &Examples, layers: usize) -> Self {
        let family = examples.family();
        let tokenizer = &encoder.backbone(family).tokenizer;
        let encoded: Vec<Encoded> =
            examples.texts().par_iter().map(|text| tokenizer.encode(text)).collect();
        let network = encoder.network(family, None);
        let mut hidden = Vec::with_capacity(encoded.len());
        for batch in batches(&encoded) {
            let ragged = Batch::of_texts(batch);
            let (rows, width) = (network.trunk(layers, &ragged), network.trunk_width());
            hidden.extend((0..batch.len()).map(|s| ragged.rows(s, &rows, width).to_vec()));
        }
        Self { layers, encoded, hidden }
    }

    pub(super) fn layers(&self) -> usize {
        self.layers
    }

    pub(super) fn encoded(&self) -> &[Encoded] {
        &self.encoded
    }

    /// The picked texts as one batch, with the trunk's output.
    pub(super) fn batch(&self, picked: &[usize]) -> (Batch, Vec<f32>) {
        let batch = Batch::of_texts(picked.iter().map(|&index| &self.encoded[index]));
        (batch, picked.iter().flat_map(|&index| &self.hidden[index]).copied().collect())
    }
}

/// Consecutive texts of about [`TOKENS`] tokens, at least one each.
fn batches(encoded: &[Encoded]) -> Vec<&[Encoded]> {
    let (mut batches, mut start, mut tokens) = (Vec::new(), 0, 0);
    for (index, text) in encoded.iter().enumerate() {
        if index > start && tokens + text.ids.len() > TOKENS {
            batches.push(&encoded[start..index]);
            (start, tokens) = (index, 0);
        }
        tokens += text.ids.len();
    }
    if start < encoded.len() {
        batches.push(&encoded[start..]);
    }
    batches
}
