//! What tells a teacher from others.

use crate::error::Result;
use crate::run::{hex, io, sha256};
use espalier_encoder::{Lora, TextEncoder};
use sha2::{Digest, Sha256};
use std::path::Path;

/// The encoder's fingerprint, its precision, the checksum of a packed file, whose numbers are
/// rounded, and that of the adapter.
pub(super) fn of(path: &Path, backbone: &TextEncoder, adapter: Option<&Lora>) -> Result<String> {
    let mut identity = format!("{} in {}", backbone.fingerprint(), backbone.precision());
    if path.is_file() {
        let checksum = sha256(path).map_err(io(path))?;
        identity += &format!(", packed sha256:{checksum}");
    }
    if let Some(lora) = adapter {
        // The numbers alone: another shape of as many numbers would have other ones.
        identity += &format!(", adapter {}", checksum(&lora.values));
    }
    Ok(identity)
}

/// SHA-256 of numbers.
pub(super) fn checksum(values: &[f32]) -> String {
    let mut hash = Sha256::new();
    values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    format!("sha256:{}", hex(&hash.finalize()))
}
