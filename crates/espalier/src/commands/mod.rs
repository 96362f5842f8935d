//! The subcommands.

pub mod bench;
pub mod conflict;
pub mod data;
pub mod demo;
pub mod doctor;
pub mod encode;
pub mod evaluate;
pub mod fetch;
pub mod finetune;
pub mod pack;
pub mod predict;
pub mod prefinetune;
pub mod pretrain;
pub mod quantize;
pub mod tokenizer;
pub mod training;

use anyhow::Context;
use espalier_encoder::{Backbone, Compute};
use std::path::{Path, PathBuf};

/// The backbone of a command, and what it computes in.
#[derive(clap::Args)]
pub struct BackboneArgs {
    /// The shared encoder: a directory, a packed file (not to train on) or a hub id
    #[arg(long, value_name = "DIR|FILE|ID")]
    backbone: String,
    /// What matrix products are computed in: f32, bf16, int8 (not to train in), or auto for the fastest of the first two
    #[arg(long, default_value_t = Compute::Auto, value_name = "P")]
    precision: Compute,
}

impl BackboneArgs {
    fn open(&self) -> anyhow::Result<Backbone> {
        open_backbone(&self.backbone, self.precision)
    }

    fn locate(&self) -> anyhow::Result<PathBuf> {
        locate(&self.backbone)
    }

    fn open_trainable(&self) -> anyhow::Result<Backbone> {
        open_trainable(&self.backbone, self.precision)
    }
}

/// What a `--backbone` value names: a directory, a packed file, or a hub id that is fetched if it is not cached.
fn locate(spec: &str) -> anyhow::Result<PathBuf> {
    match Path::new(spec) {
        file if file.is_file() => Ok(file.to_path_buf()),
        _ => crate::fetch::resolve(spec),
    }
}

/// Opens the backbone that a `--backbone` value names. For a packed file of bf16 or bytes `auto` means what it stores.
fn open_backbone(spec: &str, compute: Compute) -> anyhow::Result<Backbone> {
    let path = locate(spec)?;
    let backbone = Backbone::open(&path).with_context(|| format!("cannot open the backbone {spec}"))?;
    Ok(backbone.with_compute(compute)?)
}

/// [`open_backbone`] for training, which a packed file is refused for, and 8-bit products.
fn open_trainable(spec: &str, compute: Compute) -> anyhow::Result<Backbone> {
    anyhow::ensure!(compute != Compute::Int8, "int8 is for inference; train in auto, f32 or bf16");
    let backbone = open_backbone(spec, compute)?;
    backbone.trainable()?;
    Ok(backbone)
}
