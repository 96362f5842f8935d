//! The backbone that a command line names, opened as the command needs it.

use crate::output::Explanation;
use crate::progress::download_bar;
use anyhow::Context;
use espalier_encoder::{AnyBackbone, Backbone, Compute};
use espalier_hub::{Fetched, HubError, Options};
use espalier_train::network::SecondEncoder;
use std::path::{Path, PathBuf};

/// The backbone of a command, and its precision.
#[derive(clap::Args)]
pub struct BackboneArgs {
    /// The shared encoder: a Hugging Face directory, a packed file (not for training) or a model id
    /// on the hub
    #[arg(long, value_name = "DIR|FILE|ID")]
    pub backbone: String,
    /// Precision of matrix products: f32, bf16, int8 (not for training), or auto for the faster of
    /// f32 and bf16
    #[arg(long, default_value_t = Compute::Auto, value_name = "P")]
    pub precision: Compute,
}

impl BackboneArgs {
    pub fn open(&self) -> anyhow::Result<AnyBackbone> {
        open(&self.backbone, self.precision)
    }

    pub fn locate(&self) -> anyhow::Result<PathBuf> {
        locate(&self.backbone)
    }

    /// [`BackboneArgs::open`] that also takes the directory of a cross-stitch run, and then returns
    /// its second encoder too.
    pub fn open_encoders(&self) -> anyhow::Result<(AnyBackbone, Option<SecondEncoder>)> {
        let run = Path::new(&self.backbone);
        if !SecondEncoder::is_in(run) {
            return Ok((self.open()?, None));
        }
        let backbone = Backbone::open(&run.join("backbone"))?.with_compute(self.precision);
        let mut second = SecondEncoder::open(run, &backbone)?;
        second.backbone = second.backbone.with_compute(self.precision);
        Ok((backbone.into(), Some(second)))
    }

    /// [`BackboneArgs::open_encoders`] for training.
    pub fn open_encoders_trainable(&self) -> anyhow::Result<(Backbone, Option<SecondEncoder>)> {
        check_trainable(self.precision)?;
        let (backbone, second) = self.open_encoders()?;
        Ok((backbone.into_trainable()?, second))
    }
}

/// The path of a backbone: a directory, a packed file, or a model of the hub, which is downloaded
/// if it is not cached.
pub fn locate(spec: &str) -> anyhow::Result<PathBuf> {
    let bar = download_bar();
    espalier_hub::resolve(spec, &Options::default().on_event(&bar)).map_err(explain)
}

/// Downloads a model of the hub, or verifies every byte of the cached one.
pub fn fetch(id: &str) -> anyhow::Result<Fetched> {
    let bar = download_bar();
    espalier_hub::fetch(id, &Options::default().on_event(&bar)).map_err(explain)
}

/// Keeps the lines of a message that has several.
fn explain(error: HubError) -> anyhow::Error {
    match error {
        HubError::NotDownloaded { explanation, .. } => Explanation(explanation).into(),
        other => other.into(),
    }
}

/// Opens the backbone that a `--backbone` value names. For a packed file of bf16 or int8, `auto`
/// means the precision that it stores.
pub fn open(spec: &str, compute: Compute) -> anyhow::Result<AnyBackbone> {
    anyhow::ensure!(
        !SecondEncoder::is_in(Path::new(spec)),
        "{spec} is a cross-stitch run, of two encoders; only finetune and evaluate take it"
    );
    let path = locate(spec)?;
    let backbone =
        AnyBackbone::open(&path).with_context(|| format!("cannot open the backbone {spec}"))?;
    Ok(backbone.with_compute(compute)?)
}

/// [`open`] for training, which needs a directory and no int8.
pub fn open_trainable(spec: &str, compute: Compute) -> anyhow::Result<Backbone> {
    check_trainable(compute)?;
    Ok(open(spec, compute)?.into_trainable()?)
}

fn check_trainable(compute: Compute) -> anyhow::Result<()> {
    anyhow::ensure!(compute != Compute::Int8, "int8 is for inference; train in auto, f32 or bf16");
    Ok(())
}
