//! A packed backbone: it is opened and, if it opens, texts go through it.
//!
//! The input is a file, or the JSON of the header, [`files::SEPARATOR`] and the sections, from
//! which a file is made. Either way all checksums are corrected: no mutation would ever get past
//! them.

use super::encode::{TEXTS, vectors};
use super::files;
use crate::packed_file::{MAGIC, PREFIX, assemble, checksum, header_end};
use espalier_encoder::AnyBackbone;
use espalier_runtime::{Request, Runtime};
use std::ops::Range;

const CHECKSUM: &[u8] = b"\"checksum\":\"";
const DIGITS: usize = 16;

/// Opens a bundle and encodes texts with it.
pub fn open(input: &[u8]) {
    let file = if input.starts_with(MAGIC) { input.to_vec() } else { of_parts(input) };
    files::in_directory(|directory| {
        files::put(directory, &[("backbone.espalier", &with_checksums(file))]);
        let Ok(backbone) = AnyBackbone::open(&directory.join("backbone.espalier")) else { return };
        vectors(&backbone);
        let answers = Runtime::new(backbone).run(&TEXTS, &[Request::Plain]);
        assert_eq!(answers.map(|answers| answers.len()).ok(), Some(TEXTS.len()));
    });
}

fn of_parts(input: &[u8]) -> Vec<u8> {
    let [header, sections] = files::parts(input);
    assemble(header, sections)
}

/// The file with the checksums that it should have.
fn with_checksums(mut file: Vec<u8>) -> Vec<u8> {
    let Some(end) = header_end(&file) else { return file };
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
