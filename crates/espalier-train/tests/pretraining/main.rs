//! Masked language modelling: gradients, runs from a random and from a trained encoder, and invalid
//! input.

mod gradients;
mod pieces;
mod refusals;
mod runs;
mod texts;
