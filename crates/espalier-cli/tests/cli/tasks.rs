//! From pre-finetuning to predictions.

use crate::workspace::{Workspace, json};
use serde_json::Value;
use std::fs;

#[test]
fn pre_finetune_fine_tune_evaluate_and_predict() {
    let workspace = Workspace::new();
    workspace.ok("prefinetune run.toml --set strategy=tpl --out run");
    for file in [
        "backbone/model.safetensors",
        "adapters/ner/espalier.json",
        "adapters/tc/adapter_config.json",
        "config.toml",
    ] {
        assert!(workspace.path("run").join(file).exists(), "{file}");
    }
    let metrics = fs::read_to_string(workspace.path("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 3);
    assert!(json(metrics.lines().next().unwrap())["losses"]["tc"].as_f64().unwrap() > 0.0);

    let tuned = "--steps 40 --learning-rate 0.01 --json";
    let scores = json(&workspace.ok(&format!(
        "finetune --backbone run/backbone --init run/adapters/ner --task cities --out \
         cities-adapter {tuned}"
    )));
    assert_eq!(scores["scores"]["test"]["strict"]["f1"], 1.0);
    workspace.ok(&format!(
        "finetune --backbone run/backbone --init run/adapters/tc --task intents --out \
         intents-adapter {tuned}"
    ));
    let scores = json(
        &workspace
            .ok("evaluate --backbone run/backbone --adapter intents-adapter --task intents --json"),
    );
    assert_eq!(scores["scores"]["accuracy"], 1.0);

    let both =
        "predict --backbone run/backbone --adapter cities-adapter --adapter intents-adapter --json";
    let output = workspace.run_with_input(both, "trains to london\n\n");
    let lines: Vec<Value> = String::from_utf8(output.stdout).unwrap().lines().map(json).collect();
    assert_eq!(lines.len(), 2, "an empty line is a text too");
    let entity = &lines[0]["answers"]["cities-adapter"]["entities"][0];
    assert_eq!(
        (entity["label"].as_str(), entity["start"].as_u64(), entity["end"].as_u64()),
        (Some("city"), Some(10), Some(16))
    );
    assert_eq!(lines[0]["answers"]["intents-adapter"]["label"]["label"], "train");
}

#[test]
fn a_cross_stitch_run_can_only_be_fine_tuned_and_evaluated() {
    let workspace = Workspace::new();
    let backbone = workspace.ok("prefinetune run.toml --set strategy=cross-stitch --out run");
    assert_eq!(backbone.trim(), "run", "both columns go by the directory of their run");
    for file in
        ["backbone/model.safetensors", "columns/tc/model.safetensors", "columns/stitches.json"]
    {
        assert!(workspace.path("run").join(file).exists(), "{file}");
    }
    let card = fs::read_to_string(workspace.path("run/README.md")).unwrap();
    assert!(card.contains("espalier finetune --backbone . "), "{card}");
    let split = fs::read_to_string(workspace.path("intents/test.jsonl")).unwrap();
    fs::write(workspace.path("intents/dev.jsonl"), split).unwrap();
    for (task, score) in [("cities", "/scores/strict/f1"), ("intents", "/scores/accuracy")] {
        let out = format!("{task}-adapter");
        let tuned = "--steps 40 --learning-rate 0.01 --json";
        let scores = json(
            &workspace.ok(&format!("finetune --backbone run --task {task} --out {out} {tuned}")),
        );
        assert_eq!(
            scores["scores"]["test"].pointer(&score["/scores".len()..]).unwrap(),
            1.0,
            "{scores}"
        );
        let split = if task == "intents" { "dev" } else { "test" };
        let evaluated = workspace.ok(&format!(
            "evaluate --backbone run --adapter {out} --task {task} --split {split} --json"
        ));
        assert_eq!(json(&evaluated).pointer(score).unwrap(), 1.0, "{evaluated}");
    }
    workspace.refuses([
        ("predict --backbone run --adapter intents-adapter", "only finetune and evaluate take it"),
        ("pack --backbone run --out x", "only finetune and evaluate take it"),
        ("prefinetune run.toml --set backbone=run --out x", "only finetune and evaluate take it"),
        (
            "predict --backbone run/backbone --adapter intents-adapter",
            "trained on the backbone sha256:",
        ),
        (
            "evaluate --backbone run/columns/tc --adapter intents-adapter --task intents",
            "trained on the backbone sha256:",
        ),
        (
            "finetune --backbone run --init intents-adapter --task intents --out x",
            "leave out --init",
        ),
        ("demo --strategies none,cross-stitch --out x", "name it before others"),
        ("conflict run.toml --set strategy=cross-stitch", "joint, pcgrad or tpl"),
    ]);
}

/// Entities: label, first character, and the character after the last.
type Spans = Vec<(String, u64, u64)>;

/// A word in a file may contain punctuation, at which the tokenizer splits: `CK-512/x` is one word
/// of the file and five of the tokenizer. The scores must count what `predict` answers for such
/// texts.
#[test]
fn evaluate_scores_what_predict_answers() {
    let workspace = Workspace::new();
    let parts = ["ck-512/x", "b.7-a", "q/9", "d-4.1/z"];
    let tagged = |part: &str| {
        format!(
            r#"{{"tokens":["the","{part}","from","new","york,"],"tags":["O","B-part","O","B-city","I-city"]}}"#
        )
    };
    let rows = parts.map(tagged);
    workspace.lines("parts/train.jsonl", rows.clone());
    workspace.lines("parts/test.jsonl", rows);
    let train = "finetune --backbone BACKBONE --task parts --learning-rate 0.01 --json";
    let mut scores = Vec::new();
    for steps in [4, 12, 60] {
        workspace.ok(&format!("{train} --steps {steps} --out adapter-{steps}"));
        let evaluated =
            format!("evaluate --backbone BACKBONE --adapter adapter-{steps} --task parts --json");
        let found = &json(&workspace.ok(&evaluated))["scores"]["strict"];

        let text = |part: &str| format!("the {part} from new york,");
        let input: String = parts.iter().map(|part| text(part) + "\n").collect();
        let predict = format!("predict --backbone BACKBONE --adapter adapter-{steps} --json");
        let output = String::from_utf8(workspace.run_with_input(&predict, &input).stdout).unwrap();
        let (mut predicted, mut correct) = (0, 0);
        for (line, part) in output.lines().map(json).zip(parts) {
            let answers = &line["answers"][format!("adapter-{steps}")]["entities"];
            let span = |e: &Value| {
                let at = |key: &str| e[key].as_u64().unwrap();
                (e["label"].as_str().unwrap().to_string(), at("start"), at("end"))
            };
            let answers: Spans = answers.as_array().unwrap().iter().map(span).collect();
            let end = 4 + part.len() as u64;
            let gold = [("part".to_string(), 4, end), ("city".to_string(), end + 6, end + 15)];
            predicted += answers.len();
            correct += answers.iter().filter(|answer| gold.contains(answer)).count();
        }
        let counts = |key: &str| found[key].as_u64().unwrap() as usize;
        assert_eq!(
            (counts("gold"), counts("predicted"), counts("correct")),
            (8, predicted, correct),
            "{steps} steps"
        );
        scores.push(found["f1"].as_f64().unwrap());
    }
    assert_eq!(scores[2], 1.0, "every word of a part is learned: {scores:?}");
}
