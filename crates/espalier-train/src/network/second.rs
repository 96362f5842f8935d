//! The second encoder of a trained cross-stitch network. On disk it is `columns/tc`, a Hugging Face
//! directory, and `columns/stitches.json`.

use super::Stitches;
use crate::error::{Result, TrainError};
use espalier_encoder::digest::hex;
use espalier_encoder::{Backbone, TextEncoder, files};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The second encoder of cross-stitch, and the stitches between it and the encoder of the NER
/// family.
#[derive(Clone, Debug)]
pub struct SecondEncoder {
    /// The encoder of the classification family.
    pub backbone: Backbone,
    /// The stitches between the two encoders.
    pub stitches: Stitches,
}

/// `stitches.json`.
#[derive(Serialize, Deserialize)]
struct StitchesFile {
    format: u32,
    /// S_l of each layer, first to last. Row i is the mixture for encoder i, column j the weight of
    /// encoder j, with the encoders in the order `ner`, `tc`.
    stitches: Vec<[[f32; 2]; 2]>,
}

/// The version of the format.
const FORMAT: u32 = 1;

impl SecondEncoder {
    /// The fingerprint of both encoders together, where `first` is that of the NER family: a
    /// SHA-256 over the fingerprints of both and the stitches. Adapters of the network have it, so
    /// that they are never loaded on one of the encoders alone.
    pub fn fingerprint(&self, first: &TextEncoder) -> String {
        let mut hash = Sha256::new();
        for fingerprint in [first.fingerprint(), self.backbone.fingerprint()] {
            hash.update(fingerprint);
        }
        for value in &self.stitches.values {
            hash.update(value.to_le_bytes());
        }
        format!("sha256:{}", hex(&hash.finalize()))
    }

    /// Its directory in the directory of a run.
    fn directory(run: &Path) -> PathBuf {
        run.join("columns")
    }

    /// Whether the directory of a run contains a second encoder.
    pub fn is_in(run: &Path) -> bool {
        Self::directory(run).join("stitches.json").exists()
    }

    /// Saves it to `columns` in the directory of a run.
    ///
    /// # Errors
    /// [`TrainError::Encoder`] if a file cannot be written.
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

    /// Opens the second encoder in the directory of a run whose NER encoder is `first`.
    ///
    /// # Errors
    /// [`TrainError::Encoder`] if a file cannot be read; [`TrainError::Mismatch`] if the encoder or
    /// the stitches do not fit `first`.
    pub fn open(run: &Path, first: &Backbone) -> Result<Self> {
        let directory = Self::directory(run);
        let path = directory.join("stitches.json");
        let file: StitchesFile = files::read_json(&path)?;
        let mismatch = |reason: &str| TrainError::Mismatch(format!("{}: {reason}", path.display()));
        if file.format != FORMAT {
            return Err(mismatch(&format!(
                "format {} is unknown; this program reads format {FORMAT}",
                file.format
            )));
        }
        let second = Self {
            backbone: Backbone::open(&directory.join("tc"))?,
            stitches: Stitches { values: file.stitches.into_iter().flatten().flatten().collect() },
        };
        if second.backbone.encoder.config != first.encoder.config {
            return Err(mismatch("the second encoder has another shape than the run's backbone"));
        }
        match second.stitches.fits(first.encoder.layers()) {
            true => Ok(second),
            false => Err(mismatch("there must be a matrix of 2 x 2 numbers for each layer")),
        }
    }
}
