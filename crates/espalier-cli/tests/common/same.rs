//! Whether two runs left the same.

use std::fs;
use std::path::Path;

/// All files of the run that do not tell the time, below the directory, with their bytes; of the
/// metrics the times are left out.
fn files(run: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut files, mut open) = (Vec::new(), vec![run.to_path_buf()]);
    while let Some(path) = open.pop() {
        let name = path.strip_prefix(run).unwrap().display().to_string();
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if name == "metrics.jsonl" {
            let untimed = |line: &str| {
                let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(line.as_object_mut().unwrap().remove("seconds").unwrap().is_f64());
                format!("{line}\n")
            };
            files.push((
                name,
                fs::read_to_string(path)
                    .unwrap()
                    .lines()
                    .map(untimed)
                    .collect::<String>()
                    .into_bytes(),
            ));
        } else if !name.starts_with("events.out") {
            files.push((name, fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

/// The same files with the same bytes, checkpoints of the last step included.
pub fn assert_same(found: &Path, expected: &Path) {
    let (found, expected) = (files(found), files(expected));
    let names = |files: &[(String, Vec<u8>)]| {
        files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&found), names(&expected));
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        assert!(found == expected, "{name} differs");
    }
}
