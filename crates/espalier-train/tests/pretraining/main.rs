//! Masked language modelling: gradients against transformers and finite differences, runs from
//! scratch and further, what is learnt, and what is refused.

mod gradients;
mod pieces;
mod refusals;
mod runs;
mod texts;
