//! The subcommands.

pub mod bench;
pub mod demo;
pub mod doctor;
pub mod encode;
pub mod evaluate;
pub mod fetch;
pub mod finetune;
pub mod predict;
pub mod prefinetune;

use anyhow::Context;
use espalier_encoder::{Backbone, Compute};

/// The backbone of a command, and what it computes in.
#[derive(clap::Args)]
pub struct BackboneArgs {
    /// The shared encoder: a directory or a hub id
    #[arg(long, value_name = "DIR|ID")]
    backbone: String,
    /// What matrix products are computed in: f32, bf16, int8 (not to train in), or auto for the fastest of the first two
    #[arg(long, default_value_t = Compute::Auto, value_name = "P")]
    precision: Compute,
}

impl BackboneArgs {
    fn open(&self) -> anyhow::Result<Backbone> {
        open_backbone(&self.backbone, self.precision)
    }

    /// For commands that train.
    fn open_to_train(&self) -> anyhow::Result<Backbone> {
        anyhow::ensure!(self.precision != Compute::Int8, "int8 is for inference; train in auto, f32 or bf16");
        self.open()
    }
}

/// Opens the backbone that a `--backbone` value names: a directory, or a hub id that is fetched if it is not cached.
fn open_backbone(spec: &str, compute: Compute) -> anyhow::Result<Backbone> {
    let directory = crate::fetch::resolve(spec)?;
    let backbone = Backbone::open(&directory).with_context(|| format!("cannot open the backbone {spec}"))?;
    Ok(backbone.with_precision(compute.precision()))
}
