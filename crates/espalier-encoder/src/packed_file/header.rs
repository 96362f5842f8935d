//! The start of the file: magic, version, and a header that describes the sections.

use super::xxh64::xxh64;
use crate::architecture::EncoderConfig;
use crate::error::{EncoderError, Result};
use crate::pooling::TextVectors;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

/// The first bytes of the file.
const MAGIC: [u8; 8] = *b"espalier";
/// The version that is written and read.
const VERSION: u32 = 2;
/// Magic, version, length and checksum of the header.
const PREFIX: usize = 24;
/// The longest header in bytes. Those of the largest encoders have some hundred kilobytes.
const LONGEST: usize = 1 << 20;
/// Sections start at multiples of this, a cache line.
pub(super) const ALIGNMENT: usize = 64;

/// The number type of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    U8,
    Int8,
    U32,
    Bf16,
    F32,
}

impl Type {
    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::Int8 => 1,
            Self::Bf16 => 2,
            Self::U32 | Self::F32 => 4,
        }
    }
}

/// One section: what it holds, and where it is, counted from the first multiple of [`ALIGNMENT`]
/// after the header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    pub name: String,
    pub dtype: Type,
    pub shape: Vec<usize>,
    pub offset: usize,
    pub length: usize,
    /// XXH64 of its bytes, in hexadecimal digits.
    pub checksum: String,
}

impl Section {
    /// Whether the length fits type and shape.
    fn has_right_length(&self) -> bool {
        let elements = self.shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
        elements.and_then(|elements| elements.checked_mul(self.dtype.bytes())) == Some(self.length)
    }
}

/// Everything about a packed backbone but its numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// The number type of matrices and word embeddings: the name of a precision.
    pub dtype: String,
    /// That of the backbone that was packed.
    pub fingerprint: String,
    pub config: EncoderConfig,
    pub text_vectors: TextVectors,
    pub max_tokens: usize,
    pub sections: Vec<Section>,
}

/// The checksum of a section.
pub(super) fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxh64(bytes))
}

impl Header {
    /// The bytes before the first section; `path` is named in errors.
    pub fn to_bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let header = serde_json::to_vec(self).map_err(EncoderError::json(path))?;
        if header.len() > LONGEST {
            let what = format!("a header of {} bytes; at most {LONGEST} are read", header.len());
            return Err(EncoderError::Unsupported { path: path.to_path_buf(), what });
        }
        let length = header.len() as u32;
        let mut bytes = [MAGIC.as_slice(), &VERSION.to_le_bytes(), &length.to_le_bytes()].concat();
        bytes.extend(xxh64(&header).to_le_bytes());
        bytes.extend(header);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        Ok(bytes)
    }

    /// Parses the header of a file's `bytes`, and finds the range of each section in them.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<(Self, Vec<Range<usize>>)> {
        let broken = |reason: String| EncoderError::PackedFile { path: path.to_path_buf(), reason };
        let truncated =
            || broken(format!("it ends after {} bytes, within the header", bytes.len()));
        let rest = bytes
            .strip_prefix(&MAGIC)
            .ok_or_else(|| broken("it does not start as a packed backbone does".into()))?;
        let (version, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            let what = format!(
                "a packed backbone of version {version}; this program reads version {VERSION}: \
                 pack the backbone again"
            );
            return Err(EncoderError::Unsupported { path: path.to_path_buf(), what });
        }
        let (length, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
        let (hash, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > LONGEST {
            return Err(broken(format!("its header claims {length} bytes, more than any has")));
        }
        let header = rest.get(..length).ok_or_else(truncated)?;
        if xxh64(header) != u64::from_le_bytes(*hash) {
            return Err(broken("its header does not have the checksum that it should".into()));
        }
        let header: Self = serde_json::from_slice(header).map_err(EncoderError::json(path))?;
        let ranges = header.ranges(bytes, PREFIX + length).map_err(broken)?;
        Ok((header, ranges))
    }

    /// The ranges of the sections in a file: each starts at the next multiple of [`ALIGNMENT`]
    /// after the one before, with zeros between them.
    fn ranges(&self, bytes: &[u8], header_end: usize) -> Result<Vec<Range<usize>>, String> {
        let first = header_end.next_multiple_of(ALIGNMENT);
        let (mut ranges, mut end) = (Vec::new(), header_end);
        for section in &self.sections {
            let name = &section.name;
            let start = end.next_multiple_of(ALIGNMENT);
            if first.checked_add(section.offset) != Some(start) || !section.has_right_length() {
                return Err(format!("section {name:?} is not where or what it should be"));
            }
            let gap = bytes.get(end..start).filter(|_| section.length <= bytes.len() - start);
            let gap = gap.ok_or_else(|| {
                format!("it ends after {} bytes, within section {name:?}", bytes.len())
            })?;
            if gap.iter().any(|&byte| byte != 0) {
                return Err(format!("the bytes before section {name:?} are not zero"));
            }
            end = start + section.length;
            ranges.push(start..end);
        }
        match bytes.len() - end {
            0 => Ok(ranges),
            extra => Err(format!("{extra} bytes follow its last section")),
        }
    }
}
