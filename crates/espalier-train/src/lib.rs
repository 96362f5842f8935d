//! Pre-finetuning and fine-tuning: corpora, objectives, strategies, optimizers and the loops that
//! join them.
//!
//! - [`objectives`]: what is learned: concept contrast for NER, pair contrast for classification,
//!   heads on tasks
//! - [`strategies`]: whose gradient reaches which weights when both families are trained at once
//! - [`columns`]: two encoders that are stitched to each other, for the strategy that breaks the
//!   rule of one
//! - [`optimizer`]: AdamW and SGD, schedules, clipping
//! - [`prefinetune()`]: many corpora, one shared encoder
//! - [`run`]: the same in a directory, with checkpoints: a killed run goes on where it was
//! - [`finetune()`]: one task, a small adapter and a head on the frozen encoder

pub mod columns;
pub mod config;
mod error;
pub mod finetune;
pub mod initialization;
mod memory;
pub mod objectives;
pub mod optimizer;
pub mod prefinetune;
pub mod run;
pub mod strategies;
mod tfrecord;

pub use config::PrefinetuneConfig;
pub use error::{Result, TrainError};
pub use finetune::{FinetuneConfig, finetune};
pub use prefinetune::{Prefinetuned, prefinetune};
