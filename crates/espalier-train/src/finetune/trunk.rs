//! The frozen lower layers, run once over a task's texts.

use super::{Frozen, family_of};
use espalier_data::Examples;
use espalier_encoder::{Batch, Encoded};
use rayon::prelude::*;

/// Tokens that go through the trunk at a time.
const TOKENS: usize = 2048;

/// Encoded texts and their token vectors after the trunk.
pub(super) struct Trunk {
    /// The first layer above the trunk.
    first: usize,
    encoded: Vec<Encoded>,
    /// Token vectors of each text, [t, H], or of both columns side by side, [t, 2H].
    hidden: Vec<Vec<f32>>,
}

impl Trunk {
    /// Runs the layers below `first` over all examples.
    pub(super) fn new(encoder: Frozen, examples: &Examples, first: usize) -> Self {
        let family = family_of(examples);
        let tokenizer = &encoder.backbone(family).tokenizer;
        let encoded: Vec<Encoded> =
            examples.texts().par_iter().map(|text| tokenizer.encode(text)).collect();
        let network = encoder.network(family, None);
        let mut hidden = Vec::with_capacity(encoded.len());
        for batch in batches(&encoded) {
            let ragged = Batch::from_texts(batch);
            let (rows, width) = (network.trunk(first, &ragged), network.trunk_width());
            hidden.extend((0..batch.len()).map(|s| ragged.rows(s, &rows, width).to_vec()));
        }
        Self { first, encoded, hidden }
    }

    pub(super) fn first(&self) -> usize {
        self.first
    }

    pub(super) fn encoded(&self) -> &[Encoded] {
        &self.encoded
    }

    /// The picked texts as one batch, with their token vectors.
    pub(super) fn batch(&self, picked: &[usize]) -> (Batch, Vec<f32>) {
        let batch = Batch::from_texts(picked.iter().map(|&index| &self.encoded[index]));
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
