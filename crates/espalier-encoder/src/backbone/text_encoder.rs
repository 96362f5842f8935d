//! What every backbone can do: inference.

use crate::encoder::Encoder;
use crate::error::{EncoderError, Result};
use crate::lora::Lora;
use crate::model::{Model, TrainableModel};
use crate::packed::PackedWeights;
use crate::packed_file::MappedWeights;
use crate::pooling::TextVectors;
use crate::tokenizer::Tokenizer;
use espalier_kernels::Precision;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// An encoder with its tokenizer and pooling, ready for inference: what
/// [`Backbone`](super::Backbone), [`PackedBackbone`](super::PackedBackbone) and
/// [`AnyBackbone`](super::AnyBackbone) have in common.
///
/// All three dereference to it, as `String` does to `str`. Functions that only run an encoder take
/// a `&TextEncoder`.
#[derive(Clone)]
pub struct TextEncoder {
    /// The architecture.
    pub encoder: Arc<Encoder>,
    /// Its tokenizer, which truncates texts to the length that the model takes.
    pub tokenizer: Arc<Tokenizer>,
    /// How this model's text vectors are made.
    pub text_vectors: TextVectors,
    pub(super) weights: Weights,
    pub(super) precision: Precision,
    pub(super) fingerprint: String,
    /// Packed when a model is first asked for.
    pub(super) packed: OnceLock<Arc<PackedWeights>>,
}

/// Where a backbone's weights are.
#[derive(Clone)]
pub(super) enum Weights {
    /// In memory, all in f32, laid out as the encoder's layout says.
    Memory(Arc<Vec<f32>>),
    /// In a packed file, which is mapped or copied.
    Mapped(Arc<MappedWeights>),
}

/// What it is, without its weights and vocabulary.
impl fmt::Debug for TextEncoder {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("TextEncoder")
            .field("config", &self.encoder.config)
            .field("text_vectors", &self.text_vectors)
            .field("precision", &self.precision)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl TextEncoder {
    /// The precision of matrix products: f32 or, in a packed file, that of the stored weights,
    /// unless it was changed by `with_precision`.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The backbone's identity: a SHA-256 over the names, shapes and values of its tensors. That of
    /// a packed backbone is the one of the backbone that was packed.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The model for inference, with an adapter or without. The weights are packed at the first
    /// call.
    pub fn model<'a>(&'a self, adapter: Option<&'a Lora>) -> Model<'a> {
        let packed = self.packed.get_or_init(|| Arc::new(self.pack()));
        Model { encoder: &self.encoder, weights: self.flat_weights(), packed, adapter }
    }

    /// The model for training, with an adapter or without.
    ///
    /// # Errors
    /// [`EncoderError::InferenceOnly`] for an encoder that was opened from a packed file,
    /// [`EncoderError::NotTrainable`] for one in int8.
    pub fn trainable_model<'a>(&'a self, adapter: Option<&'a Lora>) -> Result<TrainableModel<'a>> {
        match &self.weights {
            Weights::Memory(_) => TrainableModel::new(self.model(adapter)),
            Weights::Mapped(mapped) => {
                Err(EncoderError::InferenceOnly { path: mapped.path.clone() })
            }
        }
    }

    /// The flat vector of weights, laid out as the encoder's layout says, which has no matrices for
    /// a packed file.
    pub(super) fn flat_weights(&self) -> &[f32] {
        match &self.weights {
            Weights::Memory(weights) => weights,
            Weights::Mapped(mapped) => &mapped.parameters,
        }
    }

    /// The same encoder, computing in another precision.
    pub(super) fn with_precision(self, precision: Precision) -> Self {
        let packed = if precision == self.precision { self.packed } else { OnceLock::new() };
        Self { precision, packed, ..self }
    }

    fn pack(&self) -> PackedWeights {
        match &self.weights {
            Weights::Memory(weights) => PackedWeights::new(&self.encoder, weights, self.precision),
            Weights::Mapped(mapped) => {
                let (config, embeddings) = (&self.encoder.config, mapped.word_embeddings.clone());
                let packed =
                    PackedWeights::from_mapped(config, &mapped.layers, embeddings, self.precision);
                mapped.release();
                packed
            }
        }
    }
}

impl AsRef<TextEncoder> for TextEncoder {
    fn as_ref(&self) -> &TextEncoder {
        self
    }
}
