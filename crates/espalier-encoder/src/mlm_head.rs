//! The head of masked language modelling: from the hidden state of a masked token to a score for
//! each token of the vocabulary.

use crate::architecture::Architecture;
use crate::architecture::EncoderConfig;
use crate::error::Result;
use crate::layout::Linear;
use crate::tensors::TensorFile;
use espalier_kernels::Precision;
use espalier_kernels::gelu::gelu_backward;
use espalier_kernels::gemm::{Matrix, MatrixMut, Packed, Start, gemm, gemm_in};
use espalier_kernels::layer_norm::{
    LayerNorm, RowStats, SavedLayerNorm, layer_norm, layer_norm_backward,
    layer_norm_parameter_gradients,
};
use espalier_kernels::linear::{Gelu, bias_gradient, linear};
use std::fmt;
use std::ops::Range;

/// BERT's head (arXiv 1810.04805, and transformers' `BertForMaskedLM`). Its last matrix E [V, H] is
/// tied to the word embeddings:
///
/// ```text
/// t = LayerNorm(GELU(h W^T + c))
/// scores = t E^T + b
/// ```
///
/// Its other parameters are one vector: W [H, H], c `[H]`, weight and bias of the LayerNorm, `[H]`
/// each, and b `[V]`.
#[derive(Clone, PartialEq)]
pub struct MlmHead {
    /// All parameters but E.
    pub values: Vec<f32>,
    width: usize,
}

/// The result of [`MlmHead::transform`], and what its backward pass needs.
#[derive(Debug, Default)]
pub struct Transformed {
    /// t, [n, H].
    pub vectors: Vec<f32>,
    /// Before GELU, [n, H].
    inner: Vec<f32>,
    /// After GELU, [n, H].
    activated: Vec<f32>,
    stats: Vec<RowStats>,
    /// That of the forward pass.
    precision: Option<Precision>,
}

/// Its size, without the numbers.
impl fmt::Debug for MlmHead {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("MlmHead").field("parameters", &self.values.len()).finish_non_exhaustive()
    }
}

impl MlmHead {
    /// Random initialisation as in BERT: W is drawn by `normal`, biases are zero, and the
    /// LayerNorm's weight is 1.
    pub fn random_init(config: &EncoderConfig, mut normal: impl FnMut() -> f32) -> Self {
        let mut head = Self::zero(config);
        let [weight, _, norm, ..] = head.ranges();
        head.values[weight].fill_with(&mut normal);
        head.values[norm].fill(1.0);
        head
    }

    fn zero(config: &EncoderConfig) -> Self {
        let (width, vocabulary) = (config.hidden_size, config.vocab_size);
        Self { values: vec![0.0; width * (width + 3) + vocabulary], width }
    }

    /// Where W, c, the LayerNorm's weight and bias, and b are.
    fn ranges(&self) -> [Range<usize>; 5] {
        let (h, end) = (self.width, self.values.len());
        let [c, weight, bias, b] = [0, 1, 2, 3].map(|vector| h * (h + vector));
        [0..c, c..weight, weight..bias, bias..b, b..end]
    }

    /// Where its matrix W is, to which weight decay applies. The other parameters are vectors.
    pub fn matrix(&self) -> Range<usize> {
        0..self.width * self.width
    }

    /// b `[V]`.
    pub fn score_bias(&self) -> &[f32] {
        let [.., b] = self.ranges();
        &self.values[b]
    }

    /// The gradient of b in `gradient`, which is laid out as [`MlmHead::values`].
    pub fn score_bias_of<'g>(&self, gradient: &'g mut [f32]) -> &'g mut [f32] {
        let [.., b] = self.ranges();
        &mut gradient[b]
    }

    fn dense(&self) -> Linear<'_> {
        let [weight, bias, ..] = self.ranges();
        Linear { weight: &self.values[weight], bias: &self.values[bias] }
    }

    /// t [n, H] of hidden states [n, H]; `eps` is that of the encoder's LayerNorms.
    pub fn transform(&self, hidden: &[f32], eps: f32, precision: Precision, to: &mut Transformed) {
        to.precision = Some(precision);
        let Transformed { vectors, inner, activated, stats, .. } = to;
        for buffer in [&mut *vectors, inner, activated] {
            buffer.resize(hidden.len(), 0.0);
        }
        stats.resize(hidden.len() / self.width, RowStats::default());
        let dense = self.dense();
        let weight = Packed::new(precision, dense.matrix().t());
        let gelu = Gelu { y: Some(inner), out: activated };
        linear(hidden, &weight, Some(dense.bias), &[], gelu); // [n, H]
        let [_, _, weight, bias, _] = self.ranges();
        let norm = LayerNorm { weight: &self.values[weight], bias: &self.values[bias], eps };
        layer_norm(activated, norm, vectors, stats);
    }

    /// The backward pass of [`MlmHead::transform`] on the same `hidden`. `d` [n, H] is the gradient
    /// at t on entry and that at `hidden` on return. The gradients of all parameters but b are
    /// added to `gradient`, which is laid out as [`MlmHead::values`].
    pub fn transform_backward(
        &self,
        hidden: &[f32],
        transformed: &Transformed,
        d: &mut [f32],
        gradient: &mut [f32],
    ) {
        let (h, n) = (self.width, hidden.len() / self.width);
        let (d_weight, rest) = gradient.split_at_mut(h * h);
        let (d_bias, rest) = rest.split_at_mut(h);
        let (d_gain, rest) = rest.split_at_mut(h);
        let Transformed { inner, activated, stats, precision, .. } = transformed;
        let precision = precision.unwrap_or(Precision::F32);
        let saved = SavedLayerNorm { input: activated, stats };
        layer_norm_parameter_gradients(saved, d, d_gain, &mut rest[..h]);
        let mut d_inner = vec![0.0; d.len()]; // [n, H]
        let [_, _, gain, ..] = self.ranges();
        layer_norm_backward(saved, &self.values[gain], d, &mut d_inner);
        gelu_backward(inner, &mut d_inner);
        bias_gradient(&d_inner, d_bias);
        let d_inner = Matrix::new(&d_inner, n, h);
        let d_weight = MatrixMut::new(d_weight, h, h);
        let hidden = Matrix::new(hidden, n, h);
        gemm_in(precision, d_inner.t(), hidden, Start::Accumulate, d_weight);
        let d_hidden = MatrixMut::new(d, n, h);
        gemm_in(precision, d_inner, self.dense().matrix(), Start::Zero, d_hidden);
    }

    /// Scores [n, V] of hidden states [n, H], with the word embeddings [V, H] and the `eps` of the
    /// encoder's LayerNorms.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn scores(&self, hidden: &[f32], word_embeddings: &[f32], eps: f32) -> Vec<f32> {
        let mut transformed = Transformed::default();
        self.transform(hidden, eps, Precision::F32, &mut transformed);
        let (n, bias) = (hidden.len() / self.width, self.score_bias());
        let mut scores = vec![0.0; n * bias.len()];
        let word_embeddings = Matrix::new(word_embeddings, bias.len(), self.width);
        let vectors = Matrix::new(&transformed.vectors, n, self.width);
        let to = MatrixMut::new(&mut scores, n, bias.len());
        gemm(vectors, word_embeddings.t(), Start::Bias(bias), to);
        scores
    }

    /// Names, shapes and values of its tensors in a file of this architecture.
    pub(crate) fn tensors(&self, architecture: Architecture) -> Vec<(String, Vec<usize>, &[f32])> {
        let ranges = self.ranges().into_iter();
        let tensor =
            |(name, range): (String, Range<usize>)| (name, self.shape(&range), &self.values[range]);
        names(architecture).into_iter().zip(ranges).map(tensor).collect()
    }

    /// The shape of the tensor in a range.
    fn shape(&self, range: &Range<usize>) -> Vec<usize> {
        if *range == self.matrix() { vec![self.width; 2] } else { vec![range.len()] }
    }

    /// Reads the head from a file, if it has one and E is tied to the word embeddings.
    /// `name_in_file` maps a tensor's name to that in old files.
    pub(crate) fn read(
        file: &TensorFile,
        config: &EncoderConfig,
        word_embeddings: &[f32],
        name_in_file: impl Fn(&str) -> String,
    ) -> Result<Option<Self>> {
        let names = names(config.architecture).map(|name| name_in_file(&name));
        // A matrix of that name but of another shape belongs to another kind of head.
        if file.shape(&names[0]) != Some(vec![config.hidden_size; 2]) {
            return Ok(None);
        }
        let decoder = config.architecture.description().mlm.decoder;
        if file.shape(decoder).is_some() {
            let mut own = vec![0.0; word_embeddings.len()];
            file.read_into(decoder, &[config.vocab_size, config.hidden_size], &mut own)?;
            if own != word_embeddings {
                return Ok(None);
            }
        }
        let mut head = Self::zero(config);
        for (name, range) in names.iter().zip(head.ranges()) {
            file.read_into(name, &head.shape(&range), &mut head.values[range])?;
        }
        Ok(Some(head))
    }
}

/// The names of a head's tensors, in the order of [`MlmHead::ranges`].
fn names(architecture: Architecture) -> [String; 5] {
    let names = &architecture.description().mlm;
    let of = |module: &str, part: &str| format!("{module}.{part}");
    let (dense, norm) = (names.dense, names.norm);
    [
        of(dense, "weight"),
        of(dense, "bias"),
        of(norm, "weight"),
        of(norm, "bias"),
        names.bias.to_string(),
    ]
}
