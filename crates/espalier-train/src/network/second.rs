//! The second encoder of cross-stitch, in memory and on disk: `columns/tc`, a Hugging Face
//! directory, and `columns/stitches.json`.

use super::cross_stitch::CrossStitched;
use super::{Network, Stitches};
use crate::error::{Result, TrainError};
use espalier_encoder::digest::hex;
use espalier_encoder::{Backbone, Family, Model, TextEncoder, files};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What a cross-stitch run leaves beside the NER family's encoder.
#[derive(Clone, Debug)]
pub struct SecondEncoder {
    /// The classification family's encoder.
    pub backbone: Backbone,
    /// The mixing between both.
    pub stitches: Stitches,
}

/// `stitches.json`.
#[derive(Serialize, Deserialize)]
struct StitchesFile {
    format: u32,
    /// S_l of each layer, first to last; rows are the encoder that gets, columns the one it gets from: `ner`,
    /// then `tc`.
    stitches: Vec<[[f32; 2]; 2]>,
}

/// The version of the format.
const FORMAT: u32 = 1;

impl SecondEncoder {
    /// The identity of both encoders together, `first` being the NER family's: a SHA-256 over their
    /// fingerprints and the stitches. Adapters bear it, so that none is ever taken for one of a
    /// column alone.
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

    /// Its place in the directory of a run.
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

    /// Opens the second encoder in the directory of a run whose NER encoder is `first`.
    ///
    /// # Errors
    /// [`TrainError::Encoder`] when a file cannot be read, [`TrainError::Init`] when it or the
    /// stitches do not fit `first`.
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
            return Err(unfit("the second encoder has another shape than the run's backbone"));
        }
        match second.stitches.fits(first.encoder.layers()) {
            true => Ok(second),
            false => Err(unfit("there must be a unit of 2 x 2 numbers for each layer")),
        }
    }

    /// The network that a family's texts run through: `own` is the model of the encoder that the
    /// family reads, `first` the NER family's encoder.
    pub(crate) fn network<'a>(
        &'a self,
        own: Model<'a>,
        first: &'a TextEncoder,
        family: Family,
    ) -> Network<'a> {
        let other = match family {
            Family::Ner => &self.backbone,
            Family::Tc => first,
        };
        let encoders = [own, other.model(None)];
        Network::CrossStitched(CrossStitched { encoders, stitches: &self.stitches, family })
    }
}
