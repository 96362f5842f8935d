//! Packed backbones, byte by byte (docs/formats.md): files with correct checksums, whatever else
//! is wrong with them.

use twox_hash::XxHash64;

/// The first bytes of every packed backbone.
pub const MAGIC: &[u8] = b"espalier";
/// The version of the format.
pub const VERSION: u32 = 2;
/// Bytes before the header: magic, version, length and checksum of the header.
pub const PREFIX: usize = 24;

/// The checksum of a header or a section: XXH64 with seed 0.
pub fn checksum(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// A file of this header and these sections. Only the checksum of the header is filled in.
pub fn assemble(header: &[u8], sections: &[u8]) -> Vec<u8> {
    let length = (header.len() as u32).to_le_bytes();
    let sum = checksum(header).to_le_bytes();
    let mut file = [MAGIC, &VERSION.to_le_bytes(), &length, &sum, header].concat();
    file.resize(file.len().next_multiple_of(64), 0);
    file.extend(sections);
    file
}

/// Where the header of a file ends, as its prefix says. `None` if the file is shorter.
pub fn header_end(file: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(file.get(12..16)?.try_into().ok()?);
    let end = PREFIX + length as usize;
    (end <= file.len()).then_some(end)
}
