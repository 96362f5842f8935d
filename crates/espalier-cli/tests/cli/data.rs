//! `data check`, and data from pipes and devices.

use crate::workspace::Workspace;
use serde_json::Value;

#[test]
#[cfg(unix)]
fn data_may_come_through_a_pipe() {
    let workspace = Workspace::new();
    let output =
        workspace.run_with_input("data check /dev/stdin", "{\"text\":\"a\",\"label\":\"b\"}\n");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("JSON lines, classification, 1 row\n"),
        "{text}"
    );
}

#[test]
#[cfg(unix)]
fn endless_files_are_refused() {
    let workspace = Workspace::new();
    std::fs::create_dir(workspace.path("task")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", workspace.path("task/train.jsonl")).unwrap();
    std::os::unix::fs::symlink("task", workspace.path("task/test.jsonl")).unwrap();
    workspace.refuses([
        ("data check /dev/zero", "cannot be used"),
        ("data check task", "task/train.jsonl: not a file"),
        ("evaluate --backbone BACKBONE --task task --adapter x --split test", "task/test.jsonl: "),
        (
            "encode --backbone BACKBONE --input /dev/zero --output x",
            "/dev/zero:1: longer than 16777216 bytes",
        ),
    ]);
}

#[test]
fn data_are_checked_before_training() {
    let workspace = Workspace::new();
    let text = workspace.ok("data check cities run.toml --backbone BACKBONE");
    for part in [
        "NER, tags in IOB2, 3 rows",
        "1 label, 3 mentions: city 3",
        "the text is in train too",
        "concepts, 6 mentions",
        "anchor, tokens",
        "can be used",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    workspace.lines(
        "odd.csv",
        ["query,positive".into(), "a,b".into(), "c,C!".into(), "a,b".into(), "d,".into()],
    );
    let output = workspace.run("data check odd.csv --json");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success() && report["usable"] == false, "{report}");
    let findings: Vec<_> = report["files"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (&found["problem"], &found["examples"][0]))
        .collect();
    assert!(
        findings.contains(&(&"duplicate".into(), &"odd.csv:4: as line 2: a".into())),
        "{findings:?}"
    );
    assert!(
        findings.contains(&(&"nearly-same".into(), &"odd.csv:3: c / C!".into())),
        "{findings:?}"
    );
    assert!(
        findings.iter().any(|found| found.0 == "wrong"
            && found.1.as_str().unwrap().starts_with("odd.csv:5: \"positive\" is blank")),
        "{findings:?}"
    );
}
