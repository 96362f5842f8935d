//! The frozen lower layers, run once over a task's texts.

use crate::data::Examples;
use espalier_encoder::{Backbone, Batch, Encoded};
use rayon::prelude::*;

/// Tokens that go through the trunk at a time.
const TOKENS: usize = 2048;

/// Encoded texts and their token vectors after the trunk.
pub(super) struct Trunk {
    /// The first layer above the trunk.
    first: usize,
    encoded: Vec<Encoded>,
    /// Token vectors of each text, [t, H].
    hidden: Vec<Vec<f32>>,
}

impl Trunk {
    /// Runs the layers below `first` over all examples.
    pub(super) fn new(backbone: &Backbone, examples: &Examples, first: usize) -> Self {
        let encoded = encode(backbone, examples);
        let model = backbone.model(None);
        let mut hidden = Vec::with_capacity(encoded.len());
        for batch in batches(&encoded) {
            let ragged = Batch::of_texts(batch);
            let rows = model.encode_layers(0..first, None, &ragged);
            let width = backbone.encoder.width();
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

    /// The picked texts as one batch, with their token vectors [T, H].
    pub(super) fn batch(&self, picked: &[usize]) -> (Batch, Vec<f32>) {
        let batch = Batch::of_texts(picked.iter().map(|&index| &self.encoded[index]));
        (batch, picked.iter().flat_map(|&index| &self.hidden[index]).copied().collect())
    }
}

fn encode(backbone: &Backbone, examples: &Examples) -> Vec<Encoded> {
    let tokenizer = &backbone.tokenizer;
    match examples {
        Examples::Ner(sentences) => sentences.par_iter().map(|s| tokenizer.encode_words(&s.tokens)).collect(),
        Examples::Classification(texts) => texts.par_iter().map(|t| tokenizer.encode(&t.text)).collect(),
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
