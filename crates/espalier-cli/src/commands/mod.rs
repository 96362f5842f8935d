//! The subcommands.

pub mod bench;
pub mod conflict;
pub mod data;
pub mod demo;
pub mod doctor;
pub mod encode;
pub mod evaluate;
pub mod fetch;
pub mod fill_mask;
pub mod finetune;
pub mod pack;
pub mod predict;
pub mod prefinetune;
pub mod pretrain;
pub mod quantize;
pub mod teach;
pub mod tokenizer;
pub mod training;

use anyhow::Context;
use espalier_encoder::{AnyBackbone, Backbone, Compute, files};
use espalier_train::columns::SecondColumn;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The backbone of a command, and what it computes in.
#[derive(clap::Args)]
pub struct BackboneArgs {
    /// The shared encoder: a directory, a packed file (not to train on) or a hub id
    #[arg(long, value_name = "DIR|FILE|ID")]
    backbone: String,
    /// What matrix products are computed in: f32, bf16, int8 (not to train in), or auto for the
    /// fastest of the first two
    #[arg(long, default_value_t = Compute::Auto, value_name = "P")]
    precision: Compute,
}

impl BackboneArgs {
    fn open(&self) -> anyhow::Result<AnyBackbone> {
        open_backbone(&self.backbone, self.precision)
    }

    fn locate(&self) -> anyhow::Result<PathBuf> {
        locate(&self.backbone)
    }

    /// As [`BackboneArgs::open`], but takes the directory of a cross-stitch run too: then the
    /// second column is there.
    fn open_columns(&self) -> anyhow::Result<(AnyBackbone, Option<SecondColumn>)> {
        let run = Path::new(&self.backbone);
        if !SecondColumn::is_in(run) {
            return Ok((self.open()?, None));
        }
        let backbone = Backbone::open(&run.join("backbone"))?.with_compute(self.precision);
        let mut second = SecondColumn::open(run, &backbone)?;
        second.backbone = second.backbone.with_compute(self.precision);
        Ok((backbone.into(), Some(second)))
    }

    /// [`BackboneArgs::open_columns`] for training.
    fn open_columns_trainable(&self) -> anyhow::Result<(Backbone, Option<SecondColumn>)> {
        trains(self.precision)?;
        let (backbone, second) = self.open_columns()?;
        Ok((backbone.into_trainable()?, second))
    }
}

/// What a `--backbone` value names: a directory, a packed file, or a hub id that is fetched if it
/// is not cached.
fn locate(spec: &str) -> anyhow::Result<PathBuf> {
    match Path::new(spec) {
        // A device or a pipe is refused on opening, rather than looked for on the hub.
        file if file.exists() && !file.is_dir() => Ok(file.to_path_buf()),
        _ => crate::fetch::resolve(spec),
    }
}

/// Opens the backbone that a `--backbone` value names. For a packed file of bf16 or bytes `auto`
/// means what it stores.
fn open_backbone(spec: &str, compute: Compute) -> anyhow::Result<AnyBackbone> {
    anyhow::ensure!(
        !SecondColumn::is_in(Path::new(spec)),
        "{spec} is a cross-stitch run, of two encoders; only finetune and evaluate take it"
    );
    let path = locate(spec)?;
    let backbone =
        AnyBackbone::open(&path).with_context(|| format!("cannot open the backbone {spec}"))?;
    Ok(backbone.with_compute(compute)?)
}

/// [`open_backbone`] for training, which a packed file is refused for, and 8-bit products.
fn open_trainable(spec: &str, compute: Compute) -> anyhow::Result<Backbone> {
    trains(compute)?;
    Ok(open_backbone(spec, compute)?.into_trainable()?)
}

fn trains(compute: Compute) -> anyhow::Result<()> {
    anyhow::ensure!(compute != Compute::Int8, "int8 is for inference; train in auto, f32 or bf16");
    Ok(())
}

/// Refuses to write over what is read: the file `input`, or a file that is in the directory
/// `input`.
fn not_among(output: &Path, input: &Path) -> anyhow::Result<()> {
    if let (Ok(place), Ok(input)) = (output.canonicalize(), input.canonicalize())
        && (place == input || place.parent() == Some(&input))
    {
        anyhow::bail!("{} is among what is read; give another place", output.display());
    }
    Ok(())
}

/// Refuses to write among other people's files: a directory must be missing or empty, or hold no
/// more than the files `whole`, and what a process that was killed has left of the files `partial`.
/// `what` belongs there.
fn only_ours(directory: &Path, whole: &[&str], partial: &[&str], what: &str) -> anyhow::Result<()> {
    let is_ours = |name: &OsStr| {
        whole.iter().any(|own| name == *own)
            || partial.iter().any(|own| files::is_partial_file(name, own.as_ref()))
    };
    if let Some(found) = files::unknown_entry(directory, is_ours)? {
        let directory = directory.display();
        anyhow::bail!(
            "{directory} is neither empty nor {what}: it holds {found}; choose another directory, \
             one that is empty or not there yet"
        );
    }
    Ok(())
}
