//! Failing system calls: a clear error, and no incomplete file under a final name.

use super::{Fault, can_fault, faulty, message, partials};
use crate::workspace::Workspace;
use espalier_testing::run_directory::assert_same_run;
use std::fs;
use std::path::{Path, PathBuf};

const NO_SPACE: &str = "28";
const IO_ERROR: &str = "5";
const FAULTS: [(&str, &str); 5] = [
    ("create", NO_SPACE),
    ("write", NO_SPACE),
    ("sync", IO_ERROR),
    ("rename", IO_ERROR),
    ("remove", IO_ERROR),
];

/// Runs the command, which writes to `out`, with each kind of fault at call number `times(0)`,
/// `times(1)`, ..., until the command has fewer such calls. After each error, `look` checks the
/// files.
fn fail_at_each_call(
    workspace: &Workspace,
    arguments: &str,
    times: impl Fn(usize) -> usize,
    look: impl Fn(Fault),
) {
    for (call, how) in FAULTS {
        for (number, at) in (0..).map(&times).enumerate() {
            let fault = Fault { call, at, how };
            let output = faulty(workspace, arguments, fault).output().unwrap();
            let text = message(&output);
            if output.status.success() {
                // Not every command removes files.
                assert!(number > 0 || call == "remove", "{arguments} never came to {call}");
                remove(&workspace.path("out"));
                break;
            }
            assert!(
                output.status.code() == Some(1) && text.contains("error: "),
                "{arguments}, {fault:?}: {text}"
            );
            assert!(!text.contains("panicked"), "{arguments}, {fault:?}: {text}");
            look(fault);
        }
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    match path.is_dir() {
        true => fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect(),
        false => vec![path.to_path_buf()],
    }
}

#[test]
fn a_failed_write_is_reported_and_leaves_no_incomplete_file() {
    if !can_fault() {
        return;
    }
    let workspace = Workspace::new();
    fs::write(workspace.path("texts.txt"), "cheap hotels\n\nnear the station\n\n".repeat(9))
        .unwrap();
    for arguments in [
        "finetune --backbone BACKBONE --task intents --steps 2 --out OUT",
        "tokenizer train texts.txt --vocab 60 --out OUT",
        "pack --backbone BACKBONE --out OUT",
        "encode --backbone BACKBONE --input texts.txt --output OUT",
    ] {
        workspace.ok(&arguments.replace("OUT", "whole"));
        let (whole, out) = (workspace.path("whole"), workspace.path("out"));
        fail_at_each_call(
            &workspace,
            &arguments.replace("OUT", "out"),
            |n| n + 1,
            |fault| {
                assert!(partials(&workspace.path(".")).is_empty(), "{arguments}, {fault:?}");
                for file in files(&out).iter().filter(|file| file.exists()) {
                    let right = whole.join(file.strip_prefix(&out).unwrap());
                    let right = if out.is_dir() { right } else { whole.clone() };
                    assert!(
                        fs::read(file).unwrap() == fs::read(right).unwrap(),
                        "{arguments}, {fault:?}: {file:?}"
                    );
                }
                remove(&out);
            },
        );
        remove(&whole);
        remove(&out);
    }
}

fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

#[test]
fn a_run_that_failed_to_write_resumes_to_the_same_model() {
    if !can_fault() {
        return;
    }
    let workspace = Workspace::new();
    let run = |out: &str| {
        let settings =
            "--set strategy=tpl --set train.checkpoint_every=2 --set train.keep_checkpoints=1";
        format!("prefinetune run.toml {settings} --out {out} --resume")
    };
    workspace.ok(&run("whole"));
    let times = |n: usize| [1, 2, 5, 12, 19, 26, 33, 40, 60, 90, 200, 10_000][n];
    fail_at_each_call(&workspace, &run("out"), times, |_| {
        workspace.ok(&run("out"));
        assert_same_run(&workspace.path("out"), &workspace.path("whole"));
        remove(&workspace.path("out"));
    });
}
