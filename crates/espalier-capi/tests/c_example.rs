//! C programs, compiled against the library and run: the example, and one that forks.

use espalier_encoder::{Output, Precision};
use espalier_runtime::{Answer, EntitySpan, LabelScore, Request, Runtime};
use espalier_testing::adapters::{labels, random_adapter, random_lora, saved, tags};
use espalier_testing::fixtures::{fixture, tiny_bert};
use std::env::{self, consts};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Finished};
use tempfile::TempDir;

/// The shared library that cargo built for this test: next to it, wherever the target directory is.
fn library() -> PathBuf {
    let test = env::current_exe().unwrap();
    let name = format!("{}espalier_capi{}", consts::DLL_PREFIX, consts::DLL_SUFFIX);
    test.parent().unwrap().join(name)
}

/// A program of this crate, compiled; none where there is no C compiler.
fn compile(directory: &Path, source: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (compiler, program) =
        (env::var_os("CC").unwrap_or_else(|| OsString::from("cc")), directory.join("program"));
    let mut command = Command::new(&compiler);
    command
        .args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(root.join("include"));
    command.arg(root.join(source)).arg(library()).arg("-o").arg(&program);
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!(
                "skipped: there is no C compiler {compiler:?}; install one, or name one in CC"
            );
            None
        }
        finished => {
            let finished = finished.unwrap();
            assert!(finished.status.success(), "{}", String::from_utf8_lossy(&finished.stderr));
            Some(program)
        }
    }
}

fn run(program: &Path, arguments: &[&Path], texts: &[&str]) -> Finished {
    Command::new(program).args(arguments).args(texts).output().unwrap()
}

/// What the example prints of an answer.
fn line(truncated: bool, answer: &Answer) -> String {
    let (best, list): (_, Vec<String>) = match answer {
        Answer::Entities(all) => {
            let entity = |e: &EntitySpan| {
                format!("{} {:.4} {}..{} {}", e.label, e.score, e.start, e.end, e.text)
            };
            (String::new(), all.iter().map(entity).collect())
        }
        Answer::Label { label, score, scores } => {
            let one = |one: &LabelScore| format!("{} {:.4}", one.label, one.score);
            (format!("{label} {score:.4} of"), scores.iter().map(one).collect())
        }
        Answer::Vector(vector) => {
            (String::new(), vector.iter().map(|value| format!("{value:.4}")).collect())
        }
    };
    let gap = if list.is_empty() { "" } else { " " };
    format!("{}{best}{gap}{}\n", if truncated { "(truncated) " } else { "" }, list.join(", "))
}

#[test]
fn the_example_prints_what_the_runtime_answers() {
    let directory = TempDir::new().unwrap();
    let Some(program) = compile(directory.path(), "examples/answer.c") else { return };
    let (backbone, long) = (tiny_bert(), "weather ".repeat(99));
    let texts = ["music in 東京 , Café", "", &long, "not good 🙂"];
    for output in [tags(&["thing", "place"]), labels(&["good", "bad"]), Output::Vectors] {
        let adapter = saved(&random_adapter(&backbone, random_lora(&backbone, 2, 1), output, 9));
        let runtime = Runtime::new(backbone.clone());
        runtime.attach("adapter", adapter.path()).unwrap();
        let answers = runtime.run(&texts, &[Request::Adapter("adapter"), Request::Plain]).unwrap();
        let lines = answers
            .iter()
            .flat_map(|text| text.answers.iter().map(|answer| line(text.truncated, answer)));
        let finished = run(&program, &[&fixture("tiny-bert"), adapter.path()], &texts);
        assert!(finished.status.success(), "{}", String::from_utf8_lossy(&finished.stderr));
        assert_eq!(String::from_utf8(finished.stdout).unwrap(), lines.collect::<String>());
    }
}

#[test]
fn the_example_says_what_is_wrong() {
    let directory = TempDir::new().unwrap();
    let Some(program) = compile(directory.path(), "examples/answer.c") else { return };
    let finished = run(&program, &[&fixture("tiny-bert"), directory.path()], &["london"]);
    let message = String::from_utf8(finished.stderr).unwrap();
    assert_eq!(finished.status.code(), Some(1));
    assert!(message.starts_with("error 2: ") && message.contains("no espalier.json"), "{message}");
}

/// A pool of threads does not survive a fork. What needs it says so, and does not wait for ever.
#[test]
#[cfg(unix)]
fn a_forked_process_is_told_that_it_has_no_threads() {
    let directory = TempDir::new().unwrap();
    let Some(program) = compile(directory.path(), "tests/fork.c") else { return };
    let packed = directory.path().join("tiny.espalier");
    tiny_bert().pack(Precision::Int8, &packed).unwrap();
    let adapter =
        saved(&random_adapter(&tiny_bert(), random_lora(&tiny_bert(), 2, 1), tags(&["thing"]), 9));
    let calls = ["open", "open_copied", "attach", "replace", "run"];
    let said = |word: &str| calls.map(|call| format!("{call}: {word}\n")).concat();
    for backbone in [fixture("tiny-bert"), packed] {
        let prints = |before: &str| {
            let finished = run(&program, &[before.as_ref(), &backbone, adapter.path()], &[]);
            let printed = String::from_utf8(finished.stdout).unwrap();
            assert!(finished.status.success(), "{before}: {printed}");
            printed
        };
        assert_eq!(prints("nothing"), said("ok"), "who opens after the fork has threads");
        let expected = said("this process was forked");
        for before in ["opened", "ran"] {
            let printed = prints(before);
            let of_child = printed
                .lines()
                .filter(|line| !line.starts_with("before") && !line.starts_with("after"));
            let short = |line: &str| {
                line.split_once(" after the threads").map_or(line, |(start, _)| start).to_string()
            };
            assert_eq!(
                of_child.map(|line| short(line) + "\n").collect::<String>(),
                expected,
                "{before}: {printed}"
            );
            assert!(
                printed.ends_with("after: run: ok\n"),
                "the parent keeps its threads: {printed}"
            );
        }
    }
}
