//! What the tests share: the fixtures, and directories to spoil.

#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]

pub mod adapters;
pub mod raw;

use espalier_encoder::{Backbone, Batch, EncoderError};
use raw::RawTensors;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A file or directory of the repository's fixtures.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// The tiny BERT that all recorded numbers belong to.
pub fn tiny_bert() -> Backbone {
    Backbone::open(&fixture("tiny-bert")).expect("fixtures/tiny-bert is a whole model")
}

/// What PyTorch, transformers and peft computed: see scripts/make_parity_fixtures.py and
/// make_kin_fixtures.py.
pub struct Recorded {
    pub tensors: RawTensors,
    pub json: Value,
}

impl Recorded {
    pub fn read() -> Self {
        Self::at(&fixture("."))
    }

    pub fn at(directory: &Path) -> Self {
        let tensors = raw::read(&directory.join("parity.safetensors"));
        Self { tensors, json: read_json(&directory.join("parity.json")) }
    }

    /// The ragged batch of all cases.
    pub fn batch(&self) -> Batch {
        let ids: Vec<u32> = self.tensors["input_ids"].i64s().iter().map(|&id| id as u32).collect();
        let mut rest = ids.as_slice();
        Batch::new(self.tensors["lengths"].i64s().iter().map(|&length| {
            let (sequence, after) = rest.split_at(length as usize);
            rest = after;
            sequence
        }))
    }

    /// Target classes; -100 says that a row has none.
    pub fn targets(&self, name: &str) -> Vec<Option<u32>> {
        self.tensors[name].i64s().iter().map(|&label| u32::try_from(label).ok()).collect()
    }

    pub fn scalar(&self, name: &str) -> f64 {
        self.json["scalars"][name].as_f64().expect("a number in parity.json")
    }
}

/// Fails unless `found` is within 1e-4 of `recorded`, relative to the largest value of that tensor.
///
/// Some gradients are zero in theory and recorded as zero: those of the keys' biases. In single
/// precision they are sums of terms below 1 that cancel to about 1e-8, for which 1e-6 is allowed.
pub fn assert_close(what: &str, found: &[f32], recorded: &[f32]) {
    assert_eq!(found.len(), recorded.len(), "{what}: number of values");
    let largest = recorded.iter().fold(0f32, |max, value| max.max(value.abs()));
    let tolerance = if largest == 0.0 { 1e-6 } else { 1e-4 * largest };
    for (i, (a, b)) in found.iter().zip(recorded).enumerate() {
        assert!(
            (a - b).abs() <= tolerance,
            "{what}[{i}] is {a}, recorded is {b}, which may differ by {tolerance}"
        );
    }
}

/// A fresh directory with a copy of a fixture directory, to spoil.
pub fn copy_of(name: &str) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    copy(&fixture(name), directory.path());
    directory
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Changes a JSON file in place.
pub fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = read_json(path);
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Changes a safetensors file in place.
pub fn edit_tensors(path: &Path, edit: impl FnOnce(&mut RawTensors)) {
    let mut tensors = raw::read(path);
    edit(&mut tensors);
    raw::write(path, &tensors);
}

/// The error of something that must fail, after checking that its message holds all of `parts`.
pub fn refusal<T>(result: Result<T, EncoderError>, parts: &[&str]) -> EncoderError {
    let error =
        result.err().unwrap_or_else(|| panic!("accepted, but should be refused with {parts:?}"));
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "the message lacks {part:?}: {message}");
    }
    error
}

/// Bit patterns: unlike `==` these tell 0 from -0 and a NaN equal to itself.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
