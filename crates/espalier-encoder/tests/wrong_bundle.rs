//! Packed backbones that are cut, altered or lie: refused with a reason, whatever the byte.

use espalier_encoder::{EncoderError, PackedBackbone, Precision};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::tiny_bert;
use serde_json::{Value, json};
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use tempfile::TempDir;

/// Bytes before the header: magic, version, length, checksum.
const PREFIX: usize = 24;

/// A packed tiny BERT to spoil.
struct Spoilt {
    _directory: TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Spoilt {
    fn new(dtype: Precision) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("tiny.espalier");
        tiny_bert().pack(dtype, &path).unwrap();
        let bytes = fs::read(&path).unwrap();
        Self { _directory: directory, path, bytes }
    }

    fn open(&self, bytes: &[u8]) -> Result<PackedBackbone, EncoderError> {
        fs::write(&self.path, bytes).unwrap();
        PackedBackbone::open(&self.path)
    }

    fn refused(&self, bytes: &[u8], parts: &[&str]) -> EncoderError {
        expect_error(self.open(bytes), &[parts, &["tiny.espalier"]].concat())
    }

    fn header_end(&self) -> usize {
        PREFIX + u32::from_le_bytes(self.bytes[12..16].try_into().unwrap()) as usize
    }

    fn header(&self) -> Value {
        serde_json::from_slice(&self.bytes[PREFIX..self.header_end()]).unwrap()
    }

    /// The file with another header, whose checksum is right.
    fn with_header(&self, header: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes[..12].to_vec();
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(xxh64(header).to_le_bytes());
        bytes.extend(header);
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        bytes.extend(&self.bytes[self.header_end().next_multiple_of(64)..]);
        bytes
    }

    /// Where a section lies.
    fn place(&self, name: &str) -> Range<usize> {
        let header = self.header();
        let section = header["sections"]
            .as_array()
            .unwrap()
            .iter()
            .find(|s| s["name"] == name)
            .unwrap()
            .clone();
        let start =
            self.header_end().next_multiple_of(64) + section["offset"].as_u64().unwrap() as usize;
        start..start + section["length"].as_u64().unwrap() as usize
    }

    /// The file with other bytes in one section, whose checksum is right.
    fn altered(&self, name: &str, alter: &dyn Fn(&mut [u8])) -> Vec<u8> {
        let place = self.place(name);
        let mut section = self.bytes[place.clone()].to_vec();
        alter(&mut section);
        let sum = format!("{:016x}", xxh64(&section));
        let mut bytes = self.edited(|h| {
            let section = h["sections"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .find(|s| s["name"] == name)
                .unwrap();
            section["checksum"] = json!(sum);
        });
        // The header keeps its length, but perhaps not its order of keys.
        assert_eq!(bytes.len(), self.bytes.len());
        bytes[place].copy_from_slice(&section);
        bytes
    }

    fn edited(&self, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut header = self.header();
        edit(&mut header);
        self.with_header(header.to_string().as_bytes())
    }
}

/// XXH64 once more, from its specification, byte by byte: the files that lie need checksums that
/// are right.
fn xxh64(bytes: &[u8]) -> u64 {
    const P: [u64; 5] = [
        11400714785074694791,
        14029467366897019727,
        1609587929392839161,
        9650029242287828579,
        2870177450012600261,
    ];
    let word =
        |at: usize, n: usize| (0..n).rev().fold(0, |word, i| word << 8 | u64::from(bytes[at + i]));
    let round = |lane: u64, word: u64| {
        lane.wrapping_add(word.wrapping_mul(P[1])).rotate_left(31).wrapping_mul(P[0])
    };
    let (mut at, mut hash) = (0, P[4]);
    if bytes.len() >= 32 {
        let mut lanes = [P[0].wrapping_add(P[1]), P[1], 0, 0u64.wrapping_sub(P[0])];
        while at + 32 <= bytes.len() {
            (0..4).for_each(|lane| lanes[lane] = round(lanes[lane], word(at + 8 * lane, 8)));
            at += 32;
        }
        hash =
            (0..4).fold(0, |sum: u64, i| sum.wrapping_add(lanes[i].rotate_left([1, 7, 12, 18][i])));
        for lane in lanes {
            hash = (hash ^ round(0, lane)).wrapping_mul(P[0]).wrapping_add(P[3]);
        }
    }
    hash = hash.wrapping_add(bytes.len() as u64);
    while at + 8 <= bytes.len() {
        hash = (hash ^ round(0, word(at, 8))).rotate_left(27).wrapping_mul(P[0]).wrapping_add(P[3]);
        at += 8;
    }
    if at + 4 <= bytes.len() {
        hash = (hash ^ word(at, 4).wrapping_mul(P[0]))
            .rotate_left(23)
            .wrapping_mul(P[1])
            .wrapping_add(P[2]);
        at += 4;
    }
    for i in at..bytes.len() {
        hash = (hash ^ word(i, 1).wrapping_mul(P[4])).rotate_left(11).wrapping_mul(P[0]);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(P[1]);
    hash = (hash ^ hash >> 29).wrapping_mul(P[2]);
    hash ^ hash >> 32
}

#[test]
fn every_flipped_bit_before_the_sections_is_noticed() {
    let spoilt = Spoilt::new(Precision::Int8);
    let mut bytes = spoilt.bytes.clone();
    for i in 0..spoilt.header_end().next_multiple_of(64) {
        let bit = 1 << (i % 8);
        bytes[i] ^= bit;
        spoilt.refused(&bytes, &[]);
        bytes[i] ^= bit;
    }
    assert!(spoilt.open(&bytes).is_ok());
}

#[test]
fn every_flipped_bit_in_the_sections_is_noticed() {
    for dtype in Precision::ALL {
        let spoilt = Spoilt::new(dtype);
        let mut bytes = spoilt.bytes.clone();
        for i in (spoilt.header_end()..bytes.len()).step_by(101).chain([bytes.len() - 1]) {
            let bit = 1 << (i % 8);
            bytes[i] ^= bit;
            let error = spoilt.refused(&bytes, &["not a whole packed backbone"]);
            assert!(matches!(error, EncoderError::PackedFile { .. }), "byte {i}: {error}");
            bytes[i] ^= bit;
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let spoilt = Spoilt::new(Precision::Int8);
    for length in (0..spoilt.header_end() + 200).chain((0..spoilt.bytes.len()).step_by(97)) {
        spoilt.refused(&spoilt.bytes[..length], &["not a whole packed backbone"]);
    }
    let last = spoilt.bytes.len() - 1;
    spoilt.refused(&spoilt.bytes[..last], &["it ends after", "vocabulary.tokens", "copy it again"]);
    spoilt.refused(&[spoilt.bytes.as_slice(), b"x"].concat(), &["1 bytes follow"]);
}

#[test]
fn other_versions_are_refused() {
    let spoilt = Spoilt::new(Precision::Int8);
    for version in [0u32, 1, 3, u32::MAX] {
        let mut bytes = spoilt.bytes.clone();
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        let error = spoilt.refused(
            &bytes,
            &[&format!("version {version};"), "reads version 2", "pack the backbone again"],
        );
        assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
    }
}

#[test]
fn headers_of_huge_lengths_are_refused() {
    let spoilt = Spoilt::new(Precision::Int8);
    for length in [u32::MAX, 1 << 31, (1 << 20) + 1, 1 << 20, 0] {
        let mut bytes = spoilt.bytes.clone();
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        spoilt.refused(&bytes, &["header"]);
    }
}

/// Headers that are whole and lie.
#[test]
fn headers_that_lie_are_refused() {
    let spoilt = Spoilt::new(Precision::Int8);
    assert!(spoilt.open(&spoilt.edited(|_| ())).is_ok(), "the edited header alone is no reason");
    let huge = 1u64 << 60;
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 17] = [
        (|h| h["dtype"] = json!("int4"), "int4"),
        (|h| h["dtype"] = json!("f32"), "is needed"),
        (|h| h["extra"] = json!(1), "extra"),
        (|h| h["config"]["hidden_size"] = json!(0), "hidden_size"),
        (|h| h["config"]["hidden_size"] = json!(1u64 << 40), "hidden_size"),
        (|h| h["config"]["hidden_size"] = json!(64), "is needed"),
        (|h| h["config"]["layer_norm_eps"] = json!(-1.0), "layer_norm_eps"),
        (|h| h["config"]["num_hidden_layers"] = json!(1024), "is missing"),
        (|h| h["config"]["vocab_size"] = json!(1 << 24), "is needed"),
        (|h| h["config"]["max_position_embeddings"] = json!(1 << 20), "parameters"),
        (|h| h["max_tokens"] = json!(65), "65 tokens"),
        (|h| h["max_tokens"] = json!(0), "0 tokens"),
        (|h| h["sections"][1]["offset"] = json!(u64::MAX), "not where or what"),
        (|h| h["sections"][0]["offset"] = json!(64), "not where or what"),
        (|h| h["sections"][0]["shape"] = json!([u64::MAX, u64::MAX]), "not where or what"),
        (|h| h["sections"][1]["checksum"] = json!("0"), "checksum"),
        (|h| drop(h["sections"].as_array_mut().unwrap().pop()), "follow its last section"),
    ];
    for (edit, reason) in cases {
        spoilt.refused(&spoilt.edited(edit), &[reason]);
    }
    // The last section, longer than the file: type, shape and length agree.
    let longer = spoilt.edited(|h| {
        let last = h["sections"].as_array_mut().unwrap().last_mut().unwrap();
        (last["length"], last["shape"]) = (json!(8 * huge), json!([huge, 2]));
    });
    spoilt.refused(&longer, &["it ends after"]);
    spoilt.refused(&spoilt.with_header(b"{}"), &["missing field"]);
    spoilt.refused(&spoilt.with_header(&[b'['; 100_000]), &[]);
}

/// A number type under another name of the same size, and a section under another name.
#[test]
fn sections_under_false_names_are_refused() {
    let spoilt = Spoilt::new(Precision::Int8);
    let words = spoilt.header()["sections"]
        .as_array()
        .unwrap()
        .iter()
        .position(|s| s["name"] == "words")
        .unwrap();
    spoilt.refused(
        &spoilt.edited(|h| h["sections"][words]["dtype"] = json!("u8")),
        &["\"words\"", "U8"],
    );
    spoilt.refused(
        &spoilt.edited(|h| h["sections"][words]["name"] = json!("word")),
        &["\"words\" is missing"],
    );
    let last = |h: &mut Value, name: &str| {
        h["sections"].as_array_mut().unwrap().last_mut().unwrap()["name"] = json!(name);
    };
    spoilt.refused(&spoilt.edited(|h| last(h, "other")), &["\"vocabulary.tokens\" is missing"]);
}

/// Sections whose checksums are right and whose numbers are none.
#[test]
fn numbers_that_are_none_are_named() {
    for (dtype, sections) in [
        (Precision::F32, ["words", "layer.2.qkv"]),
        (Precision::Bf16, ["words", "layer.0.output"]),
        (Precision::Int8, ["words.scales", "layer.1.intermediate.scales"]),
    ] {
        let spoilt = Spoilt::new(dtype);
        for section in sections {
            // The last two bytes of a number, in f32 and in bf16.
            let bytes = spoilt.altered(section, &|bytes| {
                bytes.iter_mut().rev().take(2).for_each(|byte| *byte = 0xff)
            });
            let error = spoilt.refused(&bytes, &[section, "holds NaN"]);
            assert!(matches!(error, EncoderError::NotFinite { .. }), "{error}");
        }
        let bytes = spoilt.altered("parameters", &|bytes| {
            *bytes.first_chunk_mut().unwrap() = f32::INFINITY.to_le_bytes()
        });
        spoilt.refused(&bytes, &["\"embeddings.position_embeddings.weight\"", "holds inf"]);
        let bytes = spoilt.altered("parameters", &|bytes| {
            *bytes.last_chunk_mut().unwrap() = f32::NAN.to_le_bytes()
        });
        spoilt.refused(&bytes, &["\"encoder.layer.2.output.LayerNorm.bias\"", "holds NaN"]);
    }
}

/// A tokenizer whose sections are whole and lie.
#[test]
fn tokenizers_that_lie_are_refused() {
    let spoilt = Spoilt::new(Precision::Int8);
    let altered = |name: &str, alter: &dyn Fn(&mut [u8])| spoilt.altered(name, alter);
    let token = |at: usize, end: u32, id: u32| {
        altered("vocabulary.tokens", &move |bytes| {
            bytes[8 * at..][..4].copy_from_slice(&end.to_le_bytes());
            bytes[8 * at + 4..][..4].copy_from_slice(&id.to_le_bytes());
        })
    };
    spoilt.refused(&token(1, u32::MAX, 1), &["no token ends at byte 4294967295"]);
    spoilt.refused(&token(1, 0, 1), &["no token ends at byte 0"]);
    spoilt.refused(&token(1, 10, 40_000), &["highest id is 40000"]);
    spoilt.refused(&altered("vocabulary", &|bytes| bytes[0] = 0xff), &["utf-8"]);
    spoilt.refused(&altered("tokenizer", &|bytes| bytes[0] = b'['), &["settings"]);
    let settings = |from: &str, to: &str| {
        altered("tokenizer", &|bytes| {
            let text = std::str::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "{text}");
            let text = format!("{:<width$}", text.replacen(from, to, 1), width = bytes.len());
            bytes.copy_from_slice(text.as_bytes());
        })
    };
    spoilt.refused(&settings("\"[MASK]\"", "\"\""), &["an added token is empty"]);
    spoilt.refused(&settings("1,\"prefix\":\"##\"", "900,\"prefix\":\"\""), &["highest id is 900"]);
    spoilt.refused(&settings("\"lowercase\"", "\"lower\""), &["settings"]);
}

#[test]
fn other_files_are_no_bundles() {
    let spoilt = Spoilt::new(Precision::Int8);
    for bytes in [b"".as_slice(), b"espalie", b"{\"model_type\": \"bert\"}"] {
        spoilt.refused(bytes, &["does not start as a packed backbone does"]);
    }
}
