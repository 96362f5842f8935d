//! What an earlier version wrote still opens and goes on: runs, checkpoints, adapters and packed
//! backbones of `fixtures/earlier`, which `scripts/make_earlier_fixtures.sh` made with that
//! version.

use espalier_testing::fixtures::{copy_of, edit_json, fixture};
use espalier_testing::tensors;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A copy of the fixtures, in whose configurations `HERE` is the place of the copy.
fn copy() -> TempDir {
    let (copy, fixtures) = (copy_of("earlier"), fixture(".").canonicalize().unwrap());
    for run in ["pretrained", "tpl", "cross-stitch", "distilled"] {
        let path = copy.path().join(run).join("config.toml");
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("HERE/..", fixtures.to_str().unwrap());
        fs::write(&path, text.replace("HERE", copy.path().to_str().unwrap())).unwrap();
    }
    copy
}

/// Standard output of the program, run in the directory on the input.
fn espalier(directory: &Path, arguments: &str, input: Option<&str>) -> String {
    let input = match input {
        Some(file) => fs::File::open(directory.join(file)).unwrap().into(),
        None => Stdio::null(),
    };
    let output = Command::new(env!("CARGO_BIN_EXE_espalier"))
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .stdin(input)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

/// The files below a directory with the ending.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_path_buf()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found
}

/// The largest difference of two files of tensors that have the same names and shapes.
fn difference(found: &Path, expected: &Path) -> f32 {
    let (found, expected) = (tensors::read(found), tensors::read(expected));
    assert_eq!(found.len(), expected.len());
    let mut largest = 0f32;
    for (name, expected) in expected {
        let found = &found[&name];
        assert_eq!(found.shape, expected.shape, "{name}");
        let pairs = found.f32s().into_iter().zip(expected.f32s());
        largest = pairs.fold(largest, |largest, (a, b)| largest.max((a - b).abs()));
    }
    largest
}

/// Resumes a run from its checkpoint of step 4 and compares its end with what the earlier version
/// ended with. Processors differ in the last bits; a step of the schedule is 5e-5.
fn resumes(directory: &Path, run: &str, command: &str) {
    let resumed = directory.join(run);
    let before = fs::read_to_string(resumed.join("metrics.jsonl")).unwrap();
    espalier(directory, &format!("{command} --out {run} --resume"), None);
    let expected = files(&resumed.join("expected"), "safetensors");
    assert!(!expected.is_empty());
    for file in expected {
        let found = resumed.join(file.strip_prefix(resumed.join("expected")).unwrap());
        let largest = difference(&found, &file);
        assert!(largest < 2e-6, "{}: {largest}", found.display());
    }
    let losses = |text: &str| -> Vec<(u64, Vec<f64>)> {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|line| {
                let losses = line["losses"].as_object().unwrap().values();
                let losses = losses.map(|loss| loss.as_f64().unwrap());
                (line["step"].as_u64().unwrap(), losses.collect())
            })
            .collect()
    };
    let after = losses(&fs::read_to_string(resumed.join("metrics.jsonl")).unwrap());
    assert_eq!(after.len(), 8);
    for ((step, after), (_, before)) in after.iter().zip(losses(&before)) {
        let close = after.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-4 * b.abs());
        assert!(close && after.len() == before.len(), "step {step}: {after:?}, not {before:?}");
    }
}

#[test]
fn runs_go_on_from_their_checkpoints() {
    let copy = copy();
    resumes(copy.path(), "pretrained", "pretrain");
    for run in ["tpl", "cross-stitch", "distilled"] {
        resumes(copy.path(), run, "prefinetune");
    }
}

#[test]
fn the_first_form_of_a_checkpoint_is_read() {
    let copy = copy();
    let path = copy.path().join("tpl/checkpoints/step-00000004/state.json");
    edit_json(&path, |state| {
        // Neither a checksum of itself nor the settings.
        let keys = state.as_object_mut().unwrap();
        assert!(keys.remove("checksum").is_some() && keys.remove("settings").is_some());
        keys.insert("format".into(), 1.into());
    });
    resumes(copy.path(), "tpl", "prefinetune");
}

/// The answers of an adapter: for each text the labels or entities, each with its score.
fn answers(text: &str, adapter: &str) -> Vec<Vec<(String, f64)>> {
    let score = |value: &Value| value["score"].as_f64().unwrap();
    let of = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let answer = &line["answers"][adapter];
        let entities = answer["entities"].as_array().into_iter().flatten();
        let entities =
            entities.map(|one| (format!("{} {}", one["start"], one["label"]), score(one)));
        let labels = answer["label"]["scores"].as_array().into_iter().flatten();
        let labels = labels.map(|one| (one["label"].to_string(), score(one)));
        entities.chain(labels).collect()
    };
    text.lines().map(of).collect()
}

#[test]
fn adapters_attach_to_the_directory_and_to_packed_files() {
    let copy = copy();
    for adapter in ["adapter-cities", "adapter-intents"] {
        let kept = copy.path().join(format!("{adapter}.answers.jsonl"));
        let expected = answers(&fs::read_to_string(kept).unwrap(), adapter);
        assert!(expected.iter().any(|answer| !answer.is_empty()));
        for without_checksums in [false, true] {
            if without_checksums {
                // As adapters were before their files were bound to the card.
                let path = copy.path().join(adapter).join("espalier.json");
                edit_json(&path, |card| {
                    assert!(card.as_object_mut().unwrap().remove("files").is_some());
                });
            }
            let backbones = ["backbone", "backbone-f32.espalier", "backbone-bf16.espalier"];
            for (backbone, tolerance) in backbones.into_iter().zip([1e-3, 1e-3, 0.03]) {
                let arguments = format!(
                    "predict --backbone {backbone} --adapter {adapter} --precision f32 --json"
                );
                let found = espalier(copy.path(), &arguments, Some("data/texts-to-read.txt"));
                let found = answers(&found, adapter);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    let close = found.len() == expected.len()
                        && found.iter().zip(expected).all(|(found, expected)| {
                            found.0 == expected.0 && (found.1 - expected.1).abs() < tolerance
                        });
                    assert!(close, "{arguments}: {found:?}, not {expected:?}");
                }
            }
            // In bytes, whatever the rounding makes of such a small model.
            let arguments =
                format!("predict --backbone backbone-int8.espalier --adapter {adapter} --json");
            let found = espalier(copy.path(), &arguments, Some("data/texts-to-read.txt"));
            assert_eq!(answers(&found, adapter).len(), expected.len());
        }
    }
}
