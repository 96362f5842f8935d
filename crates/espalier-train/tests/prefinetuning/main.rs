//! Pre-finetuning of the tiny BERT on small corpora: what each strategy trains, that every update
//! is the gradient it should be, that runs repeat to the bit, and what is refused.

mod concept_encoder;
mod conflict;
mod corpora;
mod damage;
mod distillation;
mod gradients;
mod refusals;
mod repeatability;
mod resuming;
mod runs;
mod stitching;
mod strategies;
mod teacher_cache;
mod training;
mod trial;
