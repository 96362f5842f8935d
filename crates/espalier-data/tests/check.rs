//! What the check of data files finds.

use espalier_data::check::{FileKind, Problem, Report, check_file, check_folder};
use espalier_encoder::Family;
use std::fs;
use tempfile::TempDir;

/// The report on a file of this name and content.
fn report(name: &str, text: &str) -> Report {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    check_file(&path, None, None)
}

/// The lines that a report names for a problem.
fn lines(report: &Report, file: usize, problem: Problem) -> Vec<usize> {
    let file = &report.files[file];
    let place = format!("{}:", file.path.display());
    let findings = file.findings.iter().filter(|finding| finding.problem == problem);
    let line = |example: &String| example.strip_prefix(&place)?.split(':').next()?.parse().ok();
    findings.flat_map(|finding| &finding.examples).map(|example| line(example).unwrap()).collect()
}

#[test]
fn suspicious_pairs_are_reported_with_their_line() {
    let pair =
        |a: &str, b: &str| format!("{{\"anchor\":{a:?},\"positive\":{b:?},\"negative\":\"n\"}}\n");
    let text = [
        ("a", "b"),
        ("a", "b"),
        ("c", " c"),
        ("d e", "D-E"),
        ("?!", "f"),
        ("n", "g"),
        ("Ã© h", "i"),
        ("", "j"),
    ];
    let report = report("p.jsonl", &text.map(|(a, b)| pair(a, b)).concat());
    let file = &report.files[0];
    assert_eq!(
        (file.kind, file.rows, file.groups[0].most.clone()),
        (Some(FileKind::Pairs), 8, vec![("p".to_string(), 7)])
    );
    for (problem, expected) in [
        (Problem::Duplicate, 2),
        (Problem::Same, 3),
        (Problem::NearlySame, 4),
        (Problem::NoLetters, 5),
        (Problem::NegativeIsPositive, 6),
        (Problem::Broken, 7),
        (Problem::Wrong, 8),
    ] {
        assert_eq!(lines(&report, 0, problem), [expected], "{problem:?}\n{report}");
    }
    assert!(
        !report.usable && report.verdict.contains("p.jsonl:8: \"anchor\" is blank"),
        "{report}"
    );
}

#[test]
fn suspicious_sentences_are_reported_with_their_line() {
    let row = |spans: &str| format!("{{\"tokens\":[\"a\",\"b\",\"c\"],\"spans\":[{spans}]}}\n");
    let overlap = row("[0,2,\"x\"],[1,3,\"y\"]");
    let found = report(
        "c.jsonl",
        &(row("[0,2,\"x\"]") + &overlap + &row("[0,4,\"x\"]") + &row("[0,2,\"x\"]")),
    );
    assert_eq!(found.files[0].kind, Some(FileKind::Concepts));
    assert_eq!(lines(&found, 0, Problem::Overlap), [2]);
    assert_eq!(lines(&found, 0, Problem::Conflict), [2]);
    assert_eq!(lines(&found, 0, Problem::Wrong), [3]);
    assert_eq!(lines(&found, 0, Problem::Duplicate), [4]);
    let found = report("t.conll", "a B-x\nb I-y\n\nc O\n");
    assert_eq!(found.files[0].scheme, Some("IOB2 with stray I-"));
    assert_eq!(lines(&found, 0, Problem::StrayTag), [1]);
    assert!(found.usable, "{found}");
}

#[test]
fn splits_of_a_task_are_compared() {
    let dir = TempDir::new().unwrap();
    let text = |text: &str, label: &str| format!("{text},{label}\n");
    let table = |rows: &[String]| format!("text,label\n{}", rows.concat());
    fs::write(
        dir.path().join("train.csv"),
        table(&[text("sky", "blue"), text("rose", "red"), text("sky", "grey"), text(" ", "red")]),
    )
    .unwrap();
    fs::write(dir.path().join("valid.csv"), table(&[text("sea", "blue")])).unwrap();
    fs::write(
        dir.path().join("test.csv"),
        table(&[text("sea", "blue"), text("coal", "black"), text("rose", "red")]),
    )
    .unwrap();
    let reports = check_folder(dir.path(), None).unwrap();
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!(
        report.files.iter().map(|file| file.role.unwrap()).collect::<Vec<_>>(),
        ["train", "dev", "test"]
    );
    assert_eq!(lines(report, 0, Problem::Conflict), [4]);
    assert_eq!(lines(report, 0, Problem::Empty), [5]);
    assert_eq!(report.files[1].findings, []);
    assert_eq!(lines(report, 2, Problem::UnknownLabel), [3]);
    assert_eq!(lines(report, 2, Problem::InTrain), [4]);
    assert!(report.usable && report.verdict == "can be used; 4 oddities to look at", "{report}");
    assert_eq!(report.files[0].groups[0].seen_once, ["blue", "grey"]);
}

#[test]
fn unusable_data_are_reported() {
    for (name, text, verdict) in [
        ("a.jsonl", "", "no records"),
        ("a.jsonl", "{\"story\":\"a\"}\n", "neither text pairs, nor sentences with concepts"),
        (
            "a.jsonl",
            "{\"text\":\"a\",\"label\":\"x\"}\n{\"tokens\":[\"a\"],\"tags\":[\"O\"]}\n",
            "a NER record among classification records",
        ),
        (
            "a.jsonl",
            "{\"tokens\":[\"a\"],\"tags\":[\"S-x\"]}\n{\"tokens\":[\"a\"],\"tags\":[\"B-x\"]}\n",
            "a mixture of tag schemes",
        ),
        ("a.csv", "query,answer\na,b\n", "a single pair"),
    ] {
        let report = report(name, text);
        assert!(!report.usable && report.verdict.contains(verdict), "{report}");
    }
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("train.jsonl"), "{\"text\":\"a\",\"label\":\"x\"}\n").unwrap();
    let reports = check_folder(dir.path(), None).unwrap();
    assert!(reports[0].verdict.contains("only one label"), "{}", reports[0]);
    assert!(!check_file(&dir.path().join("absent.jsonl"), None, None).usable);
}

#[test]
fn running_text_is_recognised_by_its_key_or_its_lines() {
    let texts = report(
        "t.jsonl",
        "{\"text\":\"one two\"}\n{\"text\":\"one two\"}\n{\"text\":\"?!\"}\n\"three\"\n",
    );
    assert_eq!((texts.files[0].kind, texts.files[0].rows), (Some(FileKind::Texts), 4));
    assert_eq!(lines(&texts, 0, Problem::Duplicate), [2]);
    assert_eq!(lines(&texts, 0, Problem::NoLetters), [3]);
    assert_eq!(texts.files[0].lengths[0].percentiles, [1, 1, 2, 2, 2], "words, of four documents");
    assert!(texts.usable, "{texts}");

    let prose = report("t.txt", &format!("One\ntwo.\n\n{}\n", "word ".repeat(2000)));
    assert_eq!((prose.files[0].kind, prose.files[0].rows), (Some(FileKind::Texts), 2));
    assert_eq!(
        (prose.files[0].format.as_str(), prose.files[0].lengths[0].percentiles[4]),
        ("plain text", 2000)
    );
    assert!(prose.verdict.ends_with("nothing odd was found"), "a document may be long: {prose}");
    assert_eq!(
        report("t.txt", "a B-x\nb I-x\n").files[0].kind,
        Some(FileKind::Task(Some(Family::Ner)))
    );
    assert!(!report("t.txt", "\n\n").usable);
}
