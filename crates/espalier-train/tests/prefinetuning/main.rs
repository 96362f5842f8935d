//! Pre-finetuning of the tiny BERT on small corpora: what each strategy trains, its gradients,
//! reproducibility, runs in a directory, and invalid input.

mod concept_encoder;
mod conflict;
mod corpora;
mod cross_stitch;
mod damage;
mod distillation;
mod gradients;
mod one_step;
mod pcgrad;
mod refusals;
mod reproducibility;
mod resuming;
mod runs;
mod strategies;
mod teacher_cache;
mod text_teacher;
mod text_teacher_gradients;
mod training;
mod trial;
