//! Masked language modelling (BERT, arXiv 1810.04805): what stood in the place of a hidden token?

use espalier_encoder::{MlmHead, Precision, Transformed};
use espalier_kernels::gemm::{Matrix, MatrixMut, Packed, Start, Update, gemm_in};
use espalier_kernels::linear::bias_gradient;
use espalier_kernels::loss::cross_entropy;

/// Scores that are computed at a time, 16 MiB of them: memory grows with the hidden tokens or with
/// the vocabulary, not with their product.
const SCORES: usize = 4 << 20;

/// Mean cross-entropy of the scores of n hidden tokens against what stood there, x_i:
///
/// ```text
/// t_i = LayerNorm(GELU(h_i W^T + c))
/// loss = 1/n sum_i CE(t_i E^T + b, x_i)
/// ```
///
/// E [V, H] are the word embeddings, which learn from both their uses.
#[derive(Clone, Copy, Debug)]
pub struct MlmLoss<'a> {
    /// W, c, the LayerNorm and b.
    pub head: &'a MlmHead,
    /// E, [V, H].
    pub words: &'a [f32],
    /// Added to the variance in the LayerNorm.
    pub eps: f32,
    /// What products are computed in: f32 or bf16.
    pub precision: Precision,
}

/// Where the gradients of a loss go.
#[derive(Debug)]
pub struct MlmGradients<'g> {
    /// Factor of the loss.
    pub weight: f32,
    /// Of the head, laid out as its values; they are added.
    pub head: &'g mut [f32],
    /// Of E, unless it is frozen; they are added.
    pub words: Option<&'g mut [f32]>,
}

impl MlmLoss<'_> {
    /// The loss of the hidden tokens' vectors, [n, H], which become the gradients of `weight *
    /// loss` at them if gradients are wanted.
    ///
    /// # Panics
    /// If the shapes do not fit each other, or a target is no token.
    pub fn loss(
        &self,
        vectors: &mut [f32],
        targets: &[u32],
        gradients: Option<MlmGradients>,
    ) -> f64 {
        if targets.is_empty() {
            return 0.0;
        }
        let mut transformed = Transformed::default();
        self.head.transform(vectors, self.eps, self.precision, &mut transformed); // [n, H]
        match gradients {
            None => self.decode(&transformed.vectors, targets, None),
            Some(MlmGradients { weight, head, words }) => {
                let mut d = vec![0.0; vectors.len()]; // [n, H]
                let bias = self.head.score_bias_of(head);
                let decoder = Decoder { weight, d_vectors: &mut d, d_bias: bias, d_words: words };
                let loss = self.decode(&transformed.vectors, targets, Some(decoder));
                self.head.transform_backward(vectors, &transformed, &mut d, head);
                vectors.copy_from_slice(&d);
                loss
            }
        }
    }

    /// The loss of t [n, H], in blocks of rows.
    fn decode(&self, t: &[f32], targets: &[u32], mut gradients: Option<Decoder>) -> f64 {
        let (bias, n) = (self.head.score_bias(), targets.len());
        let (vocabulary, width) = (bias.len(), t.len() / n);
        let words = Matrix::new(self.words, vocabulary, width);
        let forward = Packed::new(self.precision, words.t());
        let backward = gradients.is_some().then(|| Packed::new(self.precision, words));
        let block = (SCORES / vocabulary).max(1);
        let (mut total, mut scores) = (0.0, Vec::new());
        for (t, targets) in t.chunks(block * width).zip(targets.chunks(block)) {
            let rows = targets.len();
            let t = Matrix::new(t, rows, width);
            scores.resize(rows * vocabulary, 0.0);
            let to = MatrixMut::new(&mut scores, rows, vocabulary);
            forward.gemm(t, Start::Bias(bias), to); // [rows, V]
            let targets: Vec<Option<u32>> = targets.iter().copied().map(Some).collect();
            let share = rows as f64 / n as f64; // of the mean over all hidden tokens
            total += share * cross_entropy(&mut scores, &targets, vocabulary);
            let (Some(gradients), Some(backward)) = (&mut gradients, &backward) else { continue };
            gradients.add(self.precision, share as f32, &scores, t, backward);
        }
        total
    }
}

/// Where the gradients of the scores go.
struct Decoder<'g> {
    weight: f32,
    /// At t, [n, H]: the blocks that are not yet written.
    d_vectors: &'g mut [f32],
    d_bias: &'g mut [f32],
    d_words: Option<&'g mut [f32]>,
}

impl Decoder<'_> {
    /// Takes the gradients `d_scores` [rows, V] of a block's mean loss; `words` are E.
    fn add(
        &mut self,
        precision: Precision,
        share: f32,
        d_scores: &[f32],
        t: Matrix,
        words: &Packed,
    ) {
        let (rows, width, vocabulary) = (t.rows(), t.cols(), self.d_bias.len());
        let (factor, scores) = (self.weight * share, Matrix::new(d_scores, rows, vocabulary));
        let (block, rest) = std::mem::take(&mut self.d_vectors).split_at_mut(rows * width);
        self.d_vectors = rest;
        let update = Update { alpha: factor, start: Start::Zero };
        words.gemm(scores, update, MatrixMut::new(block, rows, width));
        if let Some(d_words) = &mut self.d_words {
            let update = Update { alpha: factor, start: Start::Accumulate };
            let d_words = MatrixMut::new(d_words, vocabulary, width);
            gemm_in(precision, scores.t(), t, update, d_words);
        }
        let mut sums = vec![0.0; vocabulary];
        bias_gradient(d_scores, &mut sums);
        self.d_bias.iter_mut().zip(sums).for_each(|(d, sum)| *d += factor * sum);
    }
}
