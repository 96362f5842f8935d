//! Quantisation with a gate, on the tiny BERT.

use espalier_data::{Examples, LabelledText};
use espalier_encoder::{
    Adapter, AdapterCard, Backbone, Family, Head, Lora, Output, PackedBackbone, Pooling, Precision,
};
use espalier_study::evaluate;
use espalier_study::quantize::{Quantized, Quantizer, ScoredAdapter};
use espalier_testing::fixtures::tiny_bert;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const LABELS: usize = 16;

/// Texts of words that the tiny BERT knows, all different.
fn texts() -> Vec<String> {
    let words =
        ["cheap", "hotel", "near", "the", "station", "was", "great", "music", "london", "weather"];
    let text = |n: usize| {
        format!(
            "{} {} {} {}",
            words[n % 10],
            words[n / 10 % 10],
            words[n / 3 % 10],
            words[n / 7 % 10]
        )
    };
    (0..400).map(text).collect()
}

/// A classifier that is right about all its examples in f32, though often by a narrow margin.
fn scored(backbone: &Backbone) -> ScoredAdapter {
    let mut state = 7u32;
    let number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let adapter = Adapter {
        lora: Lora::zeros(&backbone.encoder.config, Vec::new()),
        head: Some(Head::random_init(backbone.encoder.width(), LABELS, number)),
        card: AdapterCard {
            format: AdapterCard::FORMAT,
            family: Family::Tc,
            output: Output::Labels { labels: (0..LABELS).map(|n| format!("label {n}")).collect() },
            pooling: Pooling::Mean,
            backbone: backbone.fingerprint().to_string(),
            training: Default::default(),
        },
    };
    let unlabelled = |text: String| LabelledText { text, label: "label 0".into() };
    let examples = Examples::Classification(texts().into_iter().map(unlabelled).collect());
    let predicted = espalier_train::finetune::predict(backbone, &adapter, &examples).unwrap();
    let espalier_train::finetune::Predictions::Labels(labels) = predicted else {
        panic!("a classifier gives labels")
    };
    let labelled =
        texts().into_iter().zip(labels).map(|(text, label)| LabelledText { text, label });
    ScoredAdapter::new("narrow", adapter, Examples::Classification(labelled.collect()))
}

fn run(max_drop: f64, mixed: bool, out: &Path) -> Quantized {
    let backbone = tiny_bert();
    let adapters = [scored(&backbone)];
    Quantizer::new(&backbone, &adapters).max_drop(max_drop).mixed(mixed).pack(out, |_| ()).unwrap()
}

fn files(directory: &TempDir) -> Vec<String> {
    fs::read_dir(directory.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn bytes_are_enough_for_a_generous_budget() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("tiny.espalier");
    std::fs::write(out.with_extension("trial"), "precious").unwrap(); // somebody else's
    let quantized = run(100.0, true, &out);
    assert!(quantized.in_bf16.is_empty());
    assert_eq!(std::fs::read(out.with_extension("trial")).unwrap(), b"precious");
    std::fs::remove_file(out.with_extension("trial")).unwrap();
    assert_eq!((quantized.adapters[0].before, quantized.adapters[0].examples), (100.0, 400));
    assert_eq!(quantized.file.unwrap().path, out);
    assert_eq!(files(&directory), ["tiny.espalier"]);
}

#[test]
fn an_adapter_that_loses_too_much_is_named_and_no_file_is_left() {
    let directory = TempDir::new().unwrap();
    let quantized = run(0.0, false, &directory.path().join("tiny.espalier"));
    assert!(quantized.file.is_none() && quantized.adapters[0].drop() > 0.0);
    assert_eq!(quantized.adapters[0].name, "narrow");
    assert!(files(&directory).is_empty());
}

#[test]
fn as_few_matrices_as_will_do_stay_in_bf16() {
    let backbone = tiny_bert();
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("tiny.espalier");
    let lost = run(0.0, false, &out).adapters[0].drop();
    let budget = lost / 2.0;
    let quantized = run(budget, true, &out);
    assert!(!quantized.in_bf16.is_empty() && quantized.in_bf16.len() < backbone.matrices().len());

    // What was reported is true of the file.
    let file = PackedBackbone::open(&out).unwrap();
    assert_eq!(file.precision(), Precision::Int8);
    let scored = scored(&backbone);
    let score = 100.0 * evaluate(&file, &scored.adapter, &scored.examples).unwrap().main_score();
    assert_eq!(score, quantized.adapters[0].after);
    assert!(100.0 - score <= budget);
    let sections = quantized.file.unwrap().sections;
    for (name, _) in backbone.matrices() {
        let in_bytes = sections.iter().any(|(section, _)| *section == format!("{name}.scales"));
        assert_eq!(in_bytes, !quantized.in_bf16.contains(&name), "{name}");
    }
}
