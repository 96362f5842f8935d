//! Standard output and standard error that cannot be written.

use crate::workspace::Workspace;
use std::fs::File;
use std::process::Output;

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A run whose standard error takes nothing.
fn unheard(workspace: &Workspace, arguments: &str) -> Output {
    workspace.command(arguments.split(' ')).stderr(full()).output().unwrap()
}

/// A run whose standard output takes nothing, and what it says of that.
fn unread(workspace: &Workspace, arguments: &str) -> (Option<i32>, String) {
    let arguments = arguments.replace("BACKBONE", &crate::workspace::backbone());
    let output = workspace.command(arguments.split(' ')).stdout(full()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn nothing_depends_on_notes_that_nobody_hears() {
    let workspace = Workspace::new();
    // A new run, one that goes on, one that is finished: all say something.
    for arguments in
        ["--set train.steps=2", "--resume --set train.steps=2", "--resume --set train.steps=2"]
    {
        let output = unheard(&workspace, &format!("prefinetune run.toml --out run {arguments}"));
        assert_eq!(output.status.code(), Some(0), "{arguments}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "run/backbone\n");
    }
    for (arguments, status) in [
        ("prefinetune nowhere.toml --out x", 1),
        ("data check nowhere.jsonl", 1),
        ("predict --unknown", 2),
    ] {
        assert_eq!(unheard(&workspace, arguments).status.code(), Some(status), "{arguments}");
    }
}

#[test]
fn output_that_is_lost_is_an_error() {
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
        let (status, message) = unread(&workspace, arguments);
        assert_eq!(status, Some(1), "{arguments}: {message}");
        assert!(
            message.contains("error: standard output cannot be written: "),
            "{arguments}: {message}"
        );
    }
}
