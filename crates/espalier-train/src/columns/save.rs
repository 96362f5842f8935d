//! The second column on the disk: `tc`, a Hugging Face directory, and `stitches.json`.

use super::{SecondColumn, Stitches};
use crate::error::{Result, TrainError};
use espalier_encoder::{Backbone, files};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `stitches.json`.
#[derive(Serialize, Deserialize)]
struct StitchesFile {
    format: u32,
    /// S_l of each layer, first to last; rows are what a column gets, columns from which: `ner`,
    /// then `tc`.
    stitches: Vec<[[f32; 2]; 2]>,
}

/// The version of the format.
const FORMAT: u32 = 1;

impl SecondColumn {
    /// Where it lies in the directory of a run.
    fn directory(run: &Path) -> PathBuf {
        run.join("columns")
    }

    /// Whether the run in this directory left one.
    pub fn is_in(run: &Path) -> bool {
        Self::directory(run).join("stitches.json").exists()
    }

    /// Writes it to `columns` in the directory of a run.
    ///
    /// # Errors
    /// [`TrainError::Encoder`] when a file cannot be written.
    pub fn save(&self, run: &Path) -> Result<()> {
        let directory = Self::directory(run);
        self.backbone.save(&directory.join("tc"))?;
        let stitches = self
            .stitches
            .values
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&[a, b, c, d]| [[a, b], [c, d]])
            .collect();
        Ok(files::write_json(
            &directory.join("stitches.json"),
            &StitchesFile { format: FORMAT, stitches },
        )?)
    }

    /// Reads what stands beside the encoder `first` in the directory of a run.
    ///
    /// # Errors
    /// [`TrainError::Encoder`] when a file cannot be read, [`TrainError::Init`] when the column or
    /// the stitches do not fit `first`.
    pub fn open(run: &Path, first: &Backbone) -> Result<Self> {
        let directory = Self::directory(run);
        let path = directory.join("stitches.json");
        let file: StitchesFile = files::read_json(&path)?;
        let unfit = |reason: &str| TrainError::Init(format!("{}: {reason}", path.display()));
        if file.format != FORMAT {
            return Err(unfit(&format!(
                "format {} is not one this program reads; it reads {FORMAT}",
                file.format
            )));
        }
        let second = Self {
            backbone: Backbone::open(&directory.join("tc"))?,
            stitches: Stitches { values: file.stitches.into_iter().flatten().flatten().collect() },
        };
        if second.backbone.encoder.config != first.encoder.config {
            return Err(unfit("the column beside it has another shape than the run's backbone"));
        }
        match second.stitches.fits(first.encoder.layers()) {
            true => Ok(second),
            false => Err(unfit("there must be a unit of 2 x 2 numbers for each layer")),
        }
    }
}
