//! Weights and adapters in the form in which matrix products read them.

mod adapter;
mod weights;

pub use adapter::PackedLora;
pub use weights::{PackedLayer, PackedLinear, PackedWeights};
