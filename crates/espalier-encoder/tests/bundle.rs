//! Packed backbones: they compute what the directory computes, and adapters attach to them.

use espalier_encoder::{
    Adapter, AnyBackbone, Backbone, Batch, EncoderError, Model, PackedBackbone, Precision, Storage,
    TextEncoder, TrainableModel,
};
use espalier_testing::adapters::token_classifier;
use espalier_testing::compare::{bits, expect_error};
use espalier_testing::fixtures::{copy_of, fixture, tiny_bert};
use espalier_testing::tensors;
use std::fs;
use tempfile::TempDir;

const TEXTS: [&str; 3] =
    ["The cheap hotel near the station was great!", "", "Berlin [SEP] unknownword"];

/// The tiny BERT as a file, with the directory that the file is in.
fn packed(dtype: Precision) -> (TempDir, PackedBackbone) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("new/tiny.espalier");
    let written = tiny_bert().pack(dtype, &path).unwrap();
    assert_eq!(written.bytes as u64, fs::metadata(&path).unwrap().len());
    (directory, PackedBackbone::open(&path).unwrap())
}

fn hidden(backbone: &TextEncoder, model: Model) -> Vec<u32> {
    let texts: Vec<_> = TEXTS.iter().map(|text| backbone.tokenizer.encode(text)).collect();
    bits(&model.encode(&Batch::from_texts(&texts)))
}

/// The tiny BERT with its word embeddings rounded as a file stores them.
fn with_rounded_words(dtype: Precision) -> Backbone {
    let backbone = tiny_bert();
    let at = &backbone.encoder.layout.tensors[0];
    assert_eq!(at.name, "embeddings.word_embeddings.weight");
    let mut weights = backbone.weights().to_vec();
    for row in weights[at.range.clone()].chunks_mut(at.shape[1]) {
        // The sum of two neighbours above zero, or below it, is at most 127 steps.
        let together =
            |pair: &[f32], sign: f32| pair.iter().map(|x| (sign * x).max(0.0)).sum::<f32>();
        let largest = row
            .chunks(2)
            .fold(0f32, |most, pair| most.max(together(pair, 1.0)).max(together(pair, -1.0)));
        let scale = largest / 127.0;
        for x in row {
            *x = match dtype {
                Precision::F32 => *x,
                // Round to nearest even at the 16th bit, by adding just under half of it.
                Precision::Bf16 => {
                    f32::from_bits((x.to_bits() + 0x7fff + (x.to_bits() >> 16 & 1)) & 0xffff_0000)
                }
                Precision::Int8 => scale * (*x * (1.0 / scale)).round_ties_even(),
            };
        }
    }
    backbone.with_weights(weights)
}

#[test]
fn a_packed_backbone_computes_the_same_bits_in_every_precision_that_it_can() {
    let pairs = [
        (Precision::F32, Precision::F32),
        (Precision::F32, Precision::Bf16),
        (Precision::F32, Precision::Int8),
        (Precision::Bf16, Precision::Bf16),
        (Precision::Int8, Precision::Int8),
    ];
    for (dtype, computed) in pairs {
        let (_directory, file) = packed(dtype);
        assert_eq!(file.precision(), dtype);
        let file = file.with_precision(computed).unwrap();
        let directory = with_rounded_words(dtype).with_precision(computed);
        let (found, expected) =
            (hidden(&file, file.model(None)), hidden(&directory, directory.model(None)));
        assert_eq!(found, expected, "{dtype} computed in {computed}");
    }
}

/// Bytes everywhere cost more than bytes in one matrix, and bf16 in all costs least.
#[test]
fn matrices_may_stay_in_bf16_in_a_file_of_bytes() {
    let directory = TempDir::new().unwrap();
    let backbone = tiny_bert();
    let names: Vec<String> = backbone.matrices().into_iter().map(|(name, _)| name).collect();
    let vectors = |backbone: &TextEncoder| {
        let texts: Vec<_> = TEXTS.iter().map(|text| backbone.tokenizer.encode(text)).collect();
        backbone.model(None).encode(&Batch::from_texts(&texts))
    };
    let exact = vectors(&backbone);
    let error = |in_bf16: &[String]| {
        let path = directory.path().join("tiny.espalier");
        let storage = Storage::from(Precision::Int8).with_bf16(in_bf16);
        backbone.pack(storage, &path).unwrap();
        let file = PackedBackbone::open(&path).unwrap();
        assert_eq!(file.precision(), Precision::Int8);
        vectors(&file).iter().zip(&exact).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>()
    };
    let (bytes, most, all) = (error(&[]), error(&names[..names.len() - 1]), error(&names));
    assert!(all < most && most < bytes, "{all} {most} {bytes}");
}

/// All matrices, and not only the word embeddings, rounded to bf16.
#[test]
fn bf16_weights_are_multiplied_in_f32_as_they_are() {
    let rounded = copy_of("tiny-bert");
    tensors::edit(&rounded.path().join("model.safetensors"), |tensors| {
        let matrix =
            |name: &str| name.contains("word") || name.contains("layer.") && !name.contains("Norm");
        for tensor in
            tensors.iter_mut().filter(|(name, tensor)| matrix(name) && tensor.shape.len() == 2)
        {
            let shape = tensor.1.shape.clone();
            let round = |x: f32| {
                f32::from_bits((x.to_bits() + 0x7fff + (x.to_bits() >> 16 & 1)) & 0xffff_0000)
            };
            let values: Vec<f32> = tensor.1.f32s().into_iter().map(round).collect();
            *tensor.1 = tensors::RawTensor::f32(&shape, &values);
        }
    });
    let directory = Backbone::open(rounded.path()).unwrap();
    let file = packed(Precision::Bf16).1.with_precision(Precision::F32).unwrap();
    assert_eq!(hidden(&file, file.model(None)), hidden(&directory, directory.model(None)));
}

#[test]
fn rounded_weights_cannot_be_computed_with_in_other_precisions() {
    for (dtype, asked) in [
        (Precision::Int8, Precision::F32),
        (Precision::Int8, Precision::Bf16),
        (Precision::Bf16, Precision::Int8),
    ] {
        let (_directory, file) = packed(dtype);
        let error = expect_error(
            file.with_precision(asked),
            &["tiny.espalier", dtype.name(), asked.name()],
        );
        assert!(matches!(error, EncoderError::UnsupportedPrecision { .. }), "{error}");
    }
}

#[test]
fn everything_but_numbers_survives() {
    let (directory, (_file_directory, file)) = (tiny_bert(), packed(Precision::Int8));
    assert_eq!(file.fingerprint(), directory.fingerprint());
    assert_eq!(file.encoder.config, directory.encoder.config);
    assert_eq!(file.text_vectors, directory.text_vectors);
    assert_eq!(file.tokenizer.max_tokens(), 48);
    for text in TEXTS {
        assert_eq!(file.tokenizer.encode(text), directory.tokenizer.encode(text));
    }
}

#[test]
fn a_vocabulary_without_tokenizer_json_is_packed_too() {
    let directory = copy_of("tiny-bert");
    fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
    let backbone = Backbone::open(directory.path()).unwrap();
    let path = directory.path().join("tiny.espalier");
    backbone.pack(Precision::Int8, &path).unwrap();
    let file = PackedBackbone::open(&path).unwrap();
    for text in TEXTS {
        assert_eq!(file.tokenizer.encode(text), backbone.tokenizer.encode(text));
    }
}

#[test]
fn adapters_of_the_directory_attach_to_the_file() {
    let adapter_directory = token_classifier(&tiny_bert());
    for dtype in Precision::ALL {
        let (_directory, file) = packed(dtype);
        let adapter = Adapter::open(adapter_directory.path(), &file).unwrap();
        let plain = with_rounded_words(dtype).with_precision(dtype);
        let expected = hidden(&plain, plain.model(Some(&adapter.lora)));
        assert_eq!(hidden(&file, file.model(Some(&adapter.lora))), expected, "{dtype}");
        assert_ne!(hidden(&file, file.model(None)), expected, "{dtype}");
    }
    let other = tiny_bert().with_weights(vec![0.5; tiny_bert().weights().len()]);
    let path = adapter_directory.path().join("other.espalier");
    other.pack(Precision::F32, &path).unwrap();
    let error = expect_error(
        Adapter::open(adapter_directory.path(), &PackedBackbone::open(&path).unwrap()),
        &["trained on"],
    );
    assert!(matches!(error, EncoderError::WrongBackbone { .. }), "{error}");
}

#[test]
fn a_packed_backbone_is_for_inference_alone() {
    let (_directory, file) = packed(Precision::F32);
    let any = AnyBackbone::open(file.path()).unwrap();
    let results = [
        Backbone::open(file.path()).map(drop),
        any.as_trainable().map(drop),
        any.clone().into_trainable().map(drop),
        file.trainable_model(None).map(drop),
    ];
    for result in results {
        let error = expect_error(result, &["tiny.espalier", "inference", "directory"]);
        assert!(matches!(error, EncoderError::InferenceOnly { .. }), "{error}");
    }
    let directory = AnyBackbone::open(&fixture("tiny-bert")).unwrap();
    assert_eq!(directory.as_trainable().unwrap().weights(), tiny_bert().weights());
    expect_error(PackedBackbone::open(&fixture("tiny-bert")), &["tiny-bert", "not a regular file"]);
}

#[test]
fn a_model_that_cannot_be_trained_is_refused() {
    let (_directory, file) = packed(Precision::F32);
    let int8 = tiny_bert().with_precision(Precision::Int8);
    let results = [
        TrainableModel::new(file.model(None)).map(drop),
        int8.trainable_model(None).map(drop),
        TrainableModel::new(int8.model(None)).map(drop),
    ];
    for result in results {
        let error = expect_error(result, &["for inference", "train "]);
        assert!(matches!(error, EncoderError::NotTrainable { .. }), "{error}");
    }
}

/// Whoever has the old file open goes on with the old one.
#[test]
fn a_file_may_be_replaced_while_it_is_open() {
    let (directory, file) = packed(Precision::F32);
    let before = hidden(&file, file.model(None));
    let other = tiny_bert().with_weights(vec![0.5; tiny_bert().weights().len()]);
    let path = directory.path().join("new/tiny.espalier");
    other.pack(Precision::F32, &path).unwrap();
    let fresh = file
        .clone()
        .with_precision(Precision::Bf16)
        .unwrap()
        .with_precision(Precision::F32)
        .unwrap();
    assert_eq!(hidden(&fresh, fresh.model(None)), before);
    assert_eq!(PackedBackbone::open(&path).unwrap().fingerprint(), other.fingerprint());
}

/// Answers of a copy stay what they are, whatever is done to the file: a mapped one would change,
/// or end the process.
#[test]
fn a_copied_file_may_be_written_to() {
    for dtype in Precision::ALL {
        let (directory, mapped) = packed(dtype);
        let path = directory.path().join("new/tiny.espalier");
        let expected = hidden(&mapped, mapped.model(None));
        drop(mapped);
        let copied = PackedBackbone::open_copied(&path).unwrap();
        let length = fs::metadata(&path).unwrap().len() as usize;
        fs::write(&path, vec![0x55; length]).unwrap();
        assert_eq!(hidden(&copied, copied.model(None)), expected, "{dtype}, overwritten");
        fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert_eq!(hidden(&copied, copied.model(None)), expected, "{dtype}, truncated");
        // What is copied is checked as well.
        fs::write(&path, vec![0x55; length]).unwrap();
        expect_error(
            PackedBackbone::open_copied(&path),
            &["tiny.espalier", "does not start as a packed backbone does"],
        );
    }
    let directory = AnyBackbone::open_copied(&fixture("tiny-bert")).unwrap();
    assert_eq!(
        hidden(&directory, directory.model(None)),
        hidden(&tiny_bert(), tiny_bert().model(None))
    );
}

#[test]
fn weights_that_are_no_numbers_are_not_packed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tiny.espalier");
    let spoilt = |tensor: &str, value: f32| {
        let backbone = tiny_bert();
        let mut weights = backbone.weights().to_vec();
        let spec = backbone.encoder.layout.tensors.iter().find(|spec| spec.name == tensor).unwrap();
        weights[spec.range.end - 1] = value;
        backbone.with_weights(weights)
    };
    let (matrix, bias) =
        ("encoder.layer.1.output.dense.weight", "encoder.layer.1.output.dense.bias");
    for dtype in Precision::ALL {
        let error = expect_error(
            spoilt(matrix, f32::NAN).pack(dtype, &path),
            &["\"layer.1.output\"", "holds NaN"],
        );
        assert!(matches!(error, EncoderError::NotFinite { .. }), "{error}");
        expect_error(spoilt(bias, f32::INFINITY).pack(dtype, &path), &[bias, "holds inf"]);
        assert!(!path.exists());
        assert!(spoilt(bias, f32::MAX).pack(dtype, &path).is_ok());
        fs::remove_file(&path).unwrap();
    }
    expect_error(
        spoilt(matrix, f32::MAX).pack(Precision::Bf16, &path),
        &["\"layer.1.output\"", "holds inf"],
    );
    assert!(spoilt(matrix, f32::MAX).pack(Precision::F32, &path).is_ok());
}
