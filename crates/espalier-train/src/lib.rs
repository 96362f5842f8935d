//! Pretraining, pre-finetuning and fine-tuning of small BERT-like encoders.
//!
//! - [`prefinetune()`]: trains one shared encoder on corpora of both families, NER and text
//!   classification. With [`Strategy::PRETRAIN`](strategy::Strategy::PRETRAIN) it pretrains an
//!   encoder on plain text
//! - [`run`]: the same in a directory, with checkpoints and metrics
//! - [`finetune`]: trains an adapter and a head for one task, on a frozen encoder
//! - [`objectives`]: concept contrast and distillation for NER, contrast of text pairs for
//!   classification, masked language modelling, and the classification heads of fine-tuning
//! - [`strategy`]: which weights are trained, and which objective's gradient reaches them
//! - [`network`]: one encoder, or the two of cross-stitch
//! - [`optimizer`]: AdamW and SGD, parameter groups, schedules, clipping
//! - [`trainer`]: the training loop, and the conflict meter
//! - [`config`]: all settings of a run
//!
//! To read the code, start in `trainer/mod.rs` with `Trainer::step`: one step, from the batches to
//! the updated weights.

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
