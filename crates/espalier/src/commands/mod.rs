//! The subcommands.

pub mod bench;
pub mod demo;
pub mod encode;
pub mod evaluate;
pub mod fetch;
pub mod finetune;
pub mod predict;
pub mod prefinetune;

use anyhow::Context;
use espalier_encoder::Backbone;

/// Opens the backbone that a `--backbone` value names: a directory, or a hub id that is fetched if it is not cached.
fn open_backbone(spec: &str) -> anyhow::Result<Backbone> {
    let directory = crate::fetch::resolve(spec)?;
    Backbone::open(&directory).with_context(|| format!("cannot open the backbone {spec}"))
}
