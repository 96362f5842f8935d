//! The frozen encoder of fine-tuning, and the cached output of its trunk.

use crate::error::Result;
use crate::network::{Network, SecondEncoder, Stitches};
use crate::trainer::Prefinetuned;
use espalier_data::Examples;
use espalier_encoder::{Adapter, Batch, Encoded, Family, Lora, Model, TextEncoder, TrainableModel};
use rayon::prelude::*;
use std::path::Path;

/// The encoder that adapters are trained on: a backbone or, with cross-stitch, an encoder for each
/// family. `&Backbone` and `&Prefinetuned` convert to it.
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

    /// The fingerprint of the backbone, or of both encoders together. Adapters can only be loaded
    /// on an encoder with the fingerprint that they were trained on.
    pub fn fingerprint(&self) -> String {
        match self.second {
            None => self.backbone.fingerprint().to_string(),
            Some(second) => second.fingerprint(self.backbone),
        }
    }

    /// Opens an adapter that was trained on this encoder.
    ///
    /// # Errors
    /// Those of [`Adapter::open`].
    pub fn open_adapter(&self, directory: &Path) -> Result<Adapter> {
        Ok(Adapter::open_for(directory, &self.backbone.encoder.config, &self.fingerprint())?)
    }

    /// The encoder of a family.
    pub(super) fn backbone(&self, family: Family) -> &'a TextEncoder {
        match (self.second, family) {
            (Some(second), Family::Tc) => &second.backbone,
            _ => self.backbone,
        }
    }

    /// The other encoder of cross-stitch, and the stitches.
    fn other(&self, family: Family) -> Option<(&'a TextEncoder, &'a Stitches)> {
        let second = self.second?;
        let encoder = match family {
            Family::Ner => &second.backbone,
            Family::Tc => self.backbone,
        };
        Some((encoder, &second.stitches))
    }

    /// The network of a family for inference, with an adapter or without.
    pub(super) fn network<'n>(
        &self,
        family: Family,
        adapter: Option<&'n Lora>,
    ) -> Network<'n, Model<'n>>
    where
        'a: 'n,
    {
        let own = self.backbone(family).model(adapter);
        let other = self.other(family).map(|(other, stitches)| (other.model(None), stitches));
        Network::new(own, other, family)
    }

    /// The network of a family for training, with an adapter or without.
    ///
    /// # Errors
    /// Those of [`TextEncoder::trainable_model`].
    pub(super) fn trainable_network<'n>(
        &self,
        family: Family,
        adapter: Option<&'n Lora>,
    ) -> Result<Network<'n, TrainableModel<'n>>>
    where
        'a: 'n,
    {
        let own = self.backbone(family).trainable_model(adapter)?;
        let other = match self.other(family) {
            Some((other, stitches)) => Some((other.trainable_model(None)?, stitches)),
            None => None,
        };
        Ok(Network::new(own, other, family))
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

/// The number of tokens that run through the trunk at a time.
const TOKENS: usize = 2048;

/// The cached output of the trunk, the layers below the first adapted one, for the texts of a task.
pub(super) struct Trunk {
    /// The number of layers.
    layers: usize,
    encoded: Vec<Encoded>,
    /// The output for each text, [t, trunk width].
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
        for texts in batches(&encoded) {
            let batch = Batch::from_texts(texts);
            let (rows, width) = (network.trunk(layers, &batch), network.trunk_width());
            hidden.extend((0..texts.len()).map(|s| batch.rows(s, &rows, width).to_vec()));
        }
        Self { layers, encoded, hidden }
    }

    pub(super) fn layers(&self) -> usize {
        self.layers
    }

    pub(super) fn encoded(&self) -> &[Encoded] {
        &self.encoded
    }

    /// A batch of the texts with these indices, and the trunk's output for it.
    pub(super) fn batch(&self, indices: &[usize]) -> (Batch, Vec<f32>) {
        let batch = Batch::from_texts(indices.iter().map(|&index| &self.encoded[index]));
        (batch, indices.iter().flat_map(|&index| &self.hidden[index]).copied().collect())
    }
}

/// Splits texts into batches of at most [`TOKENS`] tokens, unless a single text has more.
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
