//! Checksums by which the hub lists files.

use espalier_encoder::digest::{hex, sha256_of_file};
use sha1::{Digest, Sha1};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The expected checksum of a file, in lower-case hexadecimal digits.
///
/// The hub lists a large file (LFS) by its SHA-256 and a small one by its git object id; the
/// lengths tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256 of the content: 64 digits.
    Sha256(String),
    /// SHA-1 of `blob <length>\0` followed by the content: 40 digits.
    GitBlob(String),
}

impl Checksum {
    /// Parses a checksum of either kind.
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
            Self::Sha256(hex) => sha256_of_file(file)? == *hex,
            Self::GitBlob(hex) => git_blob(file)? == *hex,
        })
    }
}

/// The object id under which git stores the content of a file.
fn git_blob(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", file.metadata()?.len()));
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
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
    fn other_texts_are_refused() {
        for text in
            ["", "abc", "../../etc/passwd", &"g".repeat(40), &"A".repeat(64), &"a".repeat(41)]
        {
            assert_eq!(Checksum::parse(text), None, "{text}");
        }
    }
}
