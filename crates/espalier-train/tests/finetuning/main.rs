//! Fine-tuning the tiny BERT on small tasks: that they are learned, from where, what the adapters
//! answer, and what is refused.

mod learning;
mod oracle;
mod predictions;
mod refusals;
mod stitched;
mod tasks;
