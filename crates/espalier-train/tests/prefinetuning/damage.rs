//! Runs whose files are damaged or cannot be written, or whose numbers are none.

use crate::common::tiny_bert;
use crate::trial::{Trial, metrics};
use espalier_train::run::{RunDirectory, RunError, RunEvent};
use espalier_train::strategies::Strategy;
use std::fs;
use std::ops::ControlFlow;

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    for damage in ["state.safetensors", "state.json", "backbone/model.safetensors", "backbone/vocab.txt"] {
        let mut trial = Trial::new(Strategy::Tpl);
        trial.config.train.checkpoint_every = 4;
        trial.train(false, Some(5)).unwrap();
        let file = trial.checkpoint(5).join(damage);
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        let (_, notes) = trial.train(true, None).unwrap();
        assert!(notes[0].contains("step-00000005: not a whole checkpoint"), "{notes:?}");
        assert_eq!(notes[1], "resumed after 4");
        assert_eq!(metrics(&trial.path()).len(), 6);
    }
}

/// The names of a checkpoint's files are read from a file: they must not lead out of it, nor to what has no end.
#[test]
#[cfg(target_os = "linux")]
fn a_checkpoint_that_names_files_elsewhere_is_passed_over() {
    for name in ["/dev/zero", "../../../outside", "backbone/../../outside", "pipe"] {
        let mut trial = Trial::new(Strategy::Tc);
        trial.config.train.checkpoint_every = 4;
        trial.train(false, Some(5)).unwrap();
        let pipe = trial.checkpoint(5).join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        let state = trial.checkpoint(5).join("state.json");
        let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
        value["files"][name] = "0".into();
        fs::write(&state, value.to_string()).unwrap();
        let (_, notes) = trial.train(true, None).unwrap();
        assert!(notes[0].contains("step-00000005: not a whole checkpoint"), "{notes:?}");
        assert_eq!(notes[1], "resumed after 4");
    }
}

#[test]
fn when_no_checkpoint_is_whole_the_run_asks_what_to_do() {
    let trial = Trial::new(Strategy::Tc);
    trial.train(false, Some(3)).unwrap();
    for step in [2, 3] {
        fs::remove_file(trial.checkpoint(step).join("state.safetensors")).unwrap();
    }
    let (error, message) = trial.refusal();
    assert!(matches!(error, RunError::NoWholeCheckpoint { .. }), "{message}");
    assert!(message.contains("state.safetensors") && message.contains("remove this directory"), "{message}");
    fs::remove_dir_all(trial.path().join("checkpoints")).unwrap();
    assert_eq!(trial.train(true, None).unwrap().1, ["resumed after 0"]);
    assert_eq!(metrics(&trial.path()).len(), 6);
}

#[test]
fn leftovers_of_a_killed_process_are_no_checkpoints() {
    let trial = Trial::new(Strategy::Tc);
    trial.train(false, Some(3)).unwrap();
    for name in [".step-00000009.partial", ".step-00000001.old.partial"] {
        fs::create_dir_all(trial.path().join("checkpoints").join(name).join("backbone")).unwrap();
    }
    let half_a_card = trial.path().join("README.md.17.partial");
    fs::write(&half_a_card, "---\n").unwrap();
    assert_eq!(trial.train(true, None).unwrap().1, ["resumed after 3"]);
    assert!(!half_a_card.exists());
    let left = fs::read_dir(trial.path().join("checkpoints")).unwrap();
    assert!(left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).all(|name| name.starts_with("step-")));
}

#[test]
fn what_is_no_number_stops_the_run_and_names_the_last_good_checkpoint() {
    let mut trial = Trial::new(Strategy::Tpl);
    (trial.config.train.learning_rate, trial.config.train.validation) = (1e30, 0);
    trial.config.train.checkpoint_every = 1;
    let message = trial.train(false, None).unwrap_err().to_string();
    let newest =
        fs::read_dir(trial.path().join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    assert!(
        message.contains("loss is") && message.contains(&format!("--set backbone={}/backbone", newest.display())),
        "{message}"
    );

    let mut trial = Trial::new(Strategy::Tpl);
    trial.config.tc.weight = 3e38;
    let message = trial.train(false, None).unwrap_err().to_string();
    for part in ["the gradient of step 1 is not finite (batches: ner: ", "; tc: ", "there is no checkpoint yet"] {
        assert!(message.contains(part), "{part:?} in {message}");
    }
}

#[test]
fn what_cannot_be_written_stops_the_run_with_its_name() {
    let mut trial = Trial::new(Strategy::Tc);
    let file = trial.directory.path().join("file");
    fs::write(&file, "no directory").unwrap();
    let below =
        RunDirectory::new(file.join("run")).train(&tiny_bert(), &trial.config, false, |_| ControlFlow::Continue(()));
    assert!(below.unwrap_err().to_string().contains("file/run"));

    // A directory where a checkpoint should go, in which something is that the system will not rename over.
    trial.config.train.checkpoint_every = 3;
    let mut checkpoints = 0;
    let result = RunDirectory::new(trial.path()).train(&tiny_bert(), &trial.config, false, |event| {
        match event {
            RunEvent::Checkpoint(_) => checkpoints += 1,
            RunEvent::Step(report) if report.step == 5 => {
                fs::write(trial.path().join("checkpoints/.step-00000006.partial"), "in the way").unwrap();
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    let message = result.unwrap_err().to_string();
    assert!(checkpoints == 1 && message.contains(".step-00000006.partial"), "{message}");
    fs::remove_file(trial.path().join("checkpoints/.step-00000006.partial")).unwrap();
    assert_eq!(trial.train(true, None).unwrap().1, ["resumed after 3"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_stops_the_run_and_resuming_makes_up_for_it() {
    let trial = Trial::new(Strategy::Tc);
    let path = trial.path().join("metrics.jsonl");
    fs::create_dir_all(trial.path()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let message = trial.train(false, None).unwrap_err().to_string();
    assert!(message.contains("metrics.jsonl: No space left"), "{message}");
    fs::remove_file(&path).unwrap();
    trial.train(true, None).unwrap();
    assert_eq!(metrics(&trial.path()).len(), 6);
}
