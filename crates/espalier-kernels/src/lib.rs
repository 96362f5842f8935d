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
