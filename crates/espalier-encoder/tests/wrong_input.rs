//! Model directories that are incomplete, damaged or hostile: a typed error that says what and
//! where, never a panic.

use espalier_encoder::tensors::TensorFile;
use espalier_encoder::{AnyBackbone, Backbone, EncoderError};
use espalier_testing::compare::{bits, expect_error};
use espalier_testing::fixtures::{copy_of, edit_json, fixture, tiny_bert};
use espalier_testing::tensors::{self, RawTensor};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Opens the tiny BERT with its config.json changed.
fn with_config(edit: impl FnOnce(&mut Value)) -> Result<Backbone, EncoderError> {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("config.json"), edit);
    Backbone::open(directory.path())
}

/// Opens the tiny BERT with its weights changed.
fn with_tensors(edit: impl FnOnce(&mut tensors::RawTensors)) -> Result<Backbone, EncoderError> {
    let directory = copy_of("tiny-bert");
    tensors::edit(&directory.path().join("model.safetensors"), edit);
    Backbone::open(directory.path())
}

/// Opens the tiny BERT with a file overwritten.
fn with_file(name: &str, bytes: &[u8]) -> Result<Backbone, EncoderError> {
    let directory = copy_of("tiny-bert");
    fs::write(directory.path().join(name), bytes).unwrap();
    Backbone::open(directory.path())
}

#[test]
fn missing_files_are_named() {
    for files in
        [["config.json"].as_slice(), &["model.safetensors"], &["tokenizer.json", "vocab.txt"]]
    {
        let directory = copy_of("tiny-bert");
        for file in files {
            fs::remove_file(directory.path().join(file)).unwrap();
        }
        let directory_name = directory.path().display().to_string();
        let error = expect_error(Backbone::open(directory.path()), &[files[0], &directory_name]);
        assert!(matches!(error, EncoderError::MissingFile { .. }), "{error}");
    }
    // Where there is no directory, that is what is missing.
    let error = expect_error(
        Backbone::open(Path::new("no/such/directory")),
        &["no/such/directory: No such file"],
    );
    assert!(matches!(error, EncoderError::Io { .. }), "{error}");
}

#[test]
fn a_directory_in_the_place_of_a_file_is_named() {
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let directory = copy_of("tiny-bert");
        fs::remove_file(directory.path().join(file)).unwrap();
        fs::create_dir(directory.path().join(file)).unwrap();
        let error = expect_error(Backbone::open(directory.path()), &[file]);
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
    }
}

#[test]
fn json_that_is_none_is_named() {
    let deep = "[".repeat(100_000);
    for file in
        ["config.json", "tokenizer_config.json", "sentence_bert_config.json", "modules.json"]
    {
        for bytes in [b"".as_slice(), b"{", b"3", b"\xff\xfe{}", deep.as_bytes()] {
            let error = expect_error(with_file(file, bytes), &[file]);
            assert!(matches!(error, EncoderError::Json { .. }), "{error}");
        }
    }
}

#[test]
fn keys_that_config_json_lacks_are_named() {
    for key in [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ] {
        let error = expect_error(
            with_config(|config| drop(config.as_object_mut().unwrap().remove(key))),
            &[key],
        );
        assert!(matches!(error, EncoderError::Json { .. }), "{error}");
    }
}

#[test]
fn what_the_engine_does_not_have_is_refused() {
    for (key, value, message) in [
        ("model_type", json!("deberta"), "architecture \"deberta\""),
        ("model_type", Value::Null, "model_type"),
        ("hidden_act", json!("relu"), "activation \"relu\""),
        ("hidden_act", json!("gelu_new"), "activation \"gelu_new\""),
        ("position_embedding_type", json!("relative_key"), "relative_key"),
        ("is_decoder", json!(true), "is_decoder"),
    ] {
        let error =
            expect_error(with_config(|config| config[key] = value), &["config.json", message]);
        assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
    }
}

#[test]
fn sizes_that_make_no_model_are_refused() {
    for (key, size, message) in [
        ("hidden_size", 0, "\"hidden_size\" is 0"),
        ("num_attention_heads", 0, "\"num_attention_heads\" is 0"),
        ("num_hidden_layers", 0, "\"num_hidden_layers\" is 0"),
        (
            "num_attention_heads",
            5,
            "\"hidden_size\" 32 is not a multiple of \"num_attention_heads\" 5",
        ),
        ("vocab_size", u64::MAX, "vocab_size"),
        ("hidden_size", 1 << 62, "hidden_size"),
        ("num_hidden_layers", 1 << 40, "num_hidden_layers"),
        ("intermediate_size", u64::MAX / 2, "intermediate_size"),
    ] {
        let error = expect_error(
            with_config(|config| config[key] = json!(size)),
            &["config.json", message],
        );
        assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
    }
    for value in [json!(-1), json!(1.5), json!("32"), json!([32])] {
        let error =
            expect_error(with_config(|config| config["hidden_size"] = value), &["config.json"]);
        assert!(matches!(error, EncoderError::Json { .. }), "{error}");
    }
}

/// The largest sizes that are accepted: 200 terabytes of weights, more than an address space holds.
/// Allocating them would abort the process.
#[test]
fn sizes_are_compared_with_the_weights_before_anything_is_allocated() {
    let error = with_config(|config| {
        (config["hidden_size"], config["num_attention_heads"]) = (json!(1 << 16), json!(1 << 16));
        (config["num_hidden_layers"], config["intermediate_size"]) =
            (json!(1 << 10), json!(1 << 18));
        (config["vocab_size"], config["max_position_embeddings"]) =
            (json!(1 << 24), json!(1 << 20));
    });
    let error = expect_error(
        error,
        &[
            "model.safetensors",
            "embeddings.word_embeddings.weight",
            "[175, 32]",
            "[16777216, 65536]",
        ],
    );
    assert!(matches!(error, EncoderError::TensorShape { .. }), "{error}");

    let error = expect_error(
        with_config(|config| config["num_hidden_layers"] = json!(1 << 10)),
        &["encoder.layer.3."],
    );
    assert!(matches!(error, EncoderError::MissingTensor { .. }), "{error}");
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
fn numbers_of_other_types_are_refused() {
    for dtype in [Dtype::F64, Dtype::I32, Dtype::I8, Dtype::U8, Dtype::BOOL, Dtype::F8_E4M3] {
        let name = "encoder.layer.1.output.dense.bias";
        let error = with_tensors(|tensors| {
            drop(tensors.insert(name.into(), RawTensor::zeros(dtype, &[32])))
        });
        let error = expect_error(error, &[name, &format!("{dtype:?}"), "F32"]);
        assert!(matches!(error, EncoderError::TensorType { .. }), "{error}");
    }
}

/// Length of the header, after the 8 bytes that say it.
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

#[test]
fn a_model_shorter_than_its_special_tokens_is_refused() {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("config.json"), |config| {
        config["max_position_embeddings"] = json!(1)
    });
    tensors::edit(&directory.path().join("model.safetensors"), |tensors| {
        let one_row = RawTensor::zeros(Dtype::F32, &[1, 32]);
        tensors.insert("embeddings.position_embeddings.weight".into(), one_row);
    });
    expect_error(Backbone::open(directory.path()), &["tokenizer.json", "2 special tokens"]);
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("config.json"), |config| config["vocab_size"] = json!(100));
    tensors::edit(&directory.path().join("model.safetensors"), |tensors| {
        tensors.insert(
            "embeddings.word_embeddings.weight".into(),
            RawTensor::zeros(Dtype::F32, &[100, 32]),
        );
    });
    let error = expect_error(
        Backbone::open(directory.path()),
        &["tokenizer.json", "174", "100 word embeddings"],
    );
    assert!(matches!(error, EncoderError::VocabularyMismatch { .. }), "{error}");
}

#[test]
fn other_poolings_and_modules_are_refused() {
    for (config, message) in [
        (json!({"pooling_mode": "lasttoken"}), "lasttoken"),
        (json!({"pooling_mode_max_tokens": true}), "max_tokens"),
        (json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}), "cls_token"),
        (json!({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}), "max_tokens"),
        (json!({"pooling_mode_mean_tokens": false}), "[]"),
        (json!({"pooling_mode": ["mean", "max"]}), "1_Pooling"),
    ] {
        let bytes = config.to_string();
        expect_error(
            with_file("1_Pooling/config.json", bytes.as_bytes()),
            &["1_Pooling/config.json", message],
        );
    }
    let dense = json!([{"idx": 0, "name": "0", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}]);
    let error = expect_error(
        with_file("modules.json", dense.to_string().as_bytes()),
        &["modules.json", "Dense"],
    );
    assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");

    let directory = copy_of("tiny-bert");
    fs::remove_dir_all(directory.path().join("1_Pooling")).unwrap();
    let error = expect_error(Backbone::open(directory.path()), &["1_Pooling"]);
    assert!(matches!(error, EncoderError::Io { .. }), "{error}");
}

/// NaN, infinities, and numbers that are infinite in the type that they are stored in.
#[test]
fn weights_that_are_no_numbers_are_named() {
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

#[test]
fn settings_that_are_no_sensible_numbers_are_refused() {
    // What is beyond f32 is infinite, or, with another feature of serde_json, refused as it is
    // read.
    for eps in [-1e-12f64, -1.0, 1e39, -1e300] {
        let error = expect_error(
            with_config(|config| config["layer_norm_eps"] = json!(eps)),
            &["config.json"],
        );
        let beyond = eps.abs() > f64::from(f32::MAX) && matches!(error, EncoderError::Json { .. });
        assert!(beyond || matches!(error, EncoderError::Unsupported { .. }), "{error}");
    }
    for (file, key) in [
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ] {
        for limit in [json!(-1), json!(0), json!(-1e30), json!(0.5)] {
            let directory = copy_of("tiny-bert");
            edit_json(&directory.path().join(file), |settings| settings[key] = limit.clone());
            let error = expect_error(Backbone::open(directory.path()), &[file, "at least 1"]);
            assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
        }
        // What transformers writes for no limit.
        let directory = copy_of("tiny-bert");
        edit_json(&directory.path().join(file), |settings| settings[key] = json!(1e30));
        assert!(Backbone::open(directory.path()).is_ok());
    }
}

#[test]
fn poolings_that_are_said_in_another_way_than_by_a_boolean_are_not_passed_over() {
    for other in [json!("yes"), json!(1), json!({})] {
        let config =
            json!({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": other}).to_string();
        expect_error(
            with_file("1_Pooling/config.json", config.as_bytes()),
            &["1_Pooling/config.json", "max_tokens"],
        );
    }
    let config =
        json!({"pooling_mode_cls_token": true, "pooling_mode_max_tokens": null}).to_string();
    assert!(with_file("1_Pooling/config.json", config.as_bytes()).is_ok());
}

#[test]
fn modules_outside_their_directory_are_refused() {
    for path in ["../1_Pooling", "1_Pooling/../../1_Pooling", "/1_Pooling", ".."] {
        for kind in ["Pooling", "Transformer"] {
            let modules = json!([{"idx": 1, "name": "1", "path": path, "type": format!("sentence_transformers.models.{kind}")}]);
            let error = with_file("modules.json", modules.to_string().as_bytes());
            let error = expect_error(
                error,
                &["modules.json", &format!("{path:?}"), "leads out of this directory"],
            );
            assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
        }
    }
    let modules = json!([{"idx": 1, "name": "1", "path": "./1_Pooling", "type": "sentence_transformers.models.Pooling"}]);
    assert!(with_file("modules.json", modules.to_string().as_bytes()).is_ok());
}

/// Pipes, which nobody writes to, devices, which never end, and links in a circle; on the other
/// hand links as in the hub's cache.
#[test]
#[cfg(target_os = "linux")]
fn files_without_an_end_are_refused_before_they_are_opened() {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    let files = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "modules.json",
        "1_Pooling/config.json",
    ];
    for file in files {
        let directory = copy_of("tiny-bert");
        let path = directory.path().join(file);
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = expect_error(Backbone::open(directory.path()), &[file, "not a regular file"]);
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
        fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        expect_error(Backbone::open(directory.path()), &[file, "not a regular file"]);
    }
    for opened in [
        AnyBackbone::open(Path::new("/dev/zero")),
        AnyBackbone::open_copied(Path::new("/dev/zero")),
    ] {
        expect_error(opened, &["/dev/zero", "not a regular file"]);
    }
    let directory = copy_of("tiny-bert");
    let path = directory.path().join("config.json");
    fs::create_dir_all(directory.path().join("blobs")).unwrap();
    fs::rename(&path, directory.path().join("blobs/0123")).unwrap();
    symlink("blobs/0123", &path).unwrap();
    symlink(directory.path(), directory.path().join("1_Pooling/circle")).unwrap();
    assert!(Backbone::open(directory.path()).is_ok());
    fs::remove_file(&path).unwrap();
    symlink("config.json", &path).unwrap();
    expect_error(Backbone::open(directory.path()), &["config.json"]);
}

/// Files of a length that only a hole can have: nothing is allocated for them.
#[test]
#[cfg(target_os = "linux")]
fn files_beyond_all_models_are_refused_by_their_length() {
    for (file, length) in
        [("model.safetensors", 1u64 << 40), ("config.json", 1 << 30), ("tokenizer.json", 1 << 30)]
    {
        let directory = copy_of("tiny-bert");
        fs::File::options()
            .write(true)
            .open(directory.path().join(file))
            .unwrap()
            .set_len(length)
            .unwrap();
        let error = expect_error(
            Backbone::open(directory.path()),
            &[file, &format!("{length} bytes"), "at most"],
        );
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
    }
}
