//! What binds an adapter's files to each other: espalier.json holds the SHA-256 of the others.

use super::card::AdapterCard;
use crate::digest::sha256;
use crate::error::{EncoderError, Result};
use crate::files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// `espalier.json` as it is written.
#[derive(Serialize)]
struct CardFile<'a> {
    #[serde(flatten)]
    card: &'a AdapterCard,
    files: Sums,
}

/// The SHA-256 of files beside a card. Cards that are written by hand, and old ones, have none.
#[derive(Deserialize, Serialize, Default)]
#[serde(transparent)]
pub(super) struct Sums(BTreeMap<String, String>);

impl Sums {
    /// Those in an espalier.json.
    pub fn read(path: &Path, card: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            files: Sums,
        }
        let part: Part = serde_json::from_slice(card).map_err(EncoderError::json(path))?;
        Ok(part.files)
    }

    /// Reads a file beside the card, and checks that it is the one that the card was written with.
    pub fn read_file(&self, directory: &Path, name: &'static str) -> Result<Vec<u8>> {
        let torn =
            || EncoderError::AdapterChecksum { directory: directory.to_path_buf(), file: name };
        let Some(sum) = self.0.get(name) else { return files::read(&directory.join(name)) };
        match files::read(&directory.join(name)) {
            Ok(bytes) if sha256(&bytes) == *sum => Ok(bytes),
            Err(EncoderError::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => {
                Err(torn())
            }
            Ok(_) => Err(torn()),
            refused => refused,
        }
    }
}

/// The bytes of espalier.json beside these files.
pub(super) fn card_bytes(
    path: &Path,
    card: &AdapterCard,
    beside: &[(&str, &[u8])],
) -> Result<Vec<u8>> {
    let sums = beside.iter().map(|(name, bytes)| (name.to_string(), sha256(bytes)));
    files::json_bytes(path, &CardFile { card, files: Sums(sums.collect()) })
}
