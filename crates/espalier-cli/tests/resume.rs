//! A training run that is killed and resumed writes the same files as one that was not interrupted.
#![cfg(unix)]

use espalier_testing::fixtures::fixture;
use espalier_testing::run_directory::assert_same_run;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const STEPS: usize = 60;

/// A directory with corpora for the tiny BERT of the fixtures, and the configuration of a run that
/// often writes checkpoints.
struct Workspace {
    directory: TempDir,
    command: &'static str,
}

fn tiny_bert() -> PathBuf {
    fixture("tiny-bert").canonicalize().unwrap()
}

/// Only one checkpoint is kept, since earlier ones depend on where a run was interrupted.
const TRAIN: &str = "[train]\ncheckpoint_every = 4\nkeep_checkpoints = 1\nvalidation = \
                     3\nvalidate_every = 5\npatience = 1000\n";

impl Workspace {
    fn new() -> Self {
        let workspace = Self { directory: tempfile::tempdir().unwrap(), command: "prefinetune" };
        let cities = ["london", "paris", "berlin", "york", "rome", "boston"];
        let (mut sentences, mut pairs) = (String::new(), String::new());
        for (number, city) in cities.iter().cycle().take(30).enumerate() {
            sentences += &format!(
                "{{\"tokens\":[\"train\",\"{number}\",\"to\",\"{city}\"],\"spans\":[{{\"start\":3,\
                 \"end\":4,\"type\":\"city\"}}]}}\n"
            );
            pairs += &format!(
                "{{\"anchor\":\"hotel {number} in {city}\",\"positive\":\"about {city} \
                 {number}\"}}\n"
            );
        }
        fs::write(workspace.path("concepts.jsonl"), sentences).unwrap();
        fs::write(workspace.path("pairs.jsonl"), pairs).unwrap();
        let config = format!(
            "backbone = {:?}\nstrategy = \"tpl\"\n[ner]\ncorpora = [\"concepts.jsonl\"]\nbatch = \
             4\n[tc]\ncorpora = [\"pairs.jsonl\"]\nbatch = 4\n{TRAIN}steps = {STEPS}\n",
            tiny_bert()
        );
        fs::write(workspace.path("run.toml"), config).unwrap();
        workspace
    }

    /// [`Workspace::new`] for pretraining from scratch on plain text.
    fn from_scratch() -> Self {
        let workspace = Self { command: "pretrain", ..Self::new() };
        let text = |n: usize| {
            format!("the hotel {n} near the station of london was great , not cheap .\n\n")
        };
        fs::write(workspace.path("texts.txt"), (0..60).map(text).collect::<String>()).unwrap();
        let config = format!(
            "backbone = \"scratch\"\n[scratch]\ntokenizer = {:?}\nlayers = 2\nwidth = 16\nheads = \
             2\ninner = 24\npositions = 24\n[mlm]\ncorpora = [\"texts.txt\"]\nbatch = \
             4\nmax_tokens = 24\n{TRAIN}steps = {STEPS}\n",
            tiny_bert()
        );
        fs::write(workspace.path("run.toml"), config).unwrap();
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, arguments: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_espalier"))
            .args(["--threads", "1", self.command])
            .args(arguments.split_whitespace())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn run(&self, arguments: &str) -> Output {
        self.start(arguments).wait_with_output().unwrap()
    }

    /// Number of lines in the run's metrics.
    fn lines(&self, run: &str) -> usize {
        fs::read(self.path(run).join("metrics.jsonl"))
            .map_or(0, |text| text.split(|&byte| byte == b'\n').count() - 1)
    }

    /// Sends a signal after the run has written `lines` lines of metrics and `pause` has passed.
    /// Returns whether it was still running.
    fn signal(
        &self,
        child: &mut Child,
        run: &str,
        signal: &str,
        lines: usize,
        pause: Duration,
    ) -> bool {
        let start = Instant::now();
        while self.lines(run) < lines && child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(120), "the run hangs");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(pause);
        let going = child.try_wait().unwrap().is_none();
        if going {
            assert!(
                Command::new("kill")
                    .args([signal, &child.id().to_string()])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        going
    }
}

/// Pseudo-random numbers below `n` (Lehmer, 2^31 - 1).
fn below(state: &mut u64, n: u64) -> u64 {
    *state = *state * 48_271 % 0x7fff_ffff;
    *state % n
}

#[test]
fn a_killed_and_resumed_pre_finetuning_run_gives_the_same_files() {
    kill_and_resume(&Workspace::new());
}

#[test]
fn a_killed_and_resumed_pretraining_run_gives_the_same_files() {
    kill_and_resume(&Workspace::from_scratch());
}

fn kill_and_resume(workspace: &Workspace) {
    let whole = workspace.run("run.toml --out whole");
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    assert_eq!(workspace.lines("whole"), STEPS);

    let mut random = 20_260_725;
    let mut killed = 0;
    let hangup = if cfg!(target_os = "linux") { "-HUP" } else { "-TERM" };
    for signal in
        ["-KILL", "-INT", "-KILL", "-KILL", hangup, "-KILL", "-KILL", "-TERM", "-KILL", "-KILL"]
    {
        let lines = workspace.lines("parts") as u64;
        let (wanted, pause) =
            (lines + 1 + below(&mut random, 6), Duration::from_micros(below(&mut random, 9_000)));
        let mut child = workspace.start("run.toml --out parts --resume");
        let going = workspace.signal(&mut child, "parts", signal, wanted as usize, pause);
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        match (going, signal) {
            // It may have finished before the signal arrived.
            (false, _) => assert!(output.status.success(), "{message}"),
            (true, "-KILL") => killed += usize::from(output.status.signal() == Some(9)),
            (true, _) if output.status.success() => {}
            (true, _) => {
                assert_eq!(output.status.code(), Some(130), "{message}");
                let command =
                    format!("resume with: espalier {} --out parts --resume", workspace.command);
                assert!(message.contains(&command), "{message}");
                killed += 1;
            }
        }
    }
    assert!(killed >= 4, "only {killed} of the signals came in time");
    // As the message suggests: without the configuration.
    let output = workspace.run("--out parts --resume");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same_run(&workspace.path("parts"), &workspace.path("whole"));

    let again = workspace.run("run.toml --out parts --resume");
    let message = String::from_utf8_lossy(&again.stderr);
    assert!(
        again.status.success() && message.contains("this run is finished: 60 of 60 steps"),
        "{message}"
    );
}

/// The same as nohup.
#[test]
#[cfg(target_os = "linux")]
fn hangups_that_are_ignored_from_the_start_stay_ignored() {
    let workspace = Workspace::new();
    let program = format!(
        "trap '' HUP; exec {} --threads 1 prefinetune run.toml --out run",
        env!("CARGO_BIN_EXE_espalier")
    );
    let mut child = Command::new("sh")
        .args(["-c", &program])
        .current_dir(workspace.directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(
        workspace.signal(&mut child, "run", "-HUP", 5, Duration::ZERO),
        "the run is over too early"
    );
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(workspace.lines("run"), STEPS);
}

#[test]
fn a_second_interrupt_ends_the_program_at_once() {
    // Steps that are too long to end between the two signals: large batches of long texts.
    let workspace = Workspace::new();
    let pair = |n: usize| {
        format!(
            "{{\"anchor\":\"{}\",\"positive\":\"{}\"}}\n",
            "hotel ".repeat(n % 60 + 60),
            "in york ".repeat(n % 40 + 20)
        )
    };
    fs::write(workspace.path("pairs.jsonl"), (0..1500).map(pair).collect::<String>()).unwrap();
    let mut child = workspace.start(
        "run.toml --set strategy=tc --set tc.batch=1500 --set train.validation=0 --set \
         train.patience=0 --out long",
    );
    let start = Instant::now();
    while !workspace.path("long/metrics.jsonl").exists() {
        assert!(
            start.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none(),
            "the run does not start"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..2 {
        assert!(
            Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(
        !workspace.path("long/checkpoints/step-00000001").exists(),
        "no checkpoint: it ended at once"
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains("resume with"));
}

#[test]
fn relative_paths_are_relative_to_the_configuration_when_a_run_is_resumed() {
    let workspace = Workspace::new();
    let config = fs::read_to_string(workspace.path("run.toml")).unwrap();
    let (_, rest) = config.split_once('\n').unwrap();
    fs::create_dir_all(workspace.path("settings")).unwrap();
    fs::write(workspace.path("settings/run.toml"), format!("backbone = \"tiny\"\n{rest}")).unwrap();
    for file in ["concepts.jsonl", "pairs.jsonl"] {
        fs::rename(workspace.path(file), workspace.path("settings").join(file)).unwrap();
    }
    std::os::unix::fs::symlink(tiny_bert(), workspace.path("settings/tiny")).unwrap();
    let mut child = workspace.start("settings/run.toml --out run");
    assert!(workspace.signal(&mut child, "run", "-KILL", 5, Duration::ZERO));
    child.wait_with_output().unwrap();
    let resumed = Command::new(env!("CARGO_BIN_EXE_espalier"))
        .args(["prefinetune", "--out", workspace.path("run").to_str().unwrap(), "--resume"])
        .current_dir("/")
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&resumed.stderr);
    assert!(resumed.status.success() && message.contains("resumed after step"), "{message}");
}

#[test]
fn runs_that_cannot_be_resumed_are_explained() {
    let workspace = Workspace::new();
    let fails = |arguments: &str, expected: &str| {
        let output = workspace.run(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && message.contains(expected),
            "{arguments}: {message}"
        );
    };
    assert!(workspace.run("run.toml --set train.steps=2 --out run").status.success());
    fails(
        "run.toml --set train.steps=2 --out run",
        "run already holds a run; resume it with --resume",
    );
    fails("run.toml --out run --resume", "train.steps was 2, but is 60");
    fails("--out nowhere --resume", "nowhere/config.toml");
    fails("run.toml --out run.toml/run", "run.toml/run");
    assert!(
        workspace.run("run.toml --set train.steps=2 --out fresh --resume").status.success(),
        "nothing to resume: it begins"
    );
    assert_eq!(workspace.run("--out x").status.code(), Some(2), "no configuration");
}
