//! Whether two training runs left the same files.

use serde_json::Value;
use std::fs;
use std::path::Path;

/// Fails unless two run directories have the same files with the same bytes, the last checkpoint
/// included. Times may differ: those in the metrics, and the files for TensorBoard.
pub fn assert_same_run(found: &Path, expected: &Path) {
    let (found, expected) = (files(found), files(expected));
    let names = |files: &[(String, Vec<u8>)]| {
        files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&found), names(&expected));
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        assert!(found == expected, "{name} differs");
    }
}

/// Names and bytes of all files, without times.
fn files(run: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut files, mut open) = (Vec::new(), vec![run.to_path_buf()]);
    while let Some(path) = open.pop() {
        let name = path.strip_prefix(run).unwrap().display().to_string();
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if name == "metrics.jsonl" {
            files.push((name, without_seconds(&fs::read_to_string(path).unwrap()).into_bytes()));
        } else if !name.starts_with("events.out") {
            files.push((name, fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

/// JSON lines without the key "seconds", which each of them must have.
fn without_seconds(lines: &str) -> String {
    let line = |line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        assert!(line.as_object_mut().unwrap().remove("seconds").unwrap().is_f64());
        format!("{line}\n")
    };
    lines.lines().map(line).collect()
}
