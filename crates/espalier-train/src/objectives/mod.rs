//! What is learned: losses on token vectors and text vectors, each with its gradients.

mod concept;
mod contrastive;

pub use concept::{ConceptBatch, ConceptObjective, ConceptProjections};
pub use contrastive::{PairObjective, false_negatives};
