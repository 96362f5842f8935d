//! Output: text from files cannot manipulate the terminal or imitate a line of the program, and
//! standard output and standard error that cannot be written to.

use crate::workspace::{Workspace, backbone, json};
use espalier_encoder::text::is_hidden;
use serde_json::{Value, json};
use std::fs;

/// A name that clears the screen, reverses the text and begins a line of its own.
const EVIL: &str = "\u{1b}[2J\u{9b}31m\u{202e}\u{7}\nwarning: all is well\u{2028}";

/// Runs the program, checks that its output is harmless, and returns standard output.
fn shown(workspace: &Workspace, arguments: &[&str], succeeds: bool) -> String {
    let output = workspace.command(arguments.iter().copied()).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.success(), succeeds, "{arguments:?}: {err}");
    for text in [&out, &err] {
        assert!(!text.contains(|c| c != '\n' && is_hidden(c)), "{arguments:?}: {text:?}");
        assert!(
            !text.lines().any(|line| line.starts_with("warning: all")),
            "{arguments:?}: {text}"
        );
    }
    out
}

/// A task with evil names of its folder and its labels.
fn evil_task(workspace: &Workspace) -> String {
    let folder = format!("task{EVIL}");
    let rows = [
        json!({"text": "a cheap hotel", "label": EVIL}),
        json!({"text": "a train", "label": "train"}),
    ];
    for split in ["train", "test"] {
        workspace
            .lines(&format!("{folder}/{split}.jsonl"), rows.clone().map(|row| row.to_string()));
    }
    folder
}

#[test]
fn labels_texts_and_paths_are_escaped() {
    let (workspace, backbone) = (Workspace::new(), backbone());
    let task = evil_task(&workspace);
    let adapter = format!("adapter{EVIL}");
    let tune =
        ["finetune", "--backbone", &backbone, "--task", &task, "--steps", "1", "--out", &adapter];
    shown(&workspace, &tune, true);
    shown(&workspace, &["data", "check", &task], true);
    shown(
        &workspace,
        &["evaluate", "--backbone", &backbone, "--task", &task, "--adapter", &adapter],
        true,
    );
    fs::write(workspace.path("texts.txt"), "a \u{1b}]0;hotel\u{7}\n").unwrap();
    let predict =
        ["predict", "--backbone", &backbone, "--adapter", &adapter, "--input", "texts.txt"];
    let text = shown(&workspace, &predict, true);
    assert!(
        text.starts_with("a \\u{1b}]0;hotel\\u{7}\n  adapter\\u{1b}[2J")
            && text.lines().count() == 2,
        "{text}"
    );
    fs::write(workspace.path("entities.jsonl"), "{\"text\":\"a\",\"label\":\"\\u001b[31mX\"}")
        .unwrap();
    shown(&workspace, &["data", "check", "entities.jsonl"], true);
}

#[test]
fn json_has_the_exact_text() {
    let (workspace, backbone) = (Workspace::new(), backbone());
    let task = evil_task(&workspace);
    let tune = [
        "finetune",
        "--backbone",
        &backbone,
        "--task",
        &task,
        "--steps",
        "1",
        "--out",
        "adapter",
        "--json",
    ];
    assert_eq!(json(&shown(&workspace, &tune, true))["task"], task);
    let text = "a \u{1b}]0;\u{9b}\u{202e}hotel\u{7f}";
    fs::write(workspace.path("texts.txt"), text).unwrap();
    let predict = [
        "predict",
        "--backbone",
        &backbone,
        "--adapter",
        "adapter",
        "--input",
        "texts.txt",
        "--json",
    ];
    let answer = json(&shown(&workspace, &predict, true));
    assert_eq!(answer["text"], text);
    let scores = answer["answers"]["adapter"].to_string();
    assert!(scores.contains(&Value::from(EVIL).to_string()), "{scores}");
    let report = json(&shown(&workspace, &["data", "check", "--json", &task], true));
    assert_eq!(report["path"], task);
}

#[test]
fn errors_are_one_line() {
    let (workspace, backbone) = (Workspace::new(), backbone());
    let task = evil_task(&workspace);
    let corpus = format!("[ner]\ncorpora = [{}]\n", Value::from(EVIL));
    fs::write(workspace.path("evil.toml"), format!("backbone = {backbone:?}\n{corpus}")).unwrap();
    fs::write(workspace.path("key.toml"), format!("{} = 1\n", Value::from(EVIL))).unwrap();
    fs::write(workspace.path("syntax.toml"), "a = 1\n\u{9b}31m\u{202e} = \n").unwrap();
    let refused: [&[&str]; 10] = [
        &["predict", "--backbone", EVIL, "--adapter", "x"],
        &["predict", "--backbone", &backbone, "--adapter", EVIL],
        &["predict", EVIL],
        &[EVIL],
        &["--threads", EVIL, "doctor"],
        &["data", "check", EVIL],
        &["evaluate", "--backbone", &backbone, "--task", &task, "--adapter", "x", "--split", EVIL],
        &["prefinetune", "evil.toml", "--set", "strategy=ner", "--out", "x"],
        &["prefinetune", "key.toml", "--out", "x"],
        &["prefinetune", "run.toml", "--set", EVIL, "--out", "x"],
    ];
    for arguments in refused {
        shown(&workspace, arguments, false);
    }
    shown(&workspace, &["prefinetune", "syntax.toml", "--out", "x"], false);
    shown(
        &workspace,
        &["prefinetune", "run.toml", "--set", "train.steps=1\nseed=2", "--out", "x"],
        false,
    );
}

#[cfg(target_os = "linux")]
fn full() -> std::fs::File {
    std::fs::File::options().write(true).open("/dev/full").unwrap()
}

/// A run whose standard error cannot be written to.
#[cfg(target_os = "linux")]
fn with_full_stderr(workspace: &Workspace, arguments: &str) -> std::process::Output {
    workspace.command(arguments.split(' ')).stderr(full()).output().unwrap()
}

/// A run whose standard output cannot be written to: exit status and error message.
#[cfg(target_os = "linux")]
fn with_full_stdout(workspace: &Workspace, arguments: &str) -> (Option<i32>, String) {
    let arguments = arguments.replace("BACKBONE", &backbone());
    let output = workspace.command(arguments.split(' ')).stdout(full()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn standard_error_may_be_lost() {
    let workspace = Workspace::new();
    // A new run, a resumed one and a finished one all print notes.
    for arguments in
        ["--set train.steps=2", "--resume --set train.steps=2", "--resume --set train.steps=2"]
    {
        let output =
            with_full_stderr(&workspace, &format!("prefinetune run.toml --out run {arguments}"));
        assert_eq!(output.status.code(), Some(0), "{arguments}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "run/backbone\n");
    }
    for (arguments, status) in [
        ("prefinetune nowhere.toml --out x", 1),
        ("data check nowhere.jsonl", 1),
        ("predict --unknown", 2),
    ] {
        assert_eq!(
            with_full_stderr(&workspace, arguments).status.code(),
            Some(status),
            "{arguments}"
        );
    }
}

#[test]
#[cfg(target_os = "linux")]
fn lost_standard_output_is_an_error() {
    let workspace = Workspace::new();
    for arguments in [
        "--help",
        "--version",
        "predict --help",
        "doctor",
        "doctor --json",
        "data check pairs.jsonl",
        "data check --json pairs.jsonl",
        "pack --backbone BACKBONE --out packed",
    ] {
        let (status, message) = with_full_stdout(&workspace, arguments);
        assert_eq!(status, Some(1), "{arguments}: {message}");
        assert!(
            message.contains("error: standard output cannot be written: "),
            "{arguments}: {message}"
        );
    }
}
