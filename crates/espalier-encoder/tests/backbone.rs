//! Backbones that are saved and opened again, and the variants of weight files that are read.

use espalier_encoder::{
    Adapter, AnyBackbone, Backbone, Batch, EncoderError, Head, Lora, LoraConfig, PackedBackbone,
    Pooling, TextEncoder, Tokenizer,
};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::{copy_of, edit_json, fixture, tiny_bert};
use espalier_testing::tensors;
use safetensors::tensor::Dtype;
use serde_json::json;
use std::fs;
use tempfile::TempDir;

/// Threads may share what programs hold for long.
const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Backbone>();
    is_send_and_sync::<PackedBackbone>();
    is_send_and_sync::<AnyBackbone>();
    is_send_and_sync::<TextEncoder>();
    is_send_and_sync::<Adapter>();
    is_send_and_sync::<Tokenizer>();
    is_send_and_sync::<EncoderError>();
};

/// `dbg!` of a backbone must not print millions of weights.
#[test]
fn what_is_printed_for_debugging_is_short() {
    let backbone = tiny_bert();
    let lora = Lora::random_init(&backbone.encoder.config, &LoraConfig::for_layers(3), || 0.5);
    let head = Head::random_init(32, 4, || 0.5);
    let shown = [format!("{backbone:?}"), format!("{lora:?}"), format!("{head:?}")];
    assert!(shown.iter().all(|text| text.len() < 2000), "{shown:?}");
    assert!(shown[0].contains(backbone.fingerprint()));
}

#[test]
fn what_is_saved_opens_as_the_same_backbone() {
    let (backbone, directory) = (tiny_bert(), TempDir::new().unwrap());
    backbone.save(&directory.path().join("new/model")).unwrap();
    let opened = Backbone::open(&directory.path().join("new/model")).unwrap();
    assert_eq!(bits(opened.weights()), bits(backbone.weights()));
    assert_eq!(opened.fingerprint(), backbone.fingerprint());
    assert_eq!(opened.encoder.config, backbone.encoder.config);
    assert_eq!(opened.text_vectors, backbone.text_vectors);
    assert_eq!(opened.tokenizer.max_tokens(), 48);
    let text = "The cheap hotel near the station was great!";
    assert_eq!(opened.tokenizer.encode(text), backbone.tokenizer.encode(text));
}

#[test]
fn other_weights_are_another_backbone() {
    let (backbone, directory) = (tiny_bert(), TempDir::new().unwrap());
    let mut weights = backbone.weights().to_vec();
    *weights.last_mut().unwrap() += 1.0;
    let other = backbone.with_weights(weights.clone());
    assert_ne!(other.fingerprint(), backbone.fingerprint());
    // Saved over a backbone, it replaces it.
    backbone.save(directory.path()).unwrap();
    other.save(directory.path()).unwrap();
    let opened = Backbone::open(directory.path()).unwrap();
    assert_eq!(bits(opened.weights()), bits(&weights));
    assert_eq!(opened.fingerprint(), other.fingerprint());
}

#[test]
fn the_fingerprint_belongs_to_the_weights_and_not_to_the_file() {
    let directory = copy_of("tiny-bert");
    // Rewritten without metadata, and so with another header.
    tensors::edit(&directory.path().join("model.safetensors"), |_| ());
    fs::remove_file(directory.path().join("modules.json")).unwrap();
    let bytes =
        |directory: &std::path::Path| fs::read(directory.join("model.safetensors")).unwrap();
    assert_ne!(bytes(directory.path()), bytes(&fixture("tiny-bert")));
    assert_eq!(Backbone::open(directory.path()).unwrap().fingerprint(), tiny_bert().fingerprint());
}

/// Names as in files of task models (`bert.`, along with heads) and as TensorFlow had them
/// (`gamma`, `beta`).
#[test]
fn other_names_of_the_same_weights_are_known() {
    let old = |name: &str| {
        name.replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta")
    };
    let rename: [&dyn Fn(&str) -> String; 3] =
        [&|name| format!("bert.{name}"), &old, &|name| format!("bert.{}", old(name))];
    for rename in rename {
        let directory = copy_of("tiny-bert");
        tensors::edit(&directory.path().join("model.safetensors"), |tensors| {
            let renamed =
                std::mem::take(tensors).into_iter().map(|(name, tensor)| (rename(&name), tensor));
            tensors.extend(renamed);
            assert!(!tensors.contains_key("embeddings.LayerNorm.weight"));
            let pooler = tensors::RawTensor::zeros(Dtype::F32, &[32, 32]);
            tensors.insert("bert.pooler.dense.weight".into(), pooler);
        });
        let backbone = Backbone::open(directory.path()).unwrap();
        assert_eq!(backbone.fingerprint(), tiny_bert().fingerprint());
    }
}

/// Keeps the bits of each weight that fit the narrow type, so that what must be read back is known
/// exactly.
fn narrowed(dtype: Dtype, narrow: impl Fn(u32) -> u16, kept: impl Fn(u32) -> u32) {
    let directory = copy_of("tiny-bert");
    tensors::edit(&directory.path().join("model.safetensors"), |tensors| {
        for tensor in tensors.values_mut() {
            let values = tensor.f32s();
            tensor.bytes =
                values.iter().flat_map(|value| narrow(value.to_bits()).to_le_bytes()).collect();
            tensor.dtype = dtype;
        }
    });
    let expected: Vec<u32> =
        tiny_bert().weights().iter().map(|value| kept(value.to_bits())).collect();
    assert_eq!(bits(Backbone::open(directory.path()).unwrap().weights()), expected);
}

#[test]
fn bf16_weights_are_read() {
    narrowed(Dtype::BF16, |bits| (bits >> 16) as u16, |bits| bits & 0xffff_0000);
}

/// Half precision: the exponent's bias is 15 instead of 127, and 13 bits fewer of the fraction.
/// Weights here are below 2^4; those below 2^-14, the smallest normal half, become a zero of their
/// sign.
#[test]
fn f16_weights_are_read() {
    let normal = |bits: u32| (bits >> 23 & 0xff) >= 127 - 14;
    let narrow = |bits: u32| {
        let magnitude =
            if normal(bits) { ((bits & 0x7fff_ffff) - ((127 - 15) << 23)) >> 13 } else { 0 };
        (bits >> 31 << 15) as u16 | magnitude as u16
    };
    narrowed(Dtype::F16, narrow, |bits| {
        if normal(bits) { bits & 0xffff_e000 } else { bits & 0x8000_0000 }
    });
}

#[test]
fn pooling_is_read_in_both_schemas() {
    let cases = [
        (json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}), Pooling::Cls),
        (json!({"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}), Pooling::Mean),
        (
            json!({"embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": true}),
            Pooling::Cls,
        ),
        (
            json!({"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": true}),
            Pooling::Mean,
        ),
    ];
    for (config, pooling) in cases {
        let directory = copy_of("tiny-bert");
        edit_json(&directory.path().join("1_Pooling/config.json"), |file| *file = config);
        let vectors = Backbone::open(directory.path()).unwrap().text_vectors;
        assert_eq!((vectors.pooling, vectors.normalize), (pooling, false));
    }
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("modules.json"), |modules| {
        let kind = "sentence_transformers.models.Normalize";
        let normalize = json!({"idx": 2, "name": "2", "path": "2_Normalize", "type": kind});
        modules.as_array_mut().unwrap().push(normalize);
    });
    assert!(Backbone::open(directory.path()).unwrap().text_vectors.normalize);
}

/// A plain transformers directory, without sentence-transformers' files.
#[test]
fn the_tokenizer_declares_the_length_when_nothing_else_does() {
    let directory = copy_of("tiny-bert");
    for file in ["modules.json", "sentence_bert_config.json"] {
        fs::remove_file(directory.path().join(file)).unwrap();
    }
    let declared = |length: serde_json::Value| {
        edit_json(&directory.path().join("tokenizer_config.json"), |config| {
            config["model_max_length"] = length
        });
        Backbone::open(directory.path()).unwrap()
    };
    assert_eq!(declared(json!(20)).tokenizer.max_tokens(), 20);
    // "No limit" as transformers writes it, and more than the 64 position embeddings.
    assert_eq!(
        declared(json!(1_000_000_000_000_000_019_884_624_838_656_u128 as f64))
            .tokenizer
            .max_tokens(),
        64
    );
    let backbone = declared(json!(65));
    let text = backbone.tokenizer.encode(&"the ".repeat(100));
    assert_eq!(text.ids.len(), 64);
    assert_eq!(backbone.model(None).encode(&Batch::new([text.ids.as_slice()])).len(), 64 * 32);
}
