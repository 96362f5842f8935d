//! A packed backbone: it is opened and, if it opens, texts go through it.
//!
//! The input is a file, or the JSON of the header, [`files::SEPARATOR`] and the sections, from
//! which a file is made. Either way all checksums are corrected: no mutation would ever get past
//! them.

use super::encode::{TEXTS, vectors};
use super::files;
use espalier_encoder::AnyBackbone;
use espalier_runtime::{Request, Runtime};
use std::ops::Range;
use twox_hash::XxHash64;

const MAGIC: &[u8] = b"espalier";
const VERSION: u32 = 2;
/// Magic, version, length and checksum of the header.
const PREFIX: usize = 24;
const CHECKSUM: &[u8] = b"\"checksum\":\"";
const DIGITS: usize = 16;

/// Opens a bundle and encodes texts with it.
pub fn open(input: &[u8]) {
    let file = if input.starts_with(MAGIC) { input.to_vec() } else { assembled(input) };
    files::in_directory(|directory| {
        files::put(directory, &[("backbone.espalier", &with_checksums(file))]);
        let Ok(backbone) = AnyBackbone::open(&directory.join("backbone.espalier")) else { return };
        vectors(&backbone);
        let answers = Runtime::new(backbone).run(&TEXTS, &[Request::Plain]);
        assert_eq!(answers.map(|answers| answers.len()).ok(), Some(TEXTS.len()));
    });
}

fn assembled(input: &[u8]) -> Vec<u8> {
    let [header, sections] = files::parts(input);
    let length = header.len() as u32;
    let mut file = [MAGIC, &VERSION.to_le_bytes(), &length.to_le_bytes(), &[0; 8], header].concat();
    file.resize(file.len().next_multiple_of(64), 0);
    file.extend(sections);
    file
}

/// The checksum of bundles: XXH64 with seed 0.
fn checksum(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// The file with the checksums that it should have.
fn with_checksums(mut file: Vec<u8>) -> Vec<u8> {
    let length =
        file.get(12..16).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    let end = PREFIX + length as usize;
    if file.len() < end {
        return file;
    }
    let sums: Vec<u64> = sections(&file, PREFIX..end).into_iter().map(checksum).collect();
    let mut at = PREFIX;
    for sum in sums {
        let Some(found) =
            file[at..end].windows(CHECKSUM.len()).position(|window| window == CHECKSUM)
        else {
            break;
        };
        at += found + CHECKSUM.len();
        if at + DIGITS <= end {
            file[at..at + DIGITS].copy_from_slice(format!("{sum:016x}").as_bytes());
        }
    }
    let sum = checksum(&file[PREFIX..end]);
    file[16..PREFIX].copy_from_slice(&sum.to_le_bytes());
    file
}

/// The bytes of the sections that a header lists; none of those that are not in the file.
fn sections(file: &[u8], header: Range<usize>) -> Vec<&[u8]> {
    let first = header.end.next_multiple_of(64);
    let json: serde_json::Value = serde_json::from_slice(&file[header]).unwrap_or_default();
    let bytes = |section: &serde_json::Value| {
        let number = |key| usize::try_from(section[key].as_u64()?).ok();
        let start = first.checked_add(number("offset")?)?;
        file.get(start..start.checked_add(number("length")?)?)
    };
    json["sections"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|section| bytes(section).unwrap_or_default())
        .collect()
}
