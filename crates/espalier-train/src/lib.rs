#![doc = include_str!("../README.md")]

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
