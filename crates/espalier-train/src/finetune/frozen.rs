//! The frozen encoder of fine-tuning, and the cached output of its trunk.

use crate::error::{Result, TrainError};
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

    /// Whether both are the same encoder in memory.
    pub(super) fn is_same(&self, other: &FrozenEncoder) -> bool {
        std::ptr::eq(self.backbone, other.backbone)
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

/// Examples with the cached output of the encoder's trunk, the layers below the first adapted one.
/// Whoever trains or scores several adapters on the same examples runs the trunk once.
///
/// ```
/// use espalier_data::Examples;
/// use espalier_encoder::{Backbone, LoraConfig};
/// use espalier_train::Finetuner;
/// use espalier_train::finetune::{CachedExamples, FinetuneConfig, predict_cached};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let backbone = Backbone::open(path.as_ref())?;
/// let rows = [("a good hotel", "kind"), ("a bad hotel", "unkind"), ("good", "kind")];
/// let examples = Examples::classification(rows)?;
///
/// let layers = backbone.encoder.layers();
/// let trunk = layers - LoraConfig::for_layers(layers).layers;
/// let cached = CachedExamples::new(&backbone, &examples, trunk);
/// let mut config = FinetuneConfig::default();
/// config.steps = 3;
/// for seed in [0, 1] {
///     config.seed = seed;
///     let tuner = Finetuner::new(&backbone).config(config.clone());
///     let adapter = tuner.train_cached(&cached, &[0, 1], |_| {})?; // the first two examples
///     predict_cached(&adapter, &cached)?;
/// }
/// # Ok::<_, espalier_train::TrainError>(())
/// ```
#[derive(Debug)]
pub struct CachedExamples<'a> {
    encoder: FrozenEncoder<'a>,
    examples: &'a Examples,
    /// The number of layers of the trunk.
    layers: usize,
    encoded: Vec<Encoded>,
    /// The output for each text, [t, trunk width].
    hidden: Vec<Vec<f32>>,
}

impl<'a> CachedExamples<'a> {
    /// Runs the first `layers` layers over all examples. The output takes a few kilobytes per
    /// token: four bytes times the width of the encoder.
    pub fn new(
        encoder: impl Into<FrozenEncoder<'a>>,
        examples: &'a Examples,
        layers: usize,
    ) -> Self {
        let (encoder, family) = (encoder.into(), examples.family());
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
        Self { encoder, examples, layers, encoded, hidden }
    }

    /// The examples.
    pub fn examples(&self) -> &'a Examples {
        self.examples
    }

    /// The encoder whose trunk ran.
    pub(super) fn encoder(&self) -> FrozenEncoder<'a> {
        self.encoder
    }

    pub(super) fn layers(&self) -> usize {
        self.layers
    }

    pub(super) fn encoded(&self) -> &[Encoded] {
        &self.encoded
    }

    /// The encoded texts with these indices.
    pub(super) fn encoded_of(&self, indices: &[usize]) -> impl Iterator<Item = &Encoded> {
        indices.iter().map(|&index| &self.encoded[index])
    }

    /// A batch of the texts with these indices, and the trunk's output for it.
    pub(super) fn batch(&self, indices: &[usize]) -> (Batch, Vec<f32>) {
        let batch = Batch::from_texts(self.encoded_of(indices));
        (batch, indices.iter().flat_map(|&index| &self.hidden[index]).copied().collect())
    }

    /// Checks that the trunk is that of an adapter with `trunk_layers` layers below it.
    pub(super) fn check_layers(&self, trunk_layers: usize) -> Result<()> {
        match self.layers == trunk_layers {
            true => Ok(()),
            false => Err(TrainError::Mismatch(format!(
                "the output of {} layers is cached, but the adapter starts after layer \
                 {trunk_layers}; cache that layer's output",
                self.layers
            ))),
        }
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
