//! Runs with damaged files, files that cannot be written, and numbers that are not finite.

use crate::trial::{Trial, metrics, model};
use espalier_testing::fixtures::tiny_bert;
use espalier_train::run::{RunDirectory, RunError, RunEvent};
use espalier_train::strategy::Strategy;
use std::fs;
use std::ops::ControlFlow;

#[test]
fn a_damaged_checkpoint_is_skipped() {
    for damage in
        ["state.safetensors", "state.json", "backbone/model.safetensors", "backbone/vocab.txt"]
    {
        let mut trial = Trial::new(Strategy::TPL);
        trial.config.train.checkpoint_every = 4;
        trial.train(false, Some(5)).unwrap();
        let file = trial.checkpoint(5).join(damage);
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        let (_, notes) = trial.train(true, None).unwrap();
        assert!(notes[0].contains("step-00000005: damaged checkpoint"), "{notes:?}");
        assert_eq!(notes[1], "resumed after 4");
        assert_eq!(metrics(&trial.path()).len(), 6);
    }
}

/// A run that resumed from a changed state would give other weights.
#[test]
fn a_checkpoint_whose_state_was_changed_is_skipped() {
    let mut trial = Trial::new(Strategy::TPL);
    trial.config.train.checkpoint_every = 4;
    let uninterrupted = Trial { config: trial.config.clone(), ..Trial::new(Strategy::TPL) };
    uninterrupted.train(false, None).unwrap();
    for (from, to) in [("\"next\": ", "\"next\": 1"), ("\"format\": 2", "\"format\": 1")] {
        trial.train(false, Some(5)).unwrap();
        let file = trial.checkpoint(5).join("state.json");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let (_, notes) = trial.train(true, None).unwrap();
        assert!(notes[0].contains("state.json: the checksum does not match"), "{notes:?}");
        assert_eq!(notes[1], "resumed after 4");
        assert_eq!(model(&trial.path()), model(&uninterrupted.path()));
        fs::remove_dir_all(trial.path()).unwrap();
    }
    // A missing checksum is damage too, except in checkpoints of format 1, which had none.
    trial.train(false, Some(5)).unwrap();
    for (step, format) in [(4, 1), (5, 2)] {
        let file = trial.checkpoint(step).join("state.json");
        let mut state: serde_json::Value =
            serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        state.as_object_mut().unwrap().remove("checksum").unwrap();
        state["format"] = format.into();
        fs::write(&file, state.to_string()).unwrap();
    }
    let (_, notes) = trial.train(true, None).unwrap();
    assert!(
        notes[0].contains("state.json: the checksum") && notes[1] == "resumed after 4",
        "{notes:?}"
    );
    assert_eq!(model(&trial.path()), model(&uninterrupted.path()));
}

/// There are old checkpoints, as after a process that was killed before it had removed them, and a
/// newer one that is damaged.
#[test]
fn old_checkpoints_are_removed_but_never_the_newest_intact_one() {
    let mut trial = Trial::new(Strategy::TC);
    trial.config.train.keep_checkpoints = 1;
    trial.train(false, Some(3)).unwrap();
    for step in [1, 2, 9] {
        fs::create_dir(trial.checkpoint(step)).unwrap();
    }
    let names = |trial: &Trial| {
        let entries = fs::read_dir(trial.path().join("checkpoints")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let (_, notes) = trial.train(true, Some(4)).unwrap();
    assert!(
        notes[0].contains("step-00000009: damaged checkpoint") && notes[1] == "resumed after 3",
        "{notes:?}"
    );
    assert_eq!(names(&trial), ["step-00000004", "step-00000009"]);
    for step in [1, 2] {
        fs::create_dir(trial.checkpoint(step)).unwrap();
    }
    let mut seen = Vec::new();
    RunDirectory::new(trial.path())
        .train(&tiny_bert(), &trial.config, true, |event| {
            if let RunEvent::Resumed(_) = event {
                seen = names(&trial);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, ["step-00000004", "step-00000009"]);
    assert_eq!(names(&trial), ["step-00000006", "step-00000009"]);
}

#[test]
#[cfg(unix)]
fn files_that_are_not_the_runs_own_are_not_removed() {
    use std::os::unix::fs::symlink;
    let trial = Trial::new(Strategy::TC);
    trial.train(false, Some(3)).unwrap();
    let (run, other) = (trial.path(), trial.directory.path().join("other"));
    fs::create_dir(&other).unwrap();
    let files = [
        "film.mkv.partial",
        "README.md.old.partial",
        "backbone.1.partial",
        "checkpoints/.mine.partial",
    ];
    let files: Vec<_> = files
        .iter()
        .map(|name| run.join(name))
        .chain([other.join("README.md.1.partial")])
        .collect();
    files.iter().for_each(|file| fs::write(file, "precious").unwrap());
    let kept = [
        "checkpoints/.step-9.partial",
        "checkpoints/.best.partial",
        "checkpoints/step-1",
        "checkpoints/step-+0000001",
    ];
    kept.iter().for_each(|name| fs::create_dir(run.join(name)).unwrap());
    let links = ["link", "README.md.2.partial", "checkpoints/.step-00000009.partial"];
    links.iter().for_each(|name| symlink(&other, run.join(name)).unwrap());
    trial.train(true, None).unwrap();
    assert!(files.iter().all(|file| fs::read(file).unwrap() == b"precious"));
    assert!(kept.iter().all(|name| run.join(name).is_dir()));
    assert!(links.iter().all(|name| run.join(name).is_symlink()));
}

/// The names of a checkpoint's files are read from a file. They must not point outside of the
/// checkpoint, or to devices and pipes, which may never end.
#[test]
#[cfg(target_os = "linux")]
fn a_checkpoint_that_names_other_files_is_skipped() {
    for name in ["/dev/zero", "../../../outside", "backbone/../../outside", "pipe"] {
        let mut trial = Trial::new(Strategy::TC);
        trial.config.train.checkpoint_every = 4;
        trial.train(false, Some(5)).unwrap();
        let pipe = trial.checkpoint(5).join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        let state = trial.checkpoint(5).join("state.json");
        let mut value: serde_json::Value =
            serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
        value["files"][name] = "0".into();
        // Format 1, because the checksum of format 2 would not match.
        value.as_object_mut().unwrap().remove("checksum").unwrap();
        value["format"] = 1.into();
        fs::write(&state, value.to_string()).unwrap();
        let (_, notes) = trial.train(true, None).unwrap();
        assert!(notes[0].contains("step-00000005: damaged checkpoint"), "{notes:?}");
        assert!(notes[0].contains("not a file of the checkpoint"), "{notes:?}");
        assert_eq!(notes[1], "resumed after 4");
    }
}

#[test]
fn a_run_with_only_damaged_checkpoints_is_refused() {
    let trial = Trial::new(Strategy::TC);
    trial.train(false, Some(3)).unwrap();
    for step in [2, 3] {
        fs::remove_file(trial.checkpoint(step).join("state.safetensors")).unwrap();
    }
    let (error, message) = trial.expect_error();
    assert!(matches!(error, RunError::NoUsableCheckpoint { .. }), "{message}");
    assert!(
        message.contains("state.safetensors") && message.contains("remove this directory"),
        "{message}"
    );
    fs::remove_dir_all(trial.path().join("checkpoints")).unwrap();
    assert_eq!(trial.train(true, None).unwrap().1, ["resumed after 0"]);
    assert_eq!(metrics(&trial.path()).len(), 6);
}

#[test]
fn unfinished_files_of_a_killed_process_are_removed() {
    let trial = Trial::new(Strategy::TC);
    trial.train(false, Some(3)).unwrap();
    for name in [".step-00000009.partial", ".step-00000001.old.partial"] {
        fs::create_dir_all(trial.path().join("checkpoints").join(name).join("backbone")).unwrap();
    }
    let unfinished_card = trial.path().join("README.md.17.partial");
    fs::write(&unfinished_card, "---\n").unwrap();
    assert_eq!(trial.train(true, None).unwrap().1, ["resumed after 3"]);
    assert!(!unfinished_card.exists());
    let left = fs::read_dir(trial.path().join("checkpoints")).unwrap();
    assert!(
        left.map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .all(|name| name.starts_with("step-"))
    );
}

#[test]
fn numbers_that_are_not_finite_stop_the_run_and_the_error_names_the_last_checkpoint() {
    let mut trial = Trial::new(Strategy::TPL);
    (trial.config.train.learning_rate, trial.config.train.validation) = (1e30, 0);
    trial.config.train.checkpoint_every = 1;
    let message = trial.train(false, None).unwrap_err().to_string();
    let newest = fs::read_dir(trial.path().join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max()
        .unwrap();
    assert!(
        message.contains("loss is")
            && message.contains(&format!("--set backbone={}/backbone", newest.display())),
        "{message}"
    );

    let mut trial = Trial::new(Strategy::TPL);
    trial.config.tc.weight = 3e38;
    let message = trial.train(false, None).unwrap_err().to_string();
    for part in [
        "the gradient of step 1 is not finite (batches: ner: ",
        "; tc: ",
        "there is no checkpoint yet",
    ] {
        assert!(message.contains(part), "{part:?} in {message}");
    }
}

#[test]
fn a_file_that_cannot_be_written_stops_the_run_and_the_error_names_it() {
    let mut trial = Trial::new(Strategy::TC);
    let file = trial.directory.path().join("file");
    fs::write(&file, "no directory").unwrap();
    let below =
        RunDirectory::new(file.join("run"))
            .train(&tiny_bert(), &trial.config, false, |_| ControlFlow::Continue(()));
    assert!(below.unwrap_err().to_string().contains("file/run"));

    // A file with the name of the directory in which the next checkpoint is written.
    trial.config.train.checkpoint_every = 3;
    let mut checkpoints = 0;
    let result =
        RunDirectory::new(trial.path()).train(&tiny_bert(), &trial.config, false, |event| {
            match event {
                RunEvent::Checkpoint(_) => checkpoints += 1,
                RunEvent::Step(report) if report.step == 5 => {
                    fs::write(
                        trial.path().join("checkpoints/.step-00000006.partial"),
                        "in the way",
                    )
                    .unwrap();
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
fn a_run_can_be_resumed_after_the_disk_was_full() {
    let trial = Trial::new(Strategy::TC);
    // A run without a checkpoint.
    trial.train(false, Some(1)).unwrap();
    fs::remove_dir_all(trial.path().join("checkpoints")).unwrap();
    let path = trial.path().join("metrics.jsonl");
    // The link is made after the start, which refuses links.
    let result =
        RunDirectory::new(trial.path()).train(&tiny_bert(), &trial.config, true, |event| {
            if let RunEvent::Resumed(_) = event {
                fs::remove_file(&path).unwrap();
                std::os::unix::fs::symlink("/dev/full", &path).unwrap();
            }
            ControlFlow::Continue(())
        });
    let message = result.unwrap_err().to_string();
    assert!(message.contains("metrics.jsonl: No space left"), "{message}");
    fs::remove_file(&path).unwrap();
    trial.train(true, None).unwrap();
    assert_eq!(metrics(&trial.path()).len(), 6);
}
