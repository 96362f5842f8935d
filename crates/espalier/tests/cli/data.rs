//! Corpora and tasks, looked at before anything is trained on them.

use crate::workspace::Workspace;
use serde_json::Value;

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
    workspace.lines("odd.csv", ["query,positive".into(), "a,b".into(), "c,C!".into(), "a,b".into(), "d,".into()]);
    let output = workspace.run("data check odd.csv --json");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success() && report["usable"] == false, "{report}");
    let findings: Vec<_> = report["files"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (&found["problem"], &found["examples"][0]))
        .collect();
    assert!(findings.contains(&(&"duplicate".into(), &"odd.csv:4: as line 2: a".into())), "{findings:?}");
    assert!(findings.contains(&(&"nearly-same".into(), &"odd.csv:3: c / C!".into())), "{findings:?}");
    assert!(
        findings.iter().any(
            |found| found.0 == "wrong" && found.1.as_str().unwrap().starts_with("odd.csv:5: \"positive\" is blank")
        ),
        "{findings:?}"
    );
}
