//! Where each tensor of an encoder is in one flat vector of parameters.
//!
//! All weights are one `Vec<f32>`; gradients and optimizer state are vectors of the same layout. An
//! update is one pass over memory, a norm is one sum, and a checkpoint is one tensor. The weights
//! of query, key and value are adjacent, so that together they are one matrix [3H, H] without
//! copying.
//!
//! ```
//! use espalier_encoder::Backbone;
//!
//! # fn main() -> Result<(), espalier_encoder::EncoderError> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
//! let backbone = Backbone::open(path.as_ref())?;
//! let layout = &backbone.encoder.layout;
//! assert_eq!(layout.tensors[0].name, "embeddings.word_embeddings.weight");
//! let qkv = layout.layers[0].qkv.view(backbone.weights());
//! assert_eq!(qkv.weight.len(), 3 * 32 * 32); // [3H, H]
//! # Ok(())
//! # }
//! ```

use crate::architecture::EncoderConfig;
use crate::architecture::Module;
use espalier_kernels::Rows;
use espalier_kernels::attention::BUCKETS;
use espalier_kernels::embedding::{EmbeddingTables, EmbeddingTablesMut};
use espalier_kernels::gemm::Matrix;
use espalier_kernels::layer_norm::LayerNorm;
use std::ops::Range;

/// One named tensor of the flat vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in a Hugging Face checkpoint of the bare encoder: without the prefix (`bert.`, say) of
    /// models with heads.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// Its elements in the flat vector.
    pub range: Range<usize>,
}

impl TensorSpec {
    /// Whether weight decay applies: to matrices, but neither to biases (that by relative position
    /// is a table, too) nor to LayerNorm weights.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1 && !self.name.ends_with("bias.weight")
    }
}

/// A linear layer y = x W^T + b.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// W, [out, in].
    pub weight: &'a [f32],
    /// b, `[out]`.
    pub bias: &'a [f32],
}

impl<'a> Linear<'a> {
    /// W as a matrix [out, in].
    pub fn matrix(&self) -> Matrix<'a> {
        Matrix::new(self.weight, self.bias.len(), self.weight.len() / self.bias.len())
    }
}

/// A linear layer in the flat vector: its weight, then its bias.
#[derive(Clone, Debug)]
pub struct LinearLayout {
    weight: Range<usize>,
    bias: Range<usize>,
}

impl LinearLayout {
    /// The layer's parameters.
    pub fn view<'a>(&self, parameters: &'a [f32]) -> Linear<'a> {
        Linear { weight: &parameters[self.weight.clone()], bias: &parameters[self.bias.clone()] }
    }

    /// Weight and bias, mutable.
    pub fn view_mut<'a>(&self, parameters: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32]) {
        parameters[self.weight.start..self.bias.end].split_at_mut(self.weight.len())
    }
}

/// A LayerNorm in the flat vector: its weight, then its bias.
#[derive(Clone, Debug)]
pub struct NormLayout {
    weight: Range<usize>,
    bias: Range<usize>,
}

impl NormLayout {
    fn width(&self) -> usize {
        self.weight.len()
    }

    /// The LayerNorm's parameters.
    pub fn view<'a>(&self, parameters: &'a [f32], eps: f32) -> LayerNorm<'a> {
        let (weight, bias) = (&parameters[self.weight.clone()], &parameters[self.bias.clone()]);
        LayerNorm { weight, bias, eps }
    }

    /// Weight and bias, mutable.
    pub fn view_mut<'a>(&self, parameters: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32]) {
        parameters[self.weight.start..self.bias.end].split_at_mut(self.weight.len())
    }
}

/// The embedding tables and the LayerNorm after them.
#[derive(Clone, Debug)]
pub struct EmbeddingsLayout {
    words: Range<usize>,
    /// From the row of a text's first token on.
    positions: Range<usize>,
    /// The row of the first token type; empty without such a table.
    token_type: Range<usize>,
    /// LayerNorm of the sum.
    pub norm: NormLayout,
    /// All parameters of the embeddings, including the LayerNorm.
    pub all: Range<usize>,
}

impl EmbeddingsLayout {
    /// The word embeddings [V, H]; empty in a layout without matrices.
    pub fn word_embeddings<'a>(&self, parameters: &'a [f32]) -> &'a [f32] {
        &parameters[self.words.clone()]
    }

    /// The tables.
    pub fn view<'a>(&self, parameters: &'a [f32]) -> EmbeddingTables<'a> {
        EmbeddingTables {
            width: self.norm.width(),
            word_embeddings: Rows::F32(self.word_embeddings(parameters)),
            position_embeddings: &parameters[self.positions.clone()],
            token_type_embedding: &parameters[self.token_type.clone()],
        }
    }

    /// The tables, mutable.
    pub fn view_mut<'a>(&self, parameters: &'a mut [f32]) -> EmbeddingTablesMut<'a> {
        let (words, rest) = parameters[self.words.start..].split_at_mut(self.words.len());
        let (positions, rest) =
            rest[self.positions.start - self.words.end..].split_at_mut(self.positions.len());
        EmbeddingTablesMut {
            width: self.norm.width(),
            word_embeddings: words,
            position_embeddings: positions,
            token_type_embedding: &mut rest[..self.token_type.len()],
        }
    }
}

/// One transformer layer in the flat vector.
#[derive(Clone, Debug)]
pub struct LayerLayout {
    /// Query, key and value as one linear layer H -> 3H.
    pub qkv: LinearLayout,
    /// Linear layer H -> H after attention.
    pub attention_output: LinearLayout,
    /// LayerNorm after attention.
    pub attention_norm: NormLayout,
    /// Linear layer H -> F.
    pub intermediate: LinearLayout,
    /// Linear layer F -> H.
    pub output: LinearLayout,
    /// LayerNorm after the feed-forward block.
    pub output_norm: NormLayout,
}

impl LayerLayout {
    /// The linear layers, in the order of computation.
    pub fn linear_layers(&self) -> [&LinearLayout; 4] {
        [&self.qkv, &self.attention_output, &self.intermediate, &self.output]
    }
}

/// A whole encoder in the flat vector.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Every tensor, in the order of the flat vector, without gaps.
    pub tensors: Vec<TensorSpec>,
    /// The embeddings.
    pub embeddings: EmbeddingsLayout,
    /// The bias of all layers' attention by relative position, [BUCKETS, heads]; empty where there
    /// is none.
    pub relative_bias: Range<usize>,
    /// The layers, first to last.
    pub layers: Vec<LayerLayout>,
}

impl Layout {
    /// Lays out the encoder that `config` describes.
    pub fn new(config: &EncoderConfig) -> Self {
        Self::with(config, true)
    }

    /// The layout without linear weights and word embeddings, whose ranges are empty. Packed
    /// backbones have them elsewhere.
    pub(crate) fn without_matrices(config: &EncoderConfig) -> Self {
        Self::with(config, false)
    }

    fn with(config: &EncoderConfig, matrices: bool) -> Self {
        let mut writer = Writer { tensors: Vec::new(), next: 0, matrices };
        let embeddings = writer.embeddings(config);
        let relative_bias = writer.relative_bias(config);
        let layers =
            (0..config.num_hidden_layers).map(|layer| writer.layer(config, layer)).collect();
        Self { tensors: writer.tensors, embeddings, relative_bias, layers }
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.range.end)
    }

    /// Whether linear weights and word embeddings are in the flat vector. They are not in that of a
    /// packed backbone.
    pub fn has_matrices(&self) -> bool {
        !self.embeddings.words.is_empty()
    }

    /// Whether there are no parameters (never, for a valid configuration).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Assigns consecutive ranges.
struct Writer {
    tensors: Vec<TensorSpec>,
    next: usize,
    /// Whether linear weights and word embeddings get a range.
    matrices: bool,
}

impl Writer {
    fn tensor(&mut self, name: String, shape: &[usize]) -> Range<usize> {
        let range = self.next..self.next + shape.iter().product::<usize>();
        self.next = range.end;
        self.tensors.push(TensorSpec { name, shape: shape.to_vec(), range: range.clone() });
        range
    }

    fn matrix(&mut self, name: String, shape: &[usize]) -> Range<usize> {
        if self.matrices { self.tensor(name, shape) } else { self.next..self.next }
    }

    fn norm(&mut self, name: &str, width: usize) -> NormLayout {
        let weight = self.tensor(format!("{name}.weight"), &[width]);
        NormLayout { weight, bias: self.tensor(format!("{name}.bias"), &[width]) }
    }

    /// Linear layers that have their input in common, as one: all weights, then all biases.
    fn linear(&mut self, names: &[String], outputs: usize, inputs: usize) -> LinearLayout {
        let start = self.next;
        for name in names {
            self.matrix(format!("{name}.weight"), &[outputs, inputs]);
        }
        let middle = self.next;
        for name in names {
            self.tensor(format!("{name}.bias"), &[outputs]);
        }
        LinearLayout { weight: start..middle, bias: middle..self.next }
    }

    fn embeddings(&mut self, config: &EncoderConfig) -> EmbeddingsLayout {
        let width = config.hidden_size;
        let table = |name: &str| format!("embeddings.{name}_embeddings.weight");
        let words = self.matrix(table("word"), &[config.vocab_size, width]);
        let positions = self.tensor(table("position"), &[config.max_position_embeddings, width]);
        let positions = positions.start + config.first_position * width..positions.end;
        let mut token_type = self.next..self.next;
        if config.type_vocab_size > 0 {
            let types = self.tensor(table("token_type"), &[config.type_vocab_size, width]);
            token_type = types.start..types.start + width;
        }
        let norm = self.norm("embeddings.LayerNorm", width);
        EmbeddingsLayout { words, positions, token_type, norm, all: 0..self.next }
    }

    /// It is not a matrix of a product, so it is in a layout without matrices, too.
    fn relative_bias(&mut self, config: &EncoderConfig) -> Range<usize> {
        match config.architecture.description().relative_bias {
            Some(name) => self.tensor(name.into(), &[BUCKETS, config.num_attention_heads]),
            None => self.next..self.next,
        }
    }

    fn layer(&mut self, config: &EncoderConfig, layer: usize) -> LayerLayout {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let names = config.architecture.description();
        let modules = Module::ALL.map(|module| config.architecture.module_name(layer, module));
        let [_, _, _, attention_output, intermediate, output] =
            modules.each_ref().map(std::slice::from_ref);
        let [attention_norm, output_norm] =
            names.norms.map(|norm| format!("{}.{layer}.{norm}", names.layers));
        LayerLayout {
            qkv: self.linear(&modules[..3], hidden, hidden),
            attention_output: self.linear(attention_output, hidden, hidden),
            attention_norm: self.norm(&attention_norm, hidden),
            intermediate: self.linear(intermediate, inner, hidden),
            output: self.linear(output, hidden, inner),
            output_norm: self.norm(&output_norm, hidden),
        }
    }
}
