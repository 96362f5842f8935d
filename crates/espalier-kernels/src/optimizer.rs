//! Optimizer steps, each one pass over memory, and the few operations on whole gradient vectors.

use crate::buffers::with_f32;
use crate::simd::{reduce, reduce2, simd};
use rayon::prelude::*;

/// Elements per task.
const BLOCK: usize = 16 * 1024;

/// Settings of one AdamW step (arXiv 1711.05101, as PyTorch computes it). The defaults are
/// PyTorch's.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Decoupled weight decay: weights shrink by `learning_rate * weight_decay`.
    pub weight_decay: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Number of this step, counted from 1, for the bias correction of the moments.
    pub step: u64,
    /// Gradients are multiplied by this first (clipping by the global norm).
    pub gradient_scale: f32,
}

impl Default for AdamWStep {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            step: 1,
            gradient_scale: 1.0,
        }
    }
}

/// The optimizer state of AdamW: running averages, one number per weight.
#[derive(Debug)]
pub struct Moments<'a> {
    /// Of the gradient (PyTorch's `exp_avg`).
    pub first: &'a mut [f32],
    /// Of its square (PyTorch's `exp_avg_sq`).
    pub second: &'a mut [f32],
}

/// One AdamW step: updates weights and moments, all of one length, and sets the gradients to zero
/// in the same pass.
///
/// Subnormal numbers, which moments decay to where gradients stay zero and which processors are
/// slow with, are set to zero: they change no weight.
///
/// ```
/// use espalier_kernels::optimizer::{AdamWStep, Moments, adamw};
///
/// let step = AdamWStep { learning_rate: 0.1, weight_decay: 0.0, ..AdamWStep::default() };
/// let (mut weights, mut gradients) = ([1.0, 1.0], [0.5, -2.0]);
/// let (mut first, mut second) = ([0.0; 2], [0.0; 2]);
/// let moments = Moments { first: &mut first, second: &mut second };
/// adamw(step, &mut weights, &mut gradients, moments);
/// // The first step has the length of the learning rate, whatever the size of the gradient.
/// assert!((weights[0] - 0.9).abs() < 1e-6 && (weights[1] - 1.1).abs() < 1e-6);
/// assert_eq!(gradients, [0.0, 0.0]);
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn adamw(step: AdamWStep, weights: &mut [f32], gradients: &mut [f32], moments: Moments) {
    let Moments { first, second } = moments;
    let n = weights.len();
    assert!(gradients.len() == n && first.len() == n && second.len() == n, "adamw: lengths differ");
    weights
        .par_chunks_mut(BLOCK)
        .zip(gradients.par_chunks_mut(BLOCK))
        .zip(first.par_chunks_mut(BLOCK))
        .zip(second.par_chunks_mut(BLOCK))
        .for_each(|(((w, g), m), v)| adamw_block(step, w, g, m, v));
}

/// Settings of one step of plain gradient descent.
#[derive(Clone, Copy, Debug)]
pub struct SgdStep {
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Decoupled weight decay: weights shrink by `learning_rate * weight_decay`.
    pub weight_decay: f32,
    /// Gradients are multiplied by this first (clipping by the global norm).
    pub gradient_scale: f32,
}

/// One SGD step, w -= learning_rate * (gradient_scale * g + weight_decay * w). The gradients are
/// set to zero.
///
/// ```
/// use espalier_kernels::optimizer::{SgdStep, sgd};
///
/// let (mut weights, mut gradients) = ([1.0, 1.0], [0.5, -2.0]);
/// let step = SgdStep { learning_rate: 0.5, weight_decay: 0.0, gradient_scale: 1.0 };
/// sgd(step, &mut weights, &mut gradients);
/// assert_eq!((weights, gradients), ([0.75, 2.0], [0.0, 0.0]));
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn sgd(step: SgdStep, weights: &mut [f32], gradients: &mut [f32]) {
    let SgdStep { learning_rate, weight_decay, gradient_scale } = step;
    assert_eq!(weights.len(), gradients.len(), "sgd: lengths differ");
    weights.par_chunks_mut(BLOCK).zip(gradients.par_chunks_mut(BLOCK)).for_each(|(w, g)| {
        for (w, g) in w.iter_mut().zip(g) {
            *w -= learning_rate * (gradient_scale * *g + weight_decay * *w);
            *g = 0.0;
        }
    });
}

/// Sum of squares, added up block by block in order, so that it does not depend on the number of
/// threads.
///
/// ```
/// assert_eq!(espalier_kernels::optimizer::sum_of_squares(&[3.0, 4.0]), 25.0);
/// ```
pub fn sum_of_squares(x: &[f32]) -> f64 {
    with_f32(x.len().div_ceil(BLOCK), |sums| {
        sums.par_iter_mut().zip(x.par_chunks(BLOCK)).for_each(|(sum, block)| *sum = squares(block));
        sums.iter().map(|&sum| sum as f64).sum()
    })
}

/// Dot product of two vectors, added up in the order of [`sum_of_squares`].
///
/// # Panics
/// If the lengths differ.
pub fn dot(x: &[f32], y: &[f32]) -> f64 {
    assert_eq!(x.len(), y.len(), "dot: lengths differ");
    with_f32(x.len().div_ceil(BLOCK), |sums| {
        let blocks = x.par_chunks(BLOCK).zip(y.par_chunks(BLOCK));
        sums.par_iter_mut().zip(blocks).for_each(|(sum, (x, y))| *sum = products(x, y));
        sums.iter().map(|&sum| sum as f64).sum()
    })
}

/// x = a x + b y.
///
/// # Panics
/// If the lengths differ.
pub fn blend(a: f32, x: &mut [f32], b: f32, y: &[f32]) {
    assert_eq!(x.len(), y.len(), "blend: lengths differ");
    x.par_chunks_mut(BLOCK).zip(y.par_chunks(BLOCK)).for_each(|(x, y)| {
        for (x, y) in x.iter_mut().zip(y) {
            *x = a * *x + b * *y;
        }
    });
}

/// Gradients below this have squares whose average is subnormal. They are negligible next to the
/// usual eps of 1e-8.
const SMALLEST_GRADIENT: f32 = 1e-17;

/// x, or zero when it is nearer to zero than `smallest`.
#[inline(always)]
fn flush(x: f32, smallest: f32) -> f32 {
    if x.abs() < smallest { 0.0 } else { x }
}

simd! {
    fn squares(x: &[f32]) -> f32 {
        reduce(x, |v| v * v)
    }
}

simd! {
    fn products(x: &[f32], y: &[f32]) -> f32 {
        reduce2(x, y, |x, y| x * y)
    }
}

simd! {
    fn adamw_block(
        step: AdamWStep,
        weights: &mut [f32],
        gradients: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let AdamWStep { learning_rate, weight_decay, beta1, beta2, eps, step, gradient_scale } =
            step;
        let correction1 = (1.0 - (beta1 as f64).powf(step as f64)) as f32;
        let correction2 = (1.0 - (beta2 as f64).powf(step as f64)).sqrt() as f32;
        let step_size = learning_rate / correction1;
        let keep = 1.0 - learning_rate * weight_decay;
        for (((w, gradient), m), v) in weights.iter_mut().zip(gradients).zip(first).zip(second) {
            let g = flush(*gradient * gradient_scale, SMALLEST_GRADIENT);
            *gradient = 0.0;
            *m = flush(beta1 * *m + (1.0 - beta1) * g, f32::MIN_POSITIVE);
            *v = flush(beta2 * *v + (1.0 - beta2) * g * g, f32::MIN_POSITIVE);
            *w = *w * keep - step_size * *m / (v.sqrt() / correction2 + eps);
        }
    }
}
