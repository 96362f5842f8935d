//! Packed backbones: truncated, altered or inconsistent, whatever the byte.

use espalier_encoder::{EncoderError, PackedBackbone, Precision};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::tiny_bert;
use espalier_testing::packed_file::{PREFIX, assemble, checksum, header_end};
use serde_json::{Value, json};
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use tempfile::TempDir;

/// A packed tiny BERT to damage.
struct Packed {
    _directory: TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Packed {
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
        header_end(&self.bytes).unwrap()
    }

    fn header(&self) -> Value {
        serde_json::from_slice(&self.bytes[PREFIX..self.header_end()]).unwrap()
    }

    /// The file with another header, whose checksum is correct.
    fn with_header(&self, header: &[u8]) -> Vec<u8> {
        assemble(header, &self.bytes[self.header_end().next_multiple_of(64)..])
    }

    /// The file with a change to its header, whose checksum is correct.
    fn edited(&self, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut header = self.header();
        edit(&mut header);
        self.with_header(header.to_string().as_bytes())
    }

    /// Number of a section.
    fn section(&self, name: &str) -> usize {
        let header = self.header();
        let mut sections = header["sections"].as_array().unwrap().iter();
        sections.position(|section| section["name"] == name).unwrap()
    }

    /// The bytes of a section in the file.
    fn range(&self, section: usize) -> Range<usize> {
        let section = &self.header()["sections"][section];
        let number = |key: &str| section[key].as_u64().unwrap() as usize;
        let start = self.header_end().next_multiple_of(64) + number("offset");
        start..start + number("length")
    }

    /// The file with other bytes in one section, whose checksum is correct.
    fn altered(&self, name: &str, alter: &dyn Fn(&mut [u8])) -> Vec<u8> {
        let section = self.section(name);
        let range = self.range(section);
        let mut altered = self.bytes[range.clone()].to_vec();
        alter(&mut altered);
        let sum = format!("{:016x}", checksum(&altered));
        let mut bytes = self.edited(|header| header["sections"][section]["checksum"] = json!(sum));
        // The header keeps its length, but perhaps not its order of keys.
        assert_eq!(bytes.len(), self.bytes.len());
        bytes[range].copy_from_slice(&altered);
        bytes
    }
}

#[test]
fn every_flipped_bit_before_the_sections_is_noticed() {
    let packed = Packed::new(Precision::Int8);
    let mut bytes = packed.bytes.clone();
    for i in 0..packed.header_end().next_multiple_of(64) {
        let bit = 1 << (i % 8);
        bytes[i] ^= bit;
        packed.refused(&bytes, &[]);
        bytes[i] ^= bit;
    }
    assert!(packed.open(&bytes).is_ok());
}

#[test]
fn every_flipped_bit_in_the_sections_is_noticed() {
    for dtype in Precision::ALL {
        let packed = Packed::new(dtype);
        let mut bytes = packed.bytes.clone();
        for i in (packed.header_end()..bytes.len()).step_by(101).chain([bytes.len() - 1]) {
            let bit = 1 << (i % 8);
            bytes[i] ^= bit;
            let error = packed.refused(&bytes, &["not a whole packed backbone"]);
            assert!(matches!(error, EncoderError::PackedFile { .. }), "byte {i}: {error}");
            bytes[i] ^= bit;
        }
    }
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let packed = Packed::new(Precision::Int8);
    for length in (0..packed.header_end() + 200).chain((0..packed.bytes.len()).step_by(97)) {
        packed.refused(&packed.bytes[..length], &["not a whole packed backbone"]);
    }
    let last = packed.bytes.len() - 1;
    packed.refused(&packed.bytes[..last], &["it ends after", "vocabulary.tokens", "copy it again"]);
    packed.refused(&[packed.bytes.as_slice(), b"x"].concat(), &["1 bytes follow"]);
}

#[test]
fn other_versions_are_refused() {
    let packed = Packed::new(Precision::Int8);
    for version in [0u32, 1, 3, u32::MAX] {
        let mut bytes = packed.bytes.clone();
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        let error = packed.refused(
            &bytes,
            &[&format!("version {version};"), "reads version 2", "pack the backbone again"],
        );
        assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
    }
}

#[test]
fn headers_of_huge_lengths_are_refused() {
    let packed = Packed::new(Precision::Int8);
    for length in [u32::MAX, 1 << 31, (1 << 20) + 1, 1 << 20, 0] {
        let mut bytes = packed.bytes.clone();
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        packed.refused(&bytes, &["header"]);
    }
}

#[test]
fn inconsistent_headers_are_refused() {
    let packed = Packed::new(Precision::Int8);
    assert!(packed.open(&packed.edited(|_| ())).is_ok(), "rewriting the header alone is harmless");
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
        packed.refused(&packed.edited(edit), &[reason]);
    }
    // The last section, longer than the file: type, shape and length agree.
    let longer = packed.edited(|h| {
        let last = h["sections"].as_array_mut().unwrap().last_mut().unwrap();
        (last["length"], last["shape"]) = (json!(8 * huge), json!([huge, 2]));
    });
    packed.refused(&longer, &["it ends after"]);
    packed.refused(&packed.with_header(b"{}"), &["missing field"]);
    packed.refused(&packed.with_header(&[b'['; 100_000]), &[]);
}

/// A type under the name of another of the same size, and a section under another name.
#[test]
fn sections_under_other_names_are_refused() {
    let packed = Packed::new(Precision::Int8);
    let words = packed.section("words");
    packed.refused(
        &packed.edited(|h| h["sections"][words]["dtype"] = json!("u8")),
        &["\"words\"", "U8"],
    );
    packed.refused(
        &packed.edited(|h| h["sections"][words]["name"] = json!("word")),
        &["\"words\" is missing"],
    );
    let last = |h: &mut Value, name: &str| {
        h["sections"].as_array_mut().unwrap().last_mut().unwrap()["name"] = json!(name);
    };
    packed.refused(&packed.edited(|h| last(h, "other")), &["\"vocabulary.tokens\" is missing"]);
}

/// Sections whose checksums are correct and whose values are not finite.
#[test]
fn values_that_are_not_finite_are_named() {
    for (dtype, sections) in [
        (Precision::F32, ["words", "layer.2.qkv"]),
        (Precision::Bf16, ["words", "layer.0.output"]),
        (Precision::Int8, ["words.scales", "layer.1.intermediate.scales"]),
    ] {
        let packed = Packed::new(dtype);
        for section in sections {
            // The last two bytes of a number, in f32 and in bf16.
            let bytes = packed.altered(section, &|bytes| {
                bytes.iter_mut().rev().take(2).for_each(|byte| *byte = 0xff)
            });
            let error = packed.refused(&bytes, &[section, "holds NaN"]);
            assert!(matches!(error, EncoderError::NotFinite { .. }), "{error}");
        }
        let bytes = packed.altered("parameters", &|bytes| {
            *bytes.first_chunk_mut().unwrap() = f32::INFINITY.to_le_bytes()
        });
        packed.refused(&bytes, &["\"embeddings.position_embeddings.weight\"", "holds inf"]);
        let bytes = packed.altered("parameters", &|bytes| {
            *bytes.last_chunk_mut().unwrap() = f32::NAN.to_le_bytes()
        });
        packed.refused(&bytes, &["\"encoder.layer.2.output.LayerNorm.bias\"", "holds NaN"]);
    }
}

/// Tokenizers whose sections have correct checksums and invalid content.
#[test]
fn inconsistent_tokenizers_are_refused() {
    let packed = Packed::new(Precision::Int8);
    let altered = |name: &str, alter: &dyn Fn(&mut [u8])| packed.altered(name, alter);
    let token = |at: usize, end: u32, id: u32| {
        altered("vocabulary.tokens", &move |bytes| {
            bytes[8 * at..][..4].copy_from_slice(&end.to_le_bytes());
            bytes[8 * at + 4..][..4].copy_from_slice(&id.to_le_bytes());
        })
    };
    packed.refused(&token(1, u32::MAX, 1), &["no token ends at byte 4294967295"]);
    packed.refused(&token(1, 0, 1), &["no token ends at byte 0"]);
    packed.refused(&token(1, 10, 40_000), &["highest id is 40000"]);
    packed.refused(&altered("vocabulary", &|bytes| bytes[0] = 0xff), &["utf-8"]);
    packed.refused(&altered("tokenizer", &|bytes| bytes[0] = b'['), &["settings"]);
    let settings = |from: &str, to: &str| {
        altered("tokenizer", &|bytes| {
            let text = std::str::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "{text}");
            let text = format!("{:<width$}", text.replacen(from, to, 1), width = bytes.len());
            bytes.copy_from_slice(text.as_bytes());
        })
    };
    packed.refused(&settings("\"[MASK]\"", "\"\""), &["an added token is empty"]);
    packed.refused(&settings("1,\"prefix\":\"##\"", "900,\"prefix\":\"\""), &["highest id is 900"]);
    packed.refused(&settings("\"lowercase\"", "\"lower\""), &["settings"]);
}

#[test]
fn files_of_other_kinds_are_refused() {
    let packed = Packed::new(Precision::Int8);
    for bytes in [b"".as_slice(), b"espalie", b"{\"model_type\": \"bert\"}"] {
        packed.refused(bytes, &["does not start as a packed backbone does"]);
    }
}
