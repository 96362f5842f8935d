//! Weights and adapters in the form in which matrix products read them.

mod adapter;
mod stored;
mod weights;

pub use adapter::PackedLora;
pub use stored::MappedMatrix;
pub use weights::{PackedLayer, PackedLinear, PackedWeights};
