//! A study from its file to its report.

use crate::workspace::{Workspace, backbone, json};
use std::fs;

/// Two strategies on the workspace's two tasks.
fn workspace() -> Workspace {
    let workspace = Workspace::new();
    let study = format!(
        "tasks = [\"cities\", \"intents\"]\nprefinetune = \"run.toml\"\nseeds = [0, 1]\n[finetune]\n\
         steps = 2\nbatch = 2\n[[backbones]]\nname = \"tiny\"\npath = {:?}\n[[strategies]]\nname = \
         \"none\"\n[[strategies]]\nname = \"tpl\"\n",
        backbone()
    );
    fs::write(workspace.path("study.toml"), study).unwrap();
    workspace
}

#[test]
fn a_study_runs_resumes_and_reports() {
    let workspace = workspace();
    let dry = "study study.toml --out study --dry-run";
    let before = json(&workspace.ok(&format!("{dry} --json")));
    assert_eq!((&before["missing"], &before["missing_encoders"]), (&8.into(), &1.into()));
    assert!(before["hours"].is_null() && !workspace.path("study").exists());

    let printed = workspace.ok("study study.toml --out study");
    assert_eq!(printed.trim(), "study/results.jsonl");
    let lines = fs::read_to_string(workspace.path("study/results.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 9); // 2 strategies x 2 tasks x 2 seeds, and an encoder

    workspace.refuses([(
        "study study.toml --out study",
        "already holds results; continue with --resume",
    )]);
    workspace.ok("study study.toml --out study --resume");
    assert_eq!(fs::read_to_string(workspace.path("study/results.jsonl")).unwrap(), lines);
    let after = json(&workspace.ok(&format!("{dry} --json")));
    assert_eq!((&after["missing"], &after["hours"]), (&0.into(), &0.0.into()));

    let markdown = workspace.ok("study report study");
    assert!(markdown.contains("## tiny, all labels") && markdown.contains("| tpl |"), "{markdown}");
    let html = fs::read_to_string(workspace.path("study/report.html")).unwrap();
    assert!(html.contains("Does pre-finetuning pay?") && html.contains("[[strategies]]"));
    let csv = fs::read_to_string(workspace.path("study/report.csv")).unwrap();
    assert_eq!(csv.lines().count(), 9); // with its header
    let report = fs::read_to_string(workspace.path("study/report.json")).unwrap();
    assert_eq!(json(&report)["cells"], 8);
}

#[test]
fn shards_are_merged_into_the_same_cells() {
    let workspace = workspace();
    for part in ["1", "2"] {
        workspace.ok(&format!("study study.toml --out part-{part} --shard {part}/2"));
    }
    workspace.ok("study merge part-1 part-2 --out all");
    workspace.ok("study report all");
    let dry = workspace.ok("study study.toml --out all --dry-run");
    assert!(dry.contains("tiny: tpl: 4 cells, 4 done"), "{dry}");
    assert!(dry.contains("0 cells and 0 encoders to compute"), "{dry}");
}

#[test]
fn mistakes_are_explained() {
    let workspace = workspace();
    fs::create_dir(workspace.path("photos")).unwrap();
    fs::write(workspace.path("photos/cat.jpg"), "precious").unwrap();
    workspace.refuses([
        ("study study.toml --out photos", "neither empty nor a study"),
        ("study merge photos --out all", "photos/results.jsonl"),
        ("study report photos", "no results.jsonl with results"),
        ("study study.toml --out out --shard 3/2", "write I/N"),
        ("study missing.toml --out out", "missing.toml"),
        ("study --out out", "<STUDY>"),
        ("study run.toml --out out", "unknown field `backbone`"),
    ]);
    assert_eq!(fs::read_dir(workspace.path("photos")).unwrap().count(), 1);
}
