//! The linear maps of an encoder, packed.

use crate::architecture::EncoderConfig;
use crate::layout::{LayerLayout, LinearLayout};
use crate::model::Encoder;
use crate::packed::MappedMatrix;
use espalier_kernels::gemm::Packed;
use espalier_kernels::{Precision, Rows};
use std::sync::OnceLock;

/// One linear map: W^T for the way forward and, once it is asked for, W for the way back.
#[derive(Clone, Debug)]
pub struct PackedLinear {
    precision: Precision,
    forward: Packed,
    backward: OnceLock<Packed>,
}

impl PackedLinear {
    fn new(precision: Precision, at: &LinearLayout, weights: &[f32]) -> Self {
        Self::of(precision, Packed::new(precision, at.view(weights).matrix().t()))
    }

    fn of(precision: Precision, forward: Packed) -> Self {
        Self { precision, forward, backward: OnceLock::new() }
    }

    fn pack(&mut self, at: &LinearLayout, weights: &[f32]) {
        let weight = at.view(weights).matrix();
        self.forward.pack(weight.t());
        if let Some(backward) = self.backward.get_mut() {
            backward.pack(weight);
        }
    }

    /// W^T [in, out].
    pub fn forward(&self) -> &Packed {
        &self.forward
    }

    /// W [out, in], packed at the first call from `weights`, which must be those that this was
    /// packed from.
    pub fn backward(&self, at: &LinearLayout, weights: &[f32]) -> &Packed {
        self.backward.get_or_init(|| Packed::new(self.precision, at.view(weights).matrix()))
    }
}

/// The linear maps of one layer.
#[derive(Clone, Debug)]
pub struct PackedLayer {
    /// Query, key and value, H -> 3H.
    pub qkv: PackedLinear,
    /// H -> H after attention.
    pub attention_output: PackedLinear,
    /// H -> F.
    pub intermediate: PackedLinear,
    /// F -> H.
    pub output: PackedLinear,
}

impl PackedLayer {
    fn new(precision: Precision, at: &LayerLayout, weights: &[f32]) -> Self {
        let linear = |at| PackedLinear::new(precision, at, weights);
        Self {
            qkv: linear(&at.qkv),
            attention_output: linear(&at.attention_output),
            intermediate: linear(&at.intermediate),
            output: linear(&at.output),
        }
    }

    fn stored(precision: Precision, config: &EncoderConfig, weights: &[MappedMatrix; 4]) -> Self {
        let linear = |weight: &MappedMatrix, inputs| {
            let precision = weight.product_precision(precision);
            PackedLinear::of(precision, Packed::of_rows(precision, weight.rows(), inputs))
        };
        let [qkv, attention_output, intermediate, output] = weights;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        Self {
            qkv: linear(qkv, hidden),
            attention_output: linear(attention_output, hidden),
            intermediate: linear(intermediate, hidden),
            output: linear(output, inner),
        }
    }

    fn pack(&mut self, at: &LayerLayout, weights: &[f32]) {
        self.qkv.pack(&at.qkv, weights);
        self.attention_output.pack(&at.attention_output, weights);
        self.intermediate.pack(&at.intermediate, weights);
        self.output.pack(&at.output, weights);
    }
}

/// The linear maps of all layers.
#[derive(Clone, Debug)]
pub struct PackedWeights {
    precision: Precision,
    layers: Vec<PackedLayer>,
    /// The word embeddings, if they are not in the flat vector.
    word_embeddings: Option<MappedMatrix>,
}

impl PackedWeights {
    /// Packs the layers of `weights`, laid out as the encoder's layout says, for products in
    /// `precision`.
    ///
    /// # Panics
    /// If the layout is one without matrices.
    pub fn new(encoder: &Encoder, weights: &[f32], precision: Precision) -> Self {
        assert!(
            encoder.layout.has_matrices(),
            "PackedWeights: the flat vector of a packed backbone has no matrices"
        );
        let layers = encoder
            .layout
            .layers
            .iter()
            .map(|at| PackedLayer::new(precision, at, weights))
            .collect();
        Self { precision, layers, word_embeddings: None }
    }

    /// Packs stored `layers` (the maps of [`LayerLayout::linear_maps`]) for products in `precision`,
    /// and keeps the table of `words` where it lies.
    ///
    /// # Panics
    /// If a matrix does not have the shape that `config` says, or is stored in bytes but the
    /// precision is another one. One that is stored in bf16 is never rounded to bytes.
    pub fn from_mapped(
        config: &EncoderConfig,
        layers: &[[MappedMatrix; 4]],
        word_embeddings: MappedMatrix,
        precision: Precision,
    ) -> Self {
        let layers =
            layers.iter().map(|weights| PackedLayer::stored(precision, config, weights)).collect();
        Self { precision, layers, word_embeddings: Some(word_embeddings) }
    }

    /// Packs other weights of the same encoder, in the same memory.
    pub fn pack(&mut self, encoder: &Encoder, weights: &[f32]) {
        for (layer, at) in self.layers.iter_mut().zip(&encoder.layout.layers) {
            layer.pack(at, weights);
        }
    }

    /// What products are computed in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The word embeddings [vocabulary, H], if they are not in the flat vector of weights.
    pub fn word_embeddings(&self) -> Option<Rows<'_>> {
        self.word_embeddings.as_ref().map(MappedMatrix::rows)
    }

    /// One layer.
    pub fn layer(&self, layer: usize) -> &PackedLayer {
        &self.layers[layer]
    }
}
