//! Fine-tuning of the tiny BERT on small tasks: learning, predictions and refusals.

mod cross_stitch;
mod learning;
mod predictions;
mod reference;
mod refusals;
mod tasks;
