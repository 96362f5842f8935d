//! Checksums of files: SHA-256, and the object id under which git stores a file.

use espalier_encoder::digest::hex;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What a file must hash to, in lower-case hexadecimal.
///
/// The hub names a large (LFS) file by its SHA-256 and a small one by its git object id; the
/// lengths tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256 of the content: 64 digits.
    Sha256(String),
    /// SHA-1 of `blob <length>\0` followed by the content: 40 digits.
    GitBlob(String),
}

impl Checksum {
    /// The checksum that `hex` spells, or nothing if it is neither kind.
    pub fn parse(hex: &str) -> Option<Self> {
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        match hex.len() {
            64 => Some(Self::Sha256(hex.to_string())),
            40 => Some(Self::GitBlob(hex.to_string())),
            _ => None,
        }
    }

    /// Its hexadecimal digits.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitBlob(hex) => hex,
        }
    }

    /// Whether the content of `file` has this checksum.
    pub fn matches(&self, file: &Path) -> io::Result<bool> {
        Ok(match self {
            Self::Sha256(hex) => sha256(file)? == *hex,
            Self::GitBlob(hex) => git_blob(file)? == *hex,
        })
    }
}

/// SHA-256 of a file's content.
pub fn sha256(file: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    feed(File::open(file)?, |bytes| hasher.update(bytes))?;
    Ok(hex(&hasher.finalize()))
}

fn git_blob(file: &Path) -> io::Result<String> {
    let file = File::open(file)?;
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", file.metadata()?.len()));
    feed(file, |bytes| hasher.update(bytes))?;
    Ok(hex(&hasher.finalize()))
}

fn feed(mut file: File, mut sink: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => sink(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_match_their_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (hello, other) = (dir.path().join("hello"), dir.path().join("other"));
        std::fs::write(&hello, "hello\n").unwrap();
        std::fs::write(&other, "hellO\n").unwrap();
        // From `sha256sum` and `git hash-object` on the same six bytes.
        let sums = [
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
            "ce013625030ba8dba906f756967f9e9ca394464a",
        ];
        for sum in sums {
            let checksum = Checksum::parse(sum).unwrap();
            assert!(checksum.matches(&hello).unwrap(), "{sum}");
            assert!(!checksum.matches(&other).unwrap(), "{sum}");
        }
    }

    #[test]
    fn what_is_no_checksum_is_refused() {
        for text in
            ["", "abc", "../../etc/passwd", &"g".repeat(40), &"A".repeat(64), &"a".repeat(41)]
        {
            assert_eq!(Checksum::parse(text), None, "{text}");
        }
    }
}
