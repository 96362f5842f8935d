//! Attaching, replacing and detaching adapters, and what is refused.

use espalier_encoder::{Adapter, EncoderError, Head, Lora, Output, TextEncoder};
use espalier_runtime::{Answer, Request, Runtime, RuntimeError};
use espalier_testing::adapters::{adapter, labels, random_adapter, random_lora, saved, tags};
use espalier_testing::compare::{bits, expect_error};
use espalier_testing::fixtures::{edit_json, tiny_bert};
use espalier_testing::runtime::{constant, runtime};
use std::fs;

const _: () = {
    const fn is_shared_by_threads<T: Send + Sync>() {}
    is_shared_by_threads::<Runtime>();
};

/// An adapter that gives every text this label.
fn constant_label(backbone: &TextEncoder, label: &str) -> Adapter {
    let head = Head { classes: 1, values: vec![0.0; 33] };
    adapter(backbone, random_lora(backbone, 1, 1), Some(head), labels(&[label]))
}

fn label_of(runtime: &Runtime, name: &str) -> String {
    match runtime.run(&["it was"], &[name]).unwrap().remove(0).answers.remove(0) {
        Answer::Label { label, .. } => label,
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn adapters_come_and_go() {
    let backbone = tiny_bert();
    let (good, bad) =
        (saved(&constant_label(&backbone, "good")), saved(&constant_label(&backbone, "bad")));
    let runtime = Runtime::new(backbone);
    assert_eq!(runtime.names(), [""; 0]);
    runtime.attach("b", good.path()).unwrap();
    runtime.attach("a", bad.path()).unwrap();
    assert_eq!(runtime.names(), ["a", "b"]);
    assert_eq!([label_of(&runtime, "a"), label_of(&runtime, "b")], ["bad", "good"]);
    runtime.replace("b", bad.path()).unwrap();
    assert_eq!(label_of(&runtime, "b"), "bad");
    runtime.detach("b").unwrap();
    assert_eq!(runtime.names(), ["a"]);
    expect_error(runtime.run(&["it was"], &["b"]), &["attached: a"]);
    runtime.attach("b", good.path()).unwrap();
    assert_eq!(label_of(&runtime, "b"), "good");
    let shown = format!("{runtime:?}");
    assert!(shown.contains(r#"adapters: ["a", "b"]"#) && shown.len() < 2000, "{shown}");
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let runtime = constant(labels(&["yes"]), 0);
    let other = constant_label(runtime.backbone(), "no");
    let error =
        expect_error(runtime.attach("constant", saved(&other).path()), &["replace or detach"]);
    assert!(matches!(error, RuntimeError::NameTaken { name } if name == "constant"));
    expect_error(
        runtime.attach_adapter("constant", other.clone()),
        &["\"constant\" is attached already"],
    );
    expect_error(
        runtime.attach_lora("constant", &other.lora),
        &["\"constant\" is attached already"],
    );
    assert_eq!(label_of(&runtime, "constant"), "yes");
}

#[test]
fn names_that_are_not_attached_are_refused() {
    let runtime = runtime();
    let attached = "more things, opinions, plain, things, vectors";
    let error = expect_error(runtime.run(&["london"], &["things", "nothings"]), &[attached]);
    assert!(matches!(error, RuntimeError::UnknownAdapter { name, .. } if name == "nothings"));
    expect_error(runtime.run(&[] as &[&str], &["nothings"]), &[attached]);
    expect_error(runtime.detach("nothings"), &[attached]);
    let other = constant_label(runtime.backbone(), "no");
    expect_error(runtime.replace("nothings", saved(&other).path()), &[attached]);
    expect_error(runtime.replace_adapter("nothings", other), &[attached]);
    assert_eq!(runtime.names().len(), 5);
}

#[test]
fn adapters_of_another_backbone_are_refused() {
    let mut weights = tiny_bert().weights().to_vec();
    weights[0] += 1e-3;
    let other = Runtime::new(tiny_bert().with_weights(weights));
    let adapter = random_adapter(&tiny_bert(), random_lora(&tiny_bert(), 1, 1), Output::Vectors, 1);
    let error = expect_error(
        other.attach("vectors", saved(&adapter).path()),
        &[other.backbone().fingerprint()],
    );
    assert!(matches!(error, RuntimeError::Encoder(EncoderError::WrongBackbone { .. })), "{error}");
    let error =
        expect_error(other.attach_adapter("vectors", adapter), &[other.backbone().fingerprint()]);
    assert!(matches!(error, RuntimeError::WrongBackbone { .. }), "{error}");
    assert_eq!(other.names(), [""; 0]);
}

#[test]
fn adapters_in_memory_whose_parts_do_not_fit_are_refused() {
    let backbone = tiny_bert();
    let lora = || random_lora(&backbone, 2, 1);
    let head = |classes: usize, width: usize| {
        Some(Head { classes, values: vec![0.0; classes * (width + 1)] })
    };
    let mut config = backbone.encoder.config.clone();
    config.num_hidden_layers -= 1;
    let of_another_encoder = Lora::zeros(&config, Vec::new());
    let two = || labels(&["good", "bad"]);
    let repeated = Output::Tags { tags: ["O", "B-a", "B-a"].map(String::from).to_vec() };
    let cases = [
        (of_another_encoder.clone(), None, Output::Vectors, "other shapes"),
        (lora(), head(3, 32), two(), "2 classes, the weights hold 3 classes"),
        (lora(), None, two(), "2 classes, the weights hold no head"),
        (lora(), head(2, 32), Output::Vectors, "no head, the weights hold 2 classes"),
        (lora(), head(2, 31), two(), "another width"),
        (lora(), head(0, 32), labels(&[]), "no classes"),
        (lora(), head(3, 32), repeated, "\"B-a\" is listed twice"),
    ];
    let runtime = Runtime::new(backbone.clone());
    for (lora, head, output, message) in cases {
        let error = expect_error(
            runtime.attach_adapter("new", adapter(&backbone, lora, head, output)),
            &[message],
        );
        assert!(matches!(error, RuntimeError::InvalidAdapter { name, .. } if name == "new"));
    }
    expect_error(runtime.attach_lora("new", &of_another_encoder), &["other shapes"]);
    assert_eq!(runtime.names(), [""; 0]);
}

#[test]
fn a_replacement_that_cannot_be_read_changes_nothing() {
    let runtime = constant(tags(&["thing"]), 1);
    let before = runtime.run(&["it was"], &["constant"]).unwrap();
    let directory = saved(&constant_label(runtime.backbone(), "no"));
    fs::write(directory.path().join("adapter_model.safetensors"), b"cut off").unwrap();
    expect_error(runtime.replace("constant", directory.path()), &["is being written right now"]);
    // A card as earlier versions wrote it, without checksums of the files.
    edit_json(&directory.path().join("espalier.json"), |card| {
        card.as_object_mut().unwrap().remove("files").unwrap();
    });
    expect_error(runtime.replace("constant", directory.path()), &["not a whole safetensors file"]);
    assert_eq!(runtime.run(&["it was"], &["constant"]).unwrap(), before);
}

#[test]
fn loras_without_a_head_give_vectors() {
    let runtime = Runtime::new(tiny_bert());
    let lora = random_lora(runtime.backbone(), 2, 4);
    runtime.attach_lora("lora", &lora).unwrap();
    let headless = random_adapter(runtime.backbone(), lora, Output::Vectors, 1);
    runtime.attach_adapter("headless", headless).unwrap();
    let requests = [Request::Adapter("lora"), Request::Adapter("headless"), Request::Plain];
    let vectors = runtime.run(&["it was"], &requests).unwrap().remove(0).answers;
    let vectors = vectors.iter().map(|answer| match answer {
        Answer::Vector(vector) => bits(vector),
        answer => panic!("{answer:?}"),
    });
    let vectors: Vec<Vec<u32>> = vectors.collect();
    assert!(vectors[0] == vectors[1] && vectors[1] != vectors[2]);
}
