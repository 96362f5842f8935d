//! Every operation against its slow f64 version in `oracle`: forward directly, backward against
//! finite differences of it; and the promises about threads and batches, bit for bit.
//!
//! Miri, which looks for undefined behaviour, runs only the operations that have unsafe code.

#![cfg_attr(miri, allow(dead_code, reason = "oracles of operations that are left out"))]

mod attention;
#[cfg(not(miri))]
mod embedding;
mod gelu;
mod layer_norm;
mod linear;
mod linear_gradients;
mod lora;
#[cfg(not(miri))]
mod loss;
#[cfg(not(miri))]
mod optimizer;
mod oracle;
#[cfg(not(miri))]
mod pooling;
mod support;
