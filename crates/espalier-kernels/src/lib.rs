//! Arithmetic of a small transformer encoder on slices of f32: the fused operations, each with its
//! backward pass.
//!
//! - [`gemm`]: matrix products in three precisions, which [`linear`] (with bias, GELU and residual
//!   fused) and [`lora`] build on
//! - [`mod@attention`]: multi-head self-attention over ragged batches
//! - [`layer_norm`](mod@layer_norm), [`embedding`], [`pooling`], [`gelu`]
//! - [`loss`]: softmax and binary cross-entropy
//! - [`optimizer`]: AdamW and SGD steps
//! - [`mapped`], [`Rows`]: weights read in place from a file, in f32, bf16 or bytes
//!
//! A batch is ragged: the concatenation of its sequences' real tokens, T rows of width H, and the
//! offsets of the sequences. There is no padding. Matrices are row-major slices; functions check
//! the shapes that they are given and panic if those do not fit, since that is always a bug of the
//! calling program, whatever its input.
//!
//! Work is shared among the threads of the current rayon pool. Results do not depend on their
//! number, and a sequence's result does not depend on what else is in the batch.
//!
//! The feed-forward block of a transformer layer, y = LayerNorm(x + GELU(x W1^T + b1) W2^T + b2):
//!
//! ```
//! use espalier_kernels::Precision;
//! use espalier_kernels::gemm::{Matrix, Packed};
//! use espalier_kernels::layer_norm::{LayerNorm, RowStats, layer_norm};
//! use espalier_kernels::linear::{AddResidual, Gelu, linear};
//!
//! let (tokens, width, inner) = (3, 4, 8);
//! let x = vec![0.5f32; tokens * width]; // [T, H]
//! let (w1, w2) = (vec![0.1; inner * width], vec![-0.2; width * inner]); // [F, H], [H, F]
//! let w1 = Packed::new(Precision::F32, Matrix::new(&w1, inner, width).t());
//! let w2 = Packed::new(Precision::F32, Matrix::new(&w2, width, inner).t());
//! let (b1, b2) = (vec![0.0; inner], vec![0.0, 1.0, 2.0, 3.0]);
//!
//! let mut activated = vec![0.0f32; tokens * inner]; // [T, F]
//! linear(&x, &w1, Some(&b1), &[], Gelu { y: None, out: &mut activated });
//! let mut sum = vec![0.0; tokens * width]; // [T, H]
//! linear(&activated, &w2, Some(&b2), &[], AddResidual { residual: &x, out: &mut sum });
//! let norm = LayerNorm { weight: &[1.0; 4], bias: &[0.0; 4], eps: 1e-12 };
//! let (mut y, mut stats) = (vec![0.0f32; tokens * width], vec![RowStats::default(); tokens]);
//! layer_norm(&sum, norm, &mut y, &mut stats);
//! assert!(y[..width].is_sorted() && y[..width].iter().sum::<f32>().abs() < 1e-5);
//! ```

pub mod attention;
mod buffers;
mod dtype;
pub mod embedding;
pub mod gelu;
pub mod gemm;
pub mod layer_norm;
pub mod linear;
pub mod lora;
pub mod loss;
pub mod mapped;
mod math;
pub mod optimizer;
mod parallel;
pub mod pooling;
mod processor;
mod simd;
mod stored;
mod transpose;

pub use dtype::{Bf16, Element, Precision};
pub use gemm::quantize_rows;
pub use parallel::pool_is_alive;
pub use processor::{
    AUTO_PRECISION, INSTRUCTIONS, LEVELS, Processor, check_environment, processor,
};
pub use simd::{InstructionSet, instruction_set};
pub use stored::{Rows, round_through_bf16, round_to_bf16};
