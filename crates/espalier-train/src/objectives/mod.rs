//! What is learned: losses on token vectors and text vectors, each with its gradients.

mod classification;
mod concept;
mod contrastive;

pub use classification::Classification;
pub use concept::{ConceptBatch, ConceptObjective, ConceptProjections};
pub use contrastive::{PairObjective, false_negatives};
