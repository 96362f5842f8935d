//! model.safetensors: its header, its tensors and their values.

use crate::with_file;
use espalier_encoder::tensors::TensorFile;
use espalier_encoder::{Backbone, EncoderError};
use espalier_testing::compare::{bits, expect_error};
use espalier_testing::fixtures::{copy_of, fixture, tiny_bert};
use espalier_testing::tensors::{self, RawTensor, RawTensors};
use safetensors::tensor::Dtype;
use std::fs;

/// Opens the tiny BERT with its weights changed.
fn with_tensors(edit: impl FnOnce(&mut RawTensors)) -> Result<Backbone, EncoderError> {
    let directory = copy_of("tiny-bert");
    tensors::edit(&directory.path().join("model.safetensors"), edit);
    Backbone::open(directory.path())
}

#[test]
fn every_missing_tensor_is_named() {
    for spec in &tiny_bert().encoder.layout.tensors {
        let error = expect_error(
            with_tensors(|tensors| drop(tensors.remove(&spec.name).unwrap())),
            &["model.safetensors", &format!("{:?}", spec.name)],
        );
        assert!(matches!(error, EncoderError::MissingTensor { .. }), "{error}");
    }
}

#[test]
fn every_tensor_of_another_shape_is_named() {
    for spec in &tiny_bert().encoder.layout.tensors {
        let error = with_tensors(|tensors| tensors.get_mut(&spec.name).unwrap().shape.push(1));
        let error = expect_error(error, &["model.safetensors", &format!("{:?}", spec.name)]);
        assert!(matches!(error, EncoderError::TensorShape { .. }), "{error}");
    }
    let transposed = with_tensors(|tensors| {
        tensors.get_mut("encoder.layer.0.intermediate.dense.weight").unwrap().shape.reverse();
    });
    expect_error(
        transposed,
        &["encoder.layer.0.intermediate.dense.weight", "[32, 64]", "[64, 32]"],
    );
}

#[test]
fn tensors_of_other_types_are_refused() {
    for dtype in [Dtype::F64, Dtype::I32, Dtype::I8, Dtype::U8, Dtype::BOOL, Dtype::F8_E4M3] {
        let name = "encoder.layer.1.output.dense.bias";
        let error = with_tensors(|tensors| {
            drop(tensors.insert(name.into(), RawTensor::zeros(dtype, &[32])))
        });
        let error = expect_error(error, &[name, &format!("{dtype:?}"), "F32"]);
        assert!(matches!(error, EncoderError::TensorType { .. }), "{error}");
    }
}

/// NaN, infinities, and numbers that are infinite in their stored type.
#[test]
fn values_that_are_not_finite_are_named() {
    let broken = [
        (Dtype::F32, f32::NAN.to_le_bytes().to_vec(), "holds NaN"),
        (Dtype::F32, f32::INFINITY.to_le_bytes().to_vec(), "holds inf"),
        (Dtype::F32, f32::NEG_INFINITY.to_le_bytes().to_vec(), "holds -inf"),
        (Dtype::BF16, vec![0xc0, 0x7f], "holds NaN"),
        (Dtype::F16, vec![0x00, 0xfc], "holds -inf"),
    ];
    for (name, shape) in [
        ("embeddings.LayerNorm.bias", [32].as_slice()),
        ("encoder.layer.1.output.dense.weight", &[32, 64]),
    ] {
        for (dtype, bytes, message) in &broken {
            let error = with_tensors(|tensors| {
                let mut tensor = RawTensor::zeros(*dtype, shape);
                let at = tensor.bytes.len() - bytes.len();
                tensor.bytes[at..].copy_from_slice(bytes);
                tensors.insert(name.into(), tensor);
            });
            let error = expect_error(
                error,
                &["model.safetensors", &format!("{name:?}"), message, "download the file again"],
            );
            assert!(matches!(error, EncoderError::NotFinite { .. }), "{error}");
        }
    }
    let name = "encoder.layer.0.output.dense.bias";
    let largest = RawTensor::f32(&[32], &[f32::MAX; 32]);
    assert!(with_tensors(|tensors| drop(tensors.insert(name.into(), largest))).is_ok());
}

/// Length of the header, which follows the 8 bytes of this length.
fn header_length(bytes: &[u8]) -> usize {
    u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let (directory, bytes) =
        (copy_of("tiny-bert"), fs::read(fixture("tiny-bert/model.safetensors")).unwrap());
    let header = 8 + header_length(&bytes);
    // Every length around the ends of the parts, and steps of a prime between.
    let near = |end: usize| end.saturating_sub(9)..(end + 9).min(bytes.len());
    let lengths = near(0)
        .chain(near(8))
        .chain(near(header))
        .chain(near(bytes.len()))
        .chain((0..bytes.len()).step_by(509));
    let path = directory.path().join("model.safetensors");
    for length in lengths {
        fs::write(&path, &bytes[..length]).unwrap();
        let error =
            expect_error(Backbone::open(directory.path()), &["model.safetensors", "copy it again"]);
        assert!(matches!(error, EncoderError::Safetensors { .. }), "{length} bytes: {error}");
    }
    fs::write(&path, [bytes.as_slice(), b"x"].concat()).unwrap();
    expect_error(Backbone::open(directory.path()), &["model.safetensors"]);
}

#[test]
fn a_header_of_a_huge_length_is_refused() {
    let bytes = fs::read(fixture("tiny-bert/model.safetensors")).unwrap();
    for length in [
        u64::MAX,
        u64::MAX - 7,
        1 << 63,
        1 << 40,
        u32::MAX as u64,
        bytes.len() as u64,
        bytes.len() as u64 - 7,
        0,
    ] {
        let error = expect_error(
            with_file("model.safetensors", &[&length.to_le_bytes(), &bytes[8..]].concat()),
            &["model.safetensors"],
        );
        assert!(matches!(error, EncoderError::Safetensors { .. }), "{length}: {error}");
    }
}

/// One bit of every byte of the header: the file is refused, or the bit did not matter (in the
/// metadata).
#[test]
fn a_flipped_bit_in_the_header_is_refused_or_harmless() {
    let (path, backbone) = (fixture("tiny-bert/model.safetensors"), tiny_bert());
    let read = |bytes: &[u8]| {
        let file = TensorFile::parse(&path, bytes)?;
        let mut weights = vec![0.0; backbone.weights().len()];
        for spec in &backbone.encoder.layout.tensors {
            file.read_into(&spec.name, &spec.shape, &mut weights[spec.range.clone()])?;
        }
        Ok::<_, EncoderError>(weights)
    };
    let (mut bytes, mut harmless) = (fs::read(&path).unwrap(), 0);
    for i in 0..8 + header_length(&bytes) {
        let bit = 1 << (i % 8);
        bytes[i] ^= bit;
        match read(&bytes) {
            Ok(weights) => {
                assert_eq!(bits(&weights), bits(backbone.weights()), "byte {i}");
                harmless += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("model.safetensors"), "byte {i}: {error}")
            }
        }
        bytes[i] ^= bit;
    }
    assert!(harmless < 64, "{harmless} flipped bits went unnoticed");
}
