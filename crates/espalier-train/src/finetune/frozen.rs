//! The frozen encoder that adapters are trained on, and its trunk: the layers below the first adapted
//! one, run once over a task's texts.

use crate::error::Result;
use crate::network::{Network, SecondEncoder};
use crate::trainer::Prefinetuned;
use espalier_data::Examples;
use espalier_encoder::{Adapter, Batch, Encoded, Family, Lora, TextEncoder};
use rayon::prelude::*;
use std::path::Path;

/// The encoder that adapters are trained on: a backbone or, with cross-stitch, an encoder for each
/// family.
#[derive(Clone, Copy, Debug)]
pub struct FrozenEncoder<'a> {
    backbone: &'a TextEncoder,
    second: Option<&'a SecondEncoder>,
}

impl<'a> FrozenEncoder<'a> {
    /// A backbone, with the second encoder of cross-stitch if there is one.
    pub fn new(backbone: &'a TextEncoder, second: Option<&'a SecondEncoder>) -> Self {
        Self { backbone, second }
    }

    /// The identity that adapters are bound to: the backbone's, or that of both encoders together.
    pub fn fingerprint(&self) -> String {
        match self.second {
            None => self.backbone.fingerprint().to_string(),
            Some(second) => second.fingerprint(self.backbone),
        }
    }

    /// Opens an adapter that was trained on it.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub fn open_adapter(&self, directory: &Path) -> Result<Adapter> {
        Ok(Adapter::open_for(directory, &self.backbone.encoder.config, &self.fingerprint())?)
    }

    /// The encoder that a family reads.
    pub(super) fn backbone(&self, family: Family) -> &'a TextEncoder {
        match (self.second, family) {
            (Some(second), Family::Tc) => &second.backbone,
            _ => self.backbone,
        }
    }

    /// The network that a family's texts run through, with an adapter or without.
    pub(super) fn network<'n>(&self, family: Family, adapter: Option<&'n Lora>) -> Network<'n>
    where
        'a: 'n,
    {
        let own = self.backbone(family).model(adapter);
        match self.second {
            None => Network::Single(own),
            Some(second) => second.network(own, self.backbone, family),
        }
    }

    pub(super) fn trainable(&self) -> Result<()> {
        Ok(self.backbone.trainable()?)
    }
}

impl<'a, E: AsRef<TextEncoder>> From<&'a E> for FrozenEncoder<'a> {
    fn from(encoder: &'a E) -> Self {
        Self::new(encoder.as_ref(), None)
    }
}

impl<'a> From<&'a Prefinetuned> for FrozenEncoder<'a> {
    fn from(trained: &'a Prefinetuned) -> Self {
        Self::new(&trained.backbone, trained.second.as_ref())
    }
}

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
            let ragged = Batch::from_texts(batch);
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
