//! `state.json`: the training state, and the checksums that show whether a checkpoint was altered.

use super::corpora::{Corpora, corpora};
use super::error::{Result, io};
use super::settings;
use crate::config::PrefinetuneConfig;
use crate::trainer::{Encoders, TrainingState};
use espalier_encoder::digest::{self, sha256_of_file};
use espalier_encoder::files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

/// The version of the format.
const FORMAT: u32 = 2;
/// The first version, which had no checksum of itself, is read too.
const WITHOUT_CHECKSUM: u32 = 1;
const STATE: &str = "state.json";
/// As many digits as a checksum has.
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a run is made from; a checkpoint is of no use to any other run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Fingerprint of the backbone that the run starts from.
    pub(super) backbone: String,
    /// What it trains on.
    pub(super) corpora: Corpora,
    /// The SHA-256 of its settings, of those that change what it computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settings: Option<String>,
    /// What tells its teacher from others, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) teacher: Option<String>,
}

impl Origin {
    /// That of a run of these encoders.
    pub(super) fn of(encoders: Encoders, config: &PrefinetuneConfig) -> Result<Self> {
        Ok(Self {
            backbone: encoders.backbone.fingerprint().to_string(),
            corpora: corpora(config)?,
            settings: Some(settings::fingerprint(config)?),
            teacher: encoders.teacher.map(|teacher| teacher.identity().to_string()),
        })
    }
}

/// `state.json`.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    #[serde(flatten)]
    pub(super) origin: Origin,
    #[serde(rename = "standing")]
    pub(super) training: TrainingState,
    /// Every other file of the checkpoint: its SHA-256.
    files: BTreeMap<String, String>,
    /// The SHA-256 of this file's text with zeros for these digits; the last key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

impl State {
    /// Writes the state of the checkpoint in `directory`, whose other files are all there.
    pub(super) fn write(directory: &Path, origin: Origin, training: TrainingState) -> Result<()> {
        let path = directory.join(STATE);
        let (files, checksum) = (checksums(directory)?, Some(ZEROS.to_string()));
        let text =
            files::json_bytes(&path, &Self { format: FORMAT, origin, training, files, checksum })?;
        let text = String::from_utf8_lossy(&text);
        let text = with_checksum(&text, ZEROS, &digest::sha256(text.as_bytes()));
        files::write_atomic(&path, text.as_bytes())?;
        sync(directory)
    }

    /// The state of a checkpoint of which every file is as it was written, or else what is wrong
    /// with it.
    pub(super) fn read(directory: &Path) -> Result<Self, String> {
        let bytes =
            files::read_settings(&directory.join(STATE)).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&bytes);
        let state: Self =
            serde_json::from_str(&text).map_err(|error| format!("{STATE}: {error}"))?;
        if state.format != FORMAT && state.format != WITHOUT_CHECKSUM {
            return Err(format!("format {} instead of {FORMAT}", state.format));
        }
        if !state.is(&text) {
            return Err(format!("{STATE} is not as it was written"));
        }
        for (name, checksum) in &state.files {
            // The names are read from a file, and must not lead to just any place.
            if !files::stays_below(name.as_ref()) || !directory.join(name).is_file() {
                return Err(format!("{STATE} names {name:?}, which is no file of the checkpoint"));
            }
            let found = sha256_of_file(&directory.join(name))
                .map_err(|error| format!("{name}: {error}"))?;
            if found != *checksum {
                return Err(format!("{name} is not as it was written"));
            }
        }
        Ok(state)
    }

    /// Whether it was written as this text.
    fn is(&self, text: &str) -> bool {
        match &self.checksum {
            Some(checksum) => {
                digest::sha256(with_checksum(text, checksum, ZEROS).as_bytes()) == *checksum
            }
            None => self.format == WITHOUT_CHECKSUM,
        }
    }
}

/// The text with another checksum.
fn with_checksum(text: &str, old: &str, new: &str) -> String {
    let (before, after) = text.rsplit_once(old).unwrap_or((text, ""));
    format!("{before}{new}{after}")
}

/// SHA-256 of every file below the directory, by its path from there.
fn checksums(directory: &Path) -> Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(path) = open.pop() {
        // A link to a directory is no directory, so that links in a circle end the walk.
        if fs::symlink_metadata(&path).map_err(io(&path))?.is_dir() {
            for entry in fs::read_dir(&path).map_err(io(&path))? {
                open.push(entry.map_err(io(&path))?.path());
            }
            sync(&path)?;
        } else {
            let name: Vec<_> = path
                .strip_prefix(directory)
                .into_iter()
                .flatten()
                .map(|part| part.to_string_lossy())
                .collect();
            sums.insert(name.join("/"), sha256_of_file(&path).map_err(io(&path))?);
        }
    }
    Ok(sums)
}

/// Makes sure that the names in a directory are on the disk, where the system can do that.
pub(super) fn sync(directory: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(directory).and_then(|file| file.sync_all()).map_err(io(directory))
    } else {
        Ok(())
    }
}
