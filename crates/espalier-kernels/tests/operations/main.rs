//! Every operation against its slow f64 version in `oracle`: the forward pass directly, the
//! backward pass against finite differences of it; and the promises about threads and batches, bit
//! for bit.
//!
//! Miri, which looks for undefined behaviour, is given those operations that are not all safe code.

#![cfg_attr(miri, allow(dead_code, reason = "the oracles of what is left out"))]

mod attention;
#[cfg(not(miri))]
mod embedding;
mod fixture;
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
