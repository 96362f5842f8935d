//! The loss of masked language modelling (BERT, arXiv 1810.04805).

use espalier_encoder::{MlmHead, Precision, Transformed};
use espalier_kernels::gemm::{Matrix, MatrixMut, Packed, Start, Update, gemm_in};
use espalier_kernels::linear::bias_gradient;
use espalier_kernels::loss::cross_entropy;

/// The number of scores that are computed at a time (16 MiB). Memory does not grow with the product
/// of masked tokens and vocabulary.
const SCORES: usize = 4 << 20;

/// The mean cross-entropy of n masked tokens. h_i is the hidden state of token i, x_i its original
/// id, and E [V, H] the word embeddings, which the decoder shares with the encoder:
///
/// ```text
/// t_i = LayerNorm(GELU(h_i W^T + c))
/// loss = 1/n sum_i CE(t_i E^T + b, x_i)
/// ```
///
/// ```
/// use espalier_encoder::{Backbone, MlmHead, Precision};
/// use espalier_train::objectives::mlm::loss::MlmLoss;
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let backbone = Backbone::open(path.as_ref())?;
/// // A head whose matrix is zero gives every token the score 0, so that all V tokens have the
/// // probability 1/V, and the loss is ln V.
/// let head = MlmHead::random_init(&backbone.encoder.config, || 0.0);
/// let word_embeddings = backbone.encoder.layout.embeddings.word_embeddings(backbone.weights());
/// let loss = MlmLoss { head: &head, word_embeddings, eps: 1e-12, precision: Precision::F32 };
/// let mut hidden = vec![0.5; 2 * backbone.encoder.width()]; // two masked tokens
/// let value = loss.loss(&mut hidden, &[7, 12], None);
/// let vocabulary = backbone.encoder.config.vocab_size as f64;
/// assert!((value - vocabulary.ln()).abs() < 1e-5);
/// # Ok::<(), espalier_encoder::EncoderError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MlmLoss<'a> {
    /// W, c, the LayerNorm and b.
    pub head: &'a MlmHead,
    /// E, the word embeddings, [V, H].
    pub word_embeddings: &'a [f32],
    /// Added to the variance in the LayerNorm.
    pub eps: f32,
    /// The precision of matrix products: f32 or bf16.
    pub precision: Precision,
}

/// Where the gradients of the weighted loss go.
#[derive(Debug)]
pub struct MlmGradients<'g> {
    /// The weight of the loss.
    pub weight: f32,
    /// With respect to the head, laid out as its values; added.
    pub head: &'g mut [f32],
    /// With respect to E, unless it is frozen; added.
    pub word_embeddings: Option<&'g mut [f32]>,
}

impl MlmLoss<'_> {
    /// The loss on the hidden states of the masked tokens, `hidden` [n, H], not weighted. With
    /// `gradients`, `hidden` is overwritten with the gradient of `weight * loss`.
    ///
    /// # Panics
    /// If the shapes do not match, or a target is not in the vocabulary.
    pub fn loss(
        &self,
        hidden: &mut [f32],
        targets: &[u32],
        gradients: Option<MlmGradients>,
    ) -> f64 {
        if targets.is_empty() {
            return 0.0;
        }
        let mut transformed = Transformed::default();
        self.head.transform(hidden, self.eps, self.precision, &mut transformed); // [n, H]
        match gradients {
            None => self.decode(&transformed.vectors, targets, None),
            Some(MlmGradients { weight, head, word_embeddings }) => {
                let mut d = vec![0.0; hidden.len()]; // [n, H]
                let d_bias = self.head.score_bias_of(head);
                let (d_t, d_embeddings) = (d.as_mut_slice(), word_embeddings);
                let gradients = DecoderGradients { weight, d_t, d_bias, d_embeddings };
                let loss = self.decode(&transformed.vectors, targets, Some(gradients));
                self.head.transform_backward(hidden, &transformed, &mut d, head);
                hidden.copy_from_slice(&d);
                loss
            }
        }
    }

    /// The loss of t [n, H], in blocks of rows.
    fn decode(&self, t: &[f32], targets: &[u32], mut gradients: Option<DecoderGradients>) -> f64 {
        let (bias, n) = (self.head.score_bias(), targets.len());
        let (vocabulary, width) = (bias.len(), t.len() / n);
        let embeddings = Matrix::new(self.word_embeddings, vocabulary, width);
        let forward = Packed::new(self.precision, embeddings.t());
        let backward = gradients.is_some().then(|| Packed::new(self.precision, embeddings));
        let block = (SCORES / vocabulary).max(1);
        let (mut total, mut scores) = (0.0, Vec::new());
        for (t, targets) in t.chunks(block * width).zip(targets.chunks(block)) {
            let rows = targets.len();
            let t = Matrix::new(t, rows, width);
            scores.resize(rows * vocabulary, 0.0);
            let s = MatrixMut::new(&mut scores, rows, vocabulary);
            forward.gemm(t, Start::Bias(bias), s); // [rows, V]
            let targets: Vec<Option<u32>> = targets.iter().copied().map(Some).collect();
            let share = rows as f64 / n as f64; // the weight of this block in the mean
            total += share * cross_entropy(&mut scores, &targets, vocabulary);
            let (Some(gradients), Some(backward)) = (&mut gradients, &backward) else { continue };
            gradients.add(self.precision, share as f32, &scores, t, backward);
        }
        total
    }
}

/// Where the decoder's gradients go.
struct DecoderGradients<'g> {
    /// The weight of the loss.
    weight: f32,
    /// With respect to t, [n, H]: the rows that are not written yet.
    d_t: &'g mut [f32],
    d_bias: &'g mut [f32],
    d_embeddings: Option<&'g mut [f32]>,
}

impl DecoderGradients<'_> {
    /// Adds the gradients of a block. `d_scores` [rows, V] is the gradient of the block's mean
    /// loss, `share` the weight of the block in the mean of all, and `embeddings` E.
    fn add(
        &mut self,
        precision: Precision,
        share: f32,
        d_scores: &[f32],
        t: Matrix,
        embeddings: &Packed,
    ) {
        let (rows, width, vocabulary) = (t.rows(), t.cols(), self.d_bias.len());
        let (factor, scores) = (self.weight * share, Matrix::new(d_scores, rows, vocabulary));
        let (block, rest) = std::mem::take(&mut self.d_t).split_at_mut(rows * width);
        self.d_t = rest;
        let update = Update { alpha: factor, start: Start::Zero };
        embeddings.gemm(scores, update, MatrixMut::new(block, rows, width));
        if let Some(d_embeddings) = &mut self.d_embeddings {
            let update = Update { alpha: factor, start: Start::Accumulate };
            let d_embeddings = MatrixMut::new(d_embeddings, vocabulary, width);
            gemm_in(precision, scores.t(), t, update, d_embeddings);
        }
        let mut sums = vec![0.0; vocabulary];
        bias_gradient(d_scores, &mut sums);
        self.d_bias.iter_mut().zip(sums).for_each(|(d, sum)| *d += factor * sum);
    }
}
