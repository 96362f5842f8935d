//! A directory for each test, with data on which all commands run.

use espalier_testing::fixtures::fixture;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A fresh directory with corpora, two tasks and a configuration, on the tiny encoder of the
/// fixtures.
pub struct Workspace {
    directory: TempDir,
}

const INTENTS: [(&str, &str); 6] = [
    ("the cheap hotel near the station", "hotel"),
    ("a great hotel", "hotel"),
    ("cheap hotel in paris", "hotel"),
    ("trains to london", "train"),
    ("a train from paris", "train"),
    ("the trains to berlin", "train"),
];

impl Workspace {
    pub fn new() -> Self {
        let workspace = Self { directory: tempfile::tempdir().unwrap() };
        let cities = ["london", "paris", "berlin"];
        let tagged = |city: &str| {
            format!(r#"{{"tokens":["trains","to","{city}"],"tags":["O","O","B-city"]}}"#)
        };
        let concept = |city: &str| {
            format!(
                r#"{{"tokens":["trains","to","{city}"],"spans":[{{"start":2,"end":3,"type":"city"}},{{"start":0,"end":1,"type":"vehicle"}}]}}"#
            )
        };
        let label =
            |(text, label): (&str, &str)| format!(r#"{{"text":"{text}","label":"{label}"}}"#);
        let pair = |(text, label): (&str, &str)| {
            format!(r#"{{"anchor":"{text}","positive":"about a {label}"}}"#)
        };
        workspace.lines("concepts.jsonl", cities.map(concept));
        workspace.lines("pairs.jsonl", INTENTS.map(pair));
        for split in ["train", "test"] {
            workspace.lines(&format!("cities/{split}.jsonl"), cities.map(tagged));
            workspace.lines(&format!("intents/{split}.jsonl"), INTENTS.map(label));
        }
        let config = format!(
            "backbone = {:?}\n[ner]\ncorpora = [\"concepts.jsonl\"]\nbatch = 2\n[tc]\ncorpora = \
             [\"pairs.jsonl\"]\nbatch = 3\n[train]\nsteps = 3\n",
            backbone()
        );
        fs::write(workspace.path("run.toml"), config).unwrap();
        workspace
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn lines<const N: usize>(&self, name: &str, lines: [String; N]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, lines.join("\n")).unwrap();
    }

    /// Runs espalier in the directory. Arguments are separated by white space; BACKBONE stands for
    /// the tiny encoder.
    pub fn run(&self, arguments: &str) -> Output {
        self.run_with_input(arguments, "")
    }

    pub fn run_with_input(&self, arguments: &str, input: &str) -> Output {
        let mut child = self.start(arguments);
        // A program that refuses its arguments does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Starts the program in the directory, with pipes for its input and output.
    pub fn start(&self, arguments: &str) -> Child {
        self.line(arguments).spawn().unwrap()
    }

    /// The program in the directory, with arguments separated by white space, not started yet.
    pub fn line(&self, arguments: &str) -> Command {
        self.command(arguments.replace("BACKBONE", &backbone()).split_whitespace())
    }

    /// The program in the directory, with arguments of any form, not started yet.
    pub fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_espalier"));
        command.args(arguments).current_dir(self.directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Standard output of a run that must succeed.
    pub fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The error message of a run that must fail, and not by a panic.
    fn fails(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments}: {:?}", output.status);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!message.contains("panicked"), "{message}");
        message
    }

    /// Checks that runs fail with messages that contain what is expected.
    pub fn refuses<const N: usize>(&self, cases: [(impl AsRef<str>, &str); N]) {
        for (arguments, expected) in cases {
            let arguments = arguments.as_ref();
            let message = self.fails(arguments);
            assert!(message.contains(expected), "{arguments}\n{message}");
        }
    }
}

pub fn backbone() -> String {
    fixture("tiny-bert").canonicalize().unwrap().display().to_string()
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
