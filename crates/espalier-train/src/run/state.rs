//! `state.json`: the training state, and the checksums of all files of a checkpoint.

use super::corpora::{self, CorpusChecksums};
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
/// The first version, which is still read: it has no checksum of the file itself.
const WITHOUT_CHECKSUM: u32 = 1;
const STATE: &str = "state.json";
/// What stands for the checksum of the file while that is computed.
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The inputs of a run. A checkpoint can be resumed only with the same inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The fingerprint of the backbone that the run started from.
    pub(super) backbone: String,
    /// The checksums of its corpora.
    pub(super) corpora: CorpusChecksums,
    /// The SHA-256 of the settings that affect the result. Early versions did not store it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settings: Option<String>,
    /// The identity of the teacher, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) teacher: Option<String>,
    /// The identity of the teacher of text vectors, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text_teacher: Option<String>,
}

impl Origin {
    /// The inputs of a run with these encoders and this configuration.
    pub(super) fn new(encoders: Encoders, config: &PrefinetuneConfig) -> Result<Self> {
        Ok(Self {
            backbone: encoders.backbone.fingerprint().to_string(),
            corpora: corpora::checksums(config)?,
            settings: Some(settings::fingerprint(config)?),
            teacher: encoders.teacher.map(|teacher| teacher.identity().to_string()),
            text_teacher: encoders.text_teacher.map(|teacher| teacher.identity().to_string()),
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
    /// The SHA-256 of every other file of the checkpoint.
    files: BTreeMap<String, String>,
    /// The SHA-256 of this file, computed with zeros in place of these digits; the last key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

impl State {
    /// Writes the state of a checkpoint, after all its other files.
    pub(super) fn write(directory: &Path, origin: Origin, training: TrainingState) -> Result<()> {
        let path = directory.join(STATE);
        let (files, checksum) = (checksums(directory)?, Some(ZEROS.to_string()));
        let text =
            files::json_bytes(&path, &Self { format: FORMAT, origin, training, files, checksum })?;
        let text = String::from_utf8_lossy(&text);
        let text = replace_checksum(&text, ZEROS, &digest::sha256(text.as_bytes()));
        files::write_atomic(&path, text.as_bytes())?;
        sync(directory)
    }

    /// Reads the state of a checkpoint and verifies the checksums of all files. The error is the
    /// reason why the checkpoint is damaged.
    pub(super) fn read(directory: &Path) -> Result<Self, String> {
        let bytes =
            files::read_settings(&directory.join(STATE)).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&bytes);
        let state: Self =
            serde_json::from_str(&text).map_err(|error| format!("{STATE}: {error}"))?;
        if state.format != FORMAT && state.format != WITHOUT_CHECKSUM {
            return Err(format!("format {} instead of {FORMAT}", state.format));
        }
        if !state.verify(&text) {
            return Err(format!("{STATE}: the checksum does not match"));
        }
        for (name, checksum) in &state.files {
            // The names are read from a file: they must not point outside of the checkpoint.
            if !files::stays_below(name.as_ref()) || !directory.join(name).is_file() {
                return Err(format!(
                    "{STATE} names {name:?}, which is not a file of the checkpoint"
                ));
            }
            let found = sha256_of_file(&directory.join(name))
                .map_err(|error| format!("{name}: {error}"))?;
            if found != *checksum {
                return Err(format!("{name}: the checksum does not match"));
            }
        }
        Ok(state)
    }

    /// Whether the checksum of the file matches its text.
    fn verify(&self, text: &str) -> bool {
        match &self.checksum {
            Some(checksum) => {
                digest::sha256(replace_checksum(text, checksum, ZEROS).as_bytes()) == *checksum
            }
            None => self.format == WITHOUT_CHECKSUM,
        }
    }
}

/// Replaces the last occurrence of a checksum.
fn replace_checksum(text: &str, old: &str, new: &str) -> String {
    let (before, after) = text.rsplit_once(old).unwrap_or((text, ""));
    format!("{before}{new}{after}")
}

/// The SHA-256 of every file below the directory, by its relative path.
fn checksums(directory: &Path) -> Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(path) = pending.pop() {
        // Symbolic links are not followed, because they may form a cycle.
        if fs::symlink_metadata(&path).map_err(io(&path))?.is_dir() {
            for entry in fs::read_dir(&path).map_err(io(&path))? {
                pending.push(entry.map_err(io(&path))?.path());
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

/// Flushes the entries of a directory to disk, on systems that can.
pub(super) fn sync(directory: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(directory).and_then(|file| file.sync_all()).map_err(io(directory))
    } else {
        Ok(())
    }
}
