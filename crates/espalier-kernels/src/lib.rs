//! Arithmetic of a small transformer encoder on slices of f32: the fused operations, each with its
//! backward pass.
//!
//! - [`gemm`]: matrix products in three precisions, on which [`linear`] (bias, GELU and residual
//!   fused) and [`lora`] stand
//! - [`mod@attention`]: multi-head self-attention over ragged batches
//! - [`layer_norm`](mod@layer_norm), [`embedding`], [`pooling`], [`gelu`]
//! - [`loss`]: softmax and binary cross-entropy
//! - [`optimizer`]: AdamW and SGD updates
//! - [`mapped`], [`Rows`]: weights read in place from a file, in f32, bf16 or bytes
//!
//! A batch is ragged: the concatenation of its sequences' real tokens, T rows of width H, with the
//! offsets of the sequences beside it. There is no padding. Matrices are row-major slices;
//! functions check the shapes that they are given and panic when those do not fit, since that is a
//! mistake of the calling program and never of its input.
//!
//! Work is shared among the threads of the current rayon pool. Results do not depend on their
//! number, and a sequence's result does not depend on what else is in the batch.

pub mod attention;
mod bf16;
mod blocks;
mod buffers;
mod element;
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
mod pool;
pub mod pooling;
mod precision;
mod processor;
mod rows;
mod simd;
mod tasks;
mod transpose;

pub use bf16::{Bf16, round_through_bf16, round_to_bf16};
pub use element::Element;
pub use pool::pool_is_alive;
pub use precision::Precision;
pub use processor::{
    AUTO_PRECISION, INSTRUCTIONS, LEVELS, Processor, check_environment, processor,
};
pub use rows::{Rows, quantize_rows};
pub use simd::{InstructionSet, instruction_set};
