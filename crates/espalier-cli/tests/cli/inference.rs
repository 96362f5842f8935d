//! Packed backbones, text vectors, and `bench runtime`.

use crate::workspace::{Workspace, json};
use serde_json::Value;
use std::fs;

#[test]
fn a_packed_backbone_takes_the_place_of_its_directory() {
    let workspace = Workspace::new();
    workspace.ok("finetune --backbone BACKBONE --task intents --out intents-adapter --steps 40 \
                  --learning-rate 0.01");
    let sizes =
        json(&workspace.ok("pack --backbone BACKBONE --dtype f32 --out tiny.espalier --json"));
    assert_eq!(
        sizes["bytes"].as_u64().unwrap(),
        fs::metadata(workspace.path("tiny.espalier")).unwrap().len()
    );
    assert!(workspace.ok("pack --backbone BACKBONE --out small.espalier").contains("int8"));
    for command in [
        "predict --backbone SPEC --input intents/test.jsonl --json",
        "evaluate --backbone SPEC --task intents",
    ] {
        let run = |spec: &str| {
            workspace.ok(&format!("{} --adapter intents-adapter", command.replace("SPEC", spec)))
        };
        assert_eq!(run("tiny.espalier"), run("BACKBONE"), "{command}");
        run("small.espalier");
    }
    workspace.ok("encode --backbone small.espalier --input intents/test.jsonl --output \
             vectors.safetensors");
    workspace.ok("bench infer --backbone small.espalier --batch 1 --seq 8 --steps 1");
    workspace.refuses([
        ("finetune --backbone tiny.espalier --task intents --out x", "for inference"),
        ("prefinetune run.toml --set backbone=\"tiny.espalier\" --out x", "for inference"),
        ("pack --backbone tiny.espalier --out x", "for inference"),
        ("pack --backbone BACKBONE --dtype int4 --out x", "int8, bf16 or f32"),
        ("bench train --backbone tiny.espalier --batch 1 --seq 8", "for inference"),
        (
            "bench infer --backbone small.espalier --precision f32 --batch 1 --seq 8",
            "stored as int8",
        ),
        (
            "encode --backbone run.toml --input run.toml --output x",
            "does not start as a packed backbone does",
        ),
    ]);
}

#[test]
fn bench_runtime_does_the_chosen_measurements() {
    let workspace = Workspace::new();
    workspace
        .lines("texts.txt", ["trains to london".into(), "a great hotel".into(), String::new()]);
    workspace.lines("lengths.txt", ["5".into(), "12".into(), "3".into()]);
    let report = |options: &str| -> Value {
        let command =
            format!("bench runtime --backbone BACKBONE --threads 2 --steps 2 --json {options}");
        serde_json::from_str(&workspace.ok(&command)).unwrap()
    };
    let numbers = |rows: &Value, key: &str| -> Vec<f64> {
        rows.as_array().unwrap().iter().map(|row| row[key].as_f64().unwrap()).collect()
    };
    let all = report("--seq 8 --adapters 1,3 --texts 12 --batch 1,5");
    assert_eq!(numbers(&all["adapters"], "adapters"), [1.0, 3.0]);
    assert_eq!(numbers(&all["lengths"], "tokens"), [8.0, 8.0, 16.0, 16.0, 32.0, 32.0]); // at most 48
    assert_eq!(numbers(&all["throughput"], "batch"), [1.0, 5.0]);
    assert!(numbers(&all["adapters"], "median_ms").iter().all(|&time| time > 0.0));
    assert!(all["open"]["later"]["total_ms"].as_f64() > all["open"]["later"]["open_ms"].as_f64());
    if cfg!(target_os = "linux") {
        assert_eq!(numbers(&all["memory"], "adapters"), [1.0, 3.0]);
    }
    for file in ["texts.txt", "lengths.txt"] {
        let some = report(&format!(
            "--measure throughput --modules query-value --layers 3 --batch 2 --lengths {file}"
        ));
        assert_eq!(some["adapter_layers"], 3);
        assert_eq!(numbers(&some["throughput"], "batch"), [2.0]);
        assert!(
            ["open", "memory", "adapters", "lengths"].iter().all(|other| some.get(other).is_none())
        );
    }
    assert!(
        workspace
            .ok("bench runtime --backbone BACKBONE --measure adapters --steps 1")
            .contains("median ms")
    );
    let refusals = [
        ("--measure adapters --seq 49", "this backbone's have 2 to 48"),
        ("--measure adapters --adapters 0", "--adapters"),
        ("--measure memory --layers 4", "--layers must be 1 to 3"),
        ("--texts 5 --lengths texts.txt", "cannot be used with"),
    ];
    workspace.refuses(refusals.map(|(options, expected)| {
        (format!("bench runtime --backbone BACKBONE {options}"), expected)
    }));
}

#[test]
fn encode_writes_one_vector_per_line() {
    let workspace = Workspace::new();
    workspace
        .lines("texts.txt", ["a hotel".to_string(), String::new(), "trains to london ".repeat(40)]);
    workspace.ok("encode --backbone BACKBONE --input texts.txt --output vectors.safetensors");
    let bytes = fs::read(workspace.path("vectors.safetensors")).unwrap();
    let header: Value = serde_json::from_slice(
        &bytes[8..8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize],
    )
    .unwrap();
    assert_eq!(header["embeddings"]["shape"], serde_json::json!([3, 32]));
    assert_eq!(header["embeddings"]["dtype"], "F32");
}
