//! Pre-finetuning, the conflict meter, and distillation from teachers.

use crate::workspace::{Workspace, backbone};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

#[test]
fn one_step_of_sgd_is_the_gradient() {
    // Without clipping, decay and warm-up the change of the weights is proportional to the learning
    // rate: twice the rate, twice the change.
    let workspace = Workspace::new();
    let bare = "--set strategy=tc --optimizer sgd --set train.steps=1 --set train.warmup=0 --set \
                train.clip_norm=0 --set train.weight_decay=0";
    for (rate, out) in [("0.001", "one"), ("0.002", "two")] {
        workspace.ok(&format!(
            "prefinetune run.toml {bare} --set train.learning_rate={rate} --out {out}"
        ));
    }
    let weights = |name: &str| {
        let directory = if name.is_empty() {
            PathBuf::from(backbone())
        } else {
            workspace.path(name).join("backbone")
        };
        espalier_encoder::Backbone::open(&directory).unwrap().weights().to_vec()
    };
    let (start, one, two) = (weights(""), weights("one"), weights("two"));
    let largest = |a: &[f32]| a.iter().zip(&start).map(|(a, s)| (a - s).abs()).fold(0.0, f32::max);
    let (change, twice) = (largest(&one), largest(&two));
    assert!(change > 0.0 && (twice / change - 2.0).abs() < 1e-3, "{change} {twice}");
}

#[test]
fn conflicts_are_measured_and_read_from_a_run() {
    let workspace = Workspace::new();
    let measured: Value =
        serde_json::from_str(&workspace.ok("conflict run.toml --batches 2 --json --out measured"))
            .unwrap();
    assert_eq!(
        (&measured["strategy"], measured["layers"].as_array().map(Vec::len)),
        (&"tpl".into(), Some(3))
    );
    assert!(measured["layers"][2]["parts"]["key"]["mean"].is_number(), "{measured}");
    assert!(fs::read_to_string(workspace.path("measured/conflict.html")).unwrap().contains("<svg"));
    assert!(!workspace.path("measured/backbone").exists(), "nothing was trained");

    workspace.ok("prefinetune run.toml --set conflict.every=2 --set strategy=joint --out run");
    let table = workspace.ok("conflict --run run");
    assert!(table.contains("layer 3") && table.contains("measurements: 1."), "{table}");
    workspace.ok("prefinetune run.toml --out silent");
    workspace.refuses([
        ("conflict --run silent", "conflict.every"),
        ("conflict run.toml --set strategy=ner", "joint, pcgrad or tpl"),
        ("conflict run.toml --run run", "cannot be used with"),
        ("conflict", "<CONFIG>"),
        (
            "prefinetune run.toml --set strategy=pcgrab --out x",
            "the strategies are none, ner, tc, joint, pcgrad, cross-stitch, tpl, adapters-only",
        ),
    ]);
}

#[test]
fn a_teacher_is_trained_and_distilled() {
    let workspace = Workspace::new();
    let made = workspace
        .run("teach run.toml --set strategy=tpl --set ner.keep_concepts=true --out teacher");
    let message = String::from_utf8_lossy(&made.stderr);
    assert!(
        made.status.success() && message.contains("--set ner.teacher=teacher/backbone"),
        "{message}"
    );
    for file in ["model.safetensors", "projections.safetensors", "concepts.json"] {
        assert!(workspace.path("teacher/concepts").join(file).exists(), "{file}");
    }
    assert!(!workspace.path("teacher/adapters").exists(), "the strategy is ner");

    // Distillation needs only texts.
    workspace.lines(
        "texts.jsonl",
        ["trains to london", "a hotel in paris"].map(|text| format!(r#"{{"text":"{text}"}}"#)),
    );
    let distill = "run.toml --set ner.teacher=teacher/backbone --set ner.corpora=[\"texts.jsonl\"]";
    workspace.ok(&format!("prefinetune {distill} --set ner.teacher_cache=said --out run"));
    workspace.ok(&format!("conflict {distill} --batches 2 --set ner.teacher_cache=said"));
    assert_eq!(fs::read_dir(workspace.path("said")).unwrap().count(), 1);
    let config = fs::read_to_string(workspace.path("run/config.toml")).unwrap();
    fs::write(workspace.path("distill.toml"), config).unwrap();
    assert!(workspace.ok("data check distill.toml").contains("sentences"));
    workspace.refuses([
        (
            "prefinetune run.toml --set ner.objective=distill --out x".to_string(),
            "ner.teacher names no teacher",
        ),
        (
            format!("prefinetune {distill} --set ner.distill.loss=kl --out x"),
            "no token classifier here",
        ),
        (
            format!("prefinetune {distill} --set ner.teacher=nowhere/at/all --out x"),
            "nowhere/at/all",
        ),
        (format!("prefinetune {distill} --set ner.objective=concepts --out x"), "texts.jsonl:1: "),
        (
            format!("prefinetune {distill} --set ner.distill.los=mse --out x"),
            "did you mean \"ner.distill.loss\"?",
        ),
    ]);
}

#[test]
fn a_teacher_of_text_vectors_is_matched() {
    let workspace = Workspace::new();
    // The tiny encoder is its own teacher.
    let taught = "run.toml --set tc.teacher=BACKBONE --set tc.teacher_cache=said";
    workspace.ok(&format!("prefinetune {taught} --set tc.distill.vector_weight=2 --out run"));
    workspace.ok(&format!("conflict {taught} --batches 2"));
    assert_eq!(fs::read_dir(workspace.path("said")).unwrap().count(), 1);
    let config = fs::read_to_string(workspace.path("run/config.toml")).unwrap();
    for line in ["similarity_weight = 1.0", "vector_weight = 2.0", "temperature = 0.05"] {
        assert!(config.contains(line), "{line} is not in {config}");
    }
    // A strategy without pairs does not need the teacher.
    workspace.ok("prefinetune run.toml --set strategy=ner --set tc.teacher=nowhere --out ner");
    workspace.refuses([
        ("prefinetune run.toml --set tc.teacher=nowhere/at/all --out x", "nowhere/at/all"),
        (
            "prefinetune run.toml --set tc.distill.vector_weight=0 --out x",
            "tc.distill is set; it says how to match a teacher of text vectors; name one in \
             tc.teacher",
        ),
        ("prefinetune run.toml --set tc.techer=BACKBONE --out x", "did you mean \"tc.teacher\"?"),
        (
            "prefinetune run.toml --set tc.distill.simlarity_weight=2 --out x",
            "did you mean \"tc.distill.similarity_weight\"?",
        ),
    ]);
}
