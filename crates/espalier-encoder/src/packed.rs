//! Weights and adapters packed for matrix products.

use crate::architecture::{EncoderConfig, Module};
use crate::compute::Compute;
use crate::encoder::Encoder;
use crate::layout::{LayerLayout, LinearLayout};
use crate::lora::Lora;
use espalier_kernels::gemm::Packed;
use espalier_kernels::lora::PackedPair;
use espalier_kernels::mapped::View;
use espalier_kernels::{Bf16, Precision, Rows};
use std::sync::OnceLock;

/// One linear layer: W^T for the forward pass and, once it is needed, W for the backward pass.
#[derive(Clone, Debug)]
pub struct PackedLinear {
    precision: Precision,
    forward: Packed,
    backward: OnceLock<Packed>,
}

impl PackedLinear {
    fn new(precision: Precision, at: &LinearLayout, weights: &[f32]) -> Self {
        Self::from_forward(precision, Packed::new(precision, at.view(weights).matrix().t()))
    }

    fn from_forward(precision: Precision, forward: Packed) -> Self {
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

/// The linear layers of one transformer layer.
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

    fn from_mapped(
        precision: Precision,
        config: &EncoderConfig,
        weights: &[MappedMatrix; 4],
    ) -> Self {
        let linear = |weight: &MappedMatrix, inputs| {
            let precision = weight.product_precision(precision);
            PackedLinear::from_forward(precision, Packed::of_rows(precision, weight.rows(), inputs))
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

/// The linear layers of all transformer layers.
///
/// It does not follow changes of the weights that it was packed from; see [`PackedWeights::pack`].
#[derive(Clone, Debug)]
pub struct PackedWeights {
    precision: Precision,
    layers: Vec<PackedLayer>,
    /// The word embeddings, if they are not in the flat vector.
    word_embeddings: Option<MappedMatrix>,
}

impl PackedWeights {
    /// Packs `weights`, which are laid out as the encoder's layout says, for products in
    /// `precision`.
    ///
    /// # Panics
    /// If the layout has no matrices, as that of a packed backbone.
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

    /// Packs the layers of a packed backbone, each given as [`LayerLayout::linear_layers`], for
    /// products in `precision`. The word embeddings are used in place.
    ///
    /// # Panics
    /// If a matrix does not have the shape that `config` says, or is stored in bytes but the
    /// precision is not int8.
    pub(crate) fn from_mapped(
        config: &EncoderConfig,
        layers: &[[MappedMatrix; 4]],
        word_embeddings: MappedMatrix,
        precision: Precision,
    ) -> Self {
        let layers = layers
            .iter()
            .map(|weights| PackedLayer::from_mapped(precision, config, weights))
            .collect();
        Self { precision, layers, word_embeddings: Some(word_embeddings) }
    }

    /// Packs other weights of the same encoder into the same buffers.
    pub fn pack(&mut self, encoder: &Encoder, weights: &[f32]) {
        for (layer, at) in self.layers.iter_mut().zip(&encoder.layout.layers) {
            layer.pack(at, weights);
        }
    }

    /// The precision of matrix products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The word embeddings [V, H], if they are not in the flat vector of weights.
    pub fn word_embeddings(&self) -> Option<Rows<'_>> {
        self.word_embeddings.as_ref().map(MappedMatrix::rows)
    }

    /// One transformer layer.
    pub fn layer(&self, layer: usize) -> &PackedLayer {
        &self.layers[layer]
    }
}

/// A matrix of a packed backbone, in the file that is mapped into memory.
#[derive(Clone, Debug)]
pub(crate) enum MappedMatrix {
    /// [rows, columns].
    F32(View<f32>),
    /// [rows, columns].
    Bf16(View<Bf16>),
    /// Bytes with a scale for each row.
    Int8 {
        /// [rows, columns].
        bytes: View<i8>,
        /// `[rows]`.
        scales: View<f32>,
    },
}

impl MappedMatrix {
    /// The precision of its products in a model of precision `model`: numbers stored in bf16 are
    /// never rounded to bytes.
    fn product_precision(&self, model: Precision) -> Precision {
        match (self, model) {
            (Self::Bf16(_), Precision::Int8) => Compute::Auto.precision(),
            _ => model,
        }
    }

    fn rows(&self) -> Rows<'_> {
        match self {
            Self::F32(values) => Rows::F32(values),
            Self::Bf16(values) => Rows::Bf16(values),
            Self::Int8 { bytes, scales } => Rows::Int8 { bytes, scales },
        }
    }
}

/// A [`Lora`] packed for matrix products. It does not follow changes of the values that it was
/// packed from.
#[derive(Clone, Debug)]
pub struct PackedLora {
    precision: Precision,
    pairs: Vec<PackedPair>,
    /// For each layer and each of [`Module::ALL`] the index in `pairs`.
    index: Vec<[Option<usize>; 6]>,
}

impl PackedLora {
    /// Packs a LoRA for a model with products in `precision`.
    pub fn new(precision: Precision, lora: &Lora) -> Self {
        let pairs = (0..lora.sites.len())
            .map(|site| PackedPair::new(precision, lora.pair_at(site)))
            .collect();
        Self { precision, pairs, index: lora.index().to_vec() }
    }

    /// Packs `lora` into `packed`, reusing its buffers if the shape is the same, as it is from step
    /// to step of training.
    pub fn pack_into(packed: &mut Option<Self>, precision: Precision, lora: &Lora) {
        match packed {
            Some(packed) if packed.precision == precision && packed.fits(lora) => {
                for (site, pair) in packed.pairs.iter_mut().enumerate() {
                    pair.pack(lora.pair_at(site));
                }
            }
            _ => *packed = Some(Self::new(precision, lora)),
        }
    }

    fn fits(&self, lora: &Lora) -> bool {
        let ranks = lora.sites.iter().map(|site| site.spec.rank);
        self.index == lora.index() && self.pairs.iter().map(PackedPair::rank).eq(ranks)
    }

    /// The factors of one module, if it is adapted.
    pub fn pair(&self, layer: usize, module: Module) -> Option<&PackedPair> {
        self.index[layer][module as usize].map(|site| &self.pairs[site])
    }

    /// Number of layers below the first that is adapted, or all of them.
    pub fn trunk_layers(&self) -> usize {
        self.index
            .iter()
            .position(|sites| sites.iter().any(Option::is_some))
            .unwrap_or(self.index.len())
    }
}
