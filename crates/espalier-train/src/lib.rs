//! Pre-finetuning and fine-tuning of small encoders.
//!
//! - [`prefinetune()`]: many corpora of both families, one shared encoder
//! - [`run`]: the same in a directory, with checkpoints: a killed run resumes where it was
//! - [`finetune`]: one task, a small adapter and a head on the frozen encoder
//! - [`objectives`]: what is learned: concept contrast or distillation for NER, contrast of text
//!   pairs for classification, masked language modelling, classification by a head
//! - [`strategy`]: which weights are trained, and whose gradient reaches which of them
//! - [`network`]: what texts run through: one encoder, or the two of cross-stitch
//! - [`optimizer`]: AdamW and SGD over parameter groups, schedules, clipping
//! - [`trainer`]: the loop of pre-finetuning, and the conflict meter
//! - [`config`]: every setting of a run
//!
//! Start reading in `trainer/mod.rs`: one step, from batch to updated weights.

pub mod config;
mod error;
pub mod finetune;
pub mod initialization;
mod memory;
pub mod network;
pub mod objectives;
pub mod optimizer;
pub mod run;
pub mod strategy;
mod tfrecord;
mod trained;
pub mod trainer;

pub use config::PrefinetuneConfig;
pub use error::{Result, TrainError};
pub use finetune::{FinetuneConfig, Finetuner};
pub use trainer::{Prefinetuned, prefinetune};
