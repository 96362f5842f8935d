//! The loss of concept contrast (NuNER, arXiv 2402.15343): every token of a batch against every
//! concept of the batch.

use espalier_kernels::gemm::{Matrix, MatrixMut, Start, Update, gemm};
use espalier_kernels::loss::binary_cross_entropy;
use espalier_kernels::pooling::{l2_normalize, l2_normalize_backward};

/// Binary cross-entropy of token x concept pairs.
///
/// The score of token i and concept j is s_ij = scale cos(P h_i, Q c_j) + bias, with the hidden
/// state h_i and the concept vector c_j. The loss is the mean over all pairs of the binary
/// cross-entropy of sigmoid(s_ij) and y_ij, where y_ij is 1 if token i is in an entity of concept
/// j.
///
/// ```
/// use espalier_train::objectives::concept::loss::{
///     ConceptBatch, ConceptGradients, ConceptLoss, ConceptProjections,
/// };
///
/// // Two tokens and one concept, which has the direction of the first token; P and Q are the
/// // identity. The scores are 2 x 1 - 1 = 1 and 2 x 0 - 1 = -1. Both terms are ln(1 + e^-1).
/// let batch = ConceptBatch { tokens: &[0, 1], concepts: &[3.0, 0.0], targets: &[true, false] };
/// let (mut hidden, mut concepts, mut projections) = (Vec::new(), Vec::new(), vec![0.0; 8]);
/// let loss = ConceptLoss { scale: 2.0, bias: -1.0 }.loss(
///     &[1.0, 0.0, 0.0, 1.0],
///     &batch,
///     &ConceptProjections::identity(2),
///     1.0,
///     ConceptGradients {
///         hidden: &mut hidden,
///         concepts: &mut concepts,
///         projections: &mut projections,
///     },
/// );
/// assert!((loss - (-1f64).exp().ln_1p()).abs() < 1e-6);
/// assert!(hidden[2] > 0.0); // descent turns the second token away from the concept
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ConceptLoss {
    /// The factor of the cosine.
    pub scale: f32,
    /// Added to the scores. It is negative, because most pairs are negatives.
    pub bias: f32,
}

/// The tokens and concepts of a batch.
#[derive(Debug)]
pub struct ConceptBatch<'a> {
    /// The rows of the hidden states that take part, ascending, `[n]`: all but special tokens.
    pub tokens: &'a [usize],
    /// The concept vectors, [J, H].
    pub concepts: &'a [f32],
    /// Whether token i is in an entity of concept j, [n, J].
    pub targets: &'a [bool],
}

/// Where the gradients of the weighted loss go.
#[derive(Debug)]
pub struct ConceptGradients<'a> {
    /// With respect to the hidden states, [T, H]; overwritten.
    pub hidden: &'a mut Vec<f32>,
    /// With respect to the concept vectors, [J, H]; overwritten.
    pub concepts: &'a mut Vec<f32>,
    /// With respect to P and Q, laid out as [`ConceptProjections::values`]; added.
    pub projections: &'a mut [f32],
}

/// The projections P and Q, both [H, H], in one vector. They are not needed after pre-finetuning.
#[derive(Clone, Debug, PartialEq)]
pub struct ConceptProjections {
    /// P, then Q.
    pub values: Vec<f32>,
    width: usize,
}

impl ConceptProjections {
    /// Both the identity, where training starts.
    pub fn identity(width: usize) -> Self {
        let mut values = vec![0.0; 2 * width * width];
        for i in 0..width {
            values[i * width + i] = 1.0;
            values[width * width + i * width + i] = 1.0;
        }
        Self { values, width }
    }

    /// P and Q.
    pub fn parts(&self) -> (&[f32], &[f32]) {
        self.values.split_at(self.width * self.width)
    }

    fn matrices(&self) -> (Matrix<'_>, Matrix<'_>) {
        let (p, q) = self.parts();
        (Matrix::new(p, self.width, self.width), Matrix::new(q, self.width, self.width))
    }
}

impl ConceptLoss {
    /// The loss on hidden states `hidden` [T, H], not weighted. The gradients are those of
    /// `weight * loss`.
    ///
    /// # Panics
    /// If the shapes do not match.
    pub fn loss(
        &self,
        hidden: &[f32],
        batch: &ConceptBatch,
        projections: &ConceptProjections,
        weight: f32,
        gradients: ConceptGradients,
    ) -> f64 {
        let (d_hidden, d_concepts) = (gradients.hidden, gradients.concepts);
        let width = projections.width;
        let (n, concepts) = (batch.tokens.len(), batch.concepts.len() / width);
        assert_eq!(
            batch.targets.len(),
            n * concepts,
            "ConceptLoss: targets are not tokens x concepts"
        );
        d_hidden.clear();
        d_hidden.resize(hidden.len(), 0.0);
        d_concepts.clear();
        d_concepts.resize(batch.concepts.len(), 0.0);
        if n == 0 || concepts == 0 {
            return 0.0;
        }
        let h: Vec<f32> = batch
            .tokens
            .iter()
            .flat_map(|&t| &hidden[t * width..(t + 1) * width])
            .copied()
            .collect();
        let (p, q) = projections.matrices();
        let (u, u_norms) = project(Matrix::new(&h, n, width), p); // [n, H]
        let (v, v_norms) = project(Matrix::new(batch.concepts, concepts, width), q); // [J, H]

        let mut scores = vec![self.bias; n * concepts]; // [n, J]
        let (u_matrix, v_matrix) = (Matrix::new(&u, n, width), Matrix::new(&v, concepts, width));
        let update = Update { alpha: self.scale, start: Start::Accumulate };
        gemm(u_matrix, v_matrix.t(), update, MatrixMut::new(&mut scores, n, concepts));
        let loss = binary_cross_entropy(&mut scores, batch.targets);

        let d_scores = Matrix::new(&scores, n, concepts);
        let update = Update { alpha: self.scale * weight, start: Start::Zero };
        let (mut d_u, mut d_v) = (vec![0.0; u.len()], vec![0.0; v.len()]);
        gemm(d_scores, v_matrix, update, MatrixMut::new(&mut d_u, n, width));
        gemm(d_scores.t(), u_matrix, update, MatrixMut::new(&mut d_v, concepts, width));
        l2_normalize_backward(&u, &u_norms, width, &mut d_u);
        l2_normalize_backward(&v, &v_norms, width, &mut d_v);

        let (d_p, d_q) = gradients.projections.split_at_mut(width * width);
        let (d_u, d_v) = (Matrix::new(&d_u, n, width), Matrix::new(&d_v, concepts, width));
        let d_p = MatrixMut::new(d_p, width, width);
        gemm(d_u.t(), Matrix::new(&h, n, width), Start::Accumulate, d_p);
        let c = Matrix::new(batch.concepts, concepts, width);
        gemm(d_v.t(), c, Start::Accumulate, MatrixMut::new(d_q, width, width));
        gemm(d_v, q, Start::Zero, MatrixMut::new(d_concepts, concepts, width));

        let mut d_h = h; // h is not needed any more: reuse its memory
        gemm(d_u, p, Start::Zero, MatrixMut::new(&mut d_h, n, width));
        for (&token, row) in batch.tokens.iter().zip(d_h.chunks_exact(width)) {
            d_hidden[token * width..(token + 1) * width].copy_from_slice(row);
        }
        loss
    }
}

/// x W^T with rows normalized to length one, and the lengths of the rows before that.
fn project(x: Matrix, w: Matrix) -> (Vec<f32>, Vec<f32>) {
    let (rows, width) = (x.rows(), w.rows());
    let mut y = vec![0.0; rows * width];
    let mut norms = vec![0.0; rows];
    gemm(x, w.t(), Start::Zero, MatrixMut::new(&mut y, rows, width));
    l2_normalize(&mut y, width, &mut norms);
    (y, norms)
}
