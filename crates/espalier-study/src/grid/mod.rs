//! The study: backbones x strategies x seeds x tasks x label fractions, from one file.
//!
//! | file | what it does |
//! |---|---|
//! | `config` | the study's TOML file ([`StudyConfig`]) |
//! | `tasks` | the splits of a task, sampled down to the study's limits |
//! | `plan` | the encoders and cells of a study, and their addresses |
//! | `results` | `results.jsonl`, a line for each result, written by any number of processes |
//! | `encoders` | pre-finetunes an encoder, or finds it in the study's directory |
//! | `run` | goes through the plan |
//! | `summary` | means, paired differences with bootstrap intervals, ranks |
//!
//! A result has an address, the SHA-256 of all settings that determine it. What has an address in
//! `results.jsonl` is not computed again, so that a study that was stopped, extended or split into
//! shards goes on where it is.

mod config;
mod encoders;
mod error;
mod plan;
mod results;
mod run;
mod summary;
mod tasks;

pub use config::{BackboneEntry, FinetuneGrid, Limits, StrategyRow, StudyConfig, TuningConfig};
pub use encoders::{ModelSource, Teachers};
pub use error::{Result, StudyError};
pub use plan::{CellPlan, EncoderPlan, Plan, Shard};
pub use results::{CellRecord, EncoderRecord, Record, Results, TuningRecord, merge};
pub use run::{StudyEvent, run};
pub use summary::{Difference, FamilyResult, Interval, Row, Summary, Table, TaskColumn};

#[cfg(test)]
pub(crate) use summary::tests::sample;
