//! Runs in a directory: halted, damaged, resumed, refused.

use crate::common::{copy_of, fixture, tiny_bert};
use crate::corpora::Corpora;
use crate::distillation;
use espalier_encoder::Compute;
use espalier_encoder::tensors::TensorFile;
use espalier_train::config::{Composition, ConceptEncoderKind, NerObjective, PrefinetuneConfig};
use espalier_train::optimizer::Schedule;
use espalier_train::prefinetune::Encoders;
use espalier_train::run::{Outcome, RunDirectory, RunError, RunEvent};
use espalier_train::strategies::Strategy;
use espalier_train::{TrainError, prefinetune};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A run of six steps that validates and writes a checkpoint every second step.
struct Trial {
    corpora: Corpora,
    config: PrefinetuneConfig,
    directory: TempDir,
}

impl Trial {
    fn new(strategy: Strategy) -> Self {
        let corpora = Corpora::easy();
        let mut config = corpora.config(strategy);
        (config.train.steps, config.train.checkpoint_every) = (6, 2);
        (config.train.validation, config.train.validate_every) = (2, 2);
        Self { corpora, config, directory: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    fn checkpoint(&self, step: usize) -> PathBuf {
        self.path().join(format!("checkpoints/step-{step:08}"))
    }

    /// Trains until the end or until `halt` steps are done; the notes on the way.
    fn train(&self, resume: bool, halt: Option<usize>) -> Result<(Outcome, Vec<String>), TrainError> {
        let mut notes = Vec::new();
        let (backbone, distills) = (tiny_bert(), self.config.ner.objective == NerObjective::Distill);
        let teacher = distills.then(|| distillation::teacher(&self.config)).transpose()?;
        let encoders = Encoders { backbone: &backbone, teacher: teacher.as_ref() };
        let outcome = RunDirectory::new(self.path()).train(encoders, &self.config, resume, |event| {
            match event {
                RunEvent::Damaged(error) => notes.push(error.to_string()),
                RunEvent::Resumed(step) => notes.push(format!("resumed after {step}")),
                RunEvent::Step(report) if Some(report.step) == halt => return ControlFlow::Break(()),
                RunEvent::Step(_) | RunEvent::Checkpoint(_) => {}
            }
            ControlFlow::Continue(())
        })?;
        Ok((outcome, notes))
    }

    /// The error of resuming, and its message.
    fn refusal(&self) -> (RunError, String) {
        match self.train(true, None) {
            Err(TrainError::Run(error)) => {
                let message = error.to_string();
                (error, message)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Every file of the model, with its bytes.
fn model(run: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = vec!["README.md".to_string(), "summary.json".into(), "backbone/model.safetensors".into()];
    for family in ["ner", "tc"].iter().filter(|family| run.join("adapters").join(family).exists()) {
        files.extend(["adapter_model.safetensors", "espalier.json"].map(|file| format!("adapters/{family}/{file}")));
    }
    if run.join("columns").exists() {
        files.extend(["columns/tc/model.safetensors", "columns/stitches.json"].map(String::from));
    }
    files.into_iter().map(|name| (name.clone(), fs::read(run.join(name)).unwrap())).collect()
}

/// metrics.jsonl but for the times.
fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let untimed = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("seconds");
        line
    };
    text.lines().map(untimed).collect()
}

#[test]
fn halted_and_resumed_is_as_uninterrupted() {
    for (strategy, composition, precision) in [
        (Strategy::Ner, Composition::Both, Compute::F32),
        (Strategy::PcGrad, Composition::Both, Compute::F32),
        (Strategy::Tpl, Composition::Both, Compute::F32),
        (Strategy::Tpl, Composition::Alternating, Compute::F32),
        (Strategy::AdaptersOnly, Composition::Both, Compute::F32),
        (Strategy::CrossStitch, Composition::Both, Compute::F32),
        (Strategy::CrossStitch, Composition::Alternating, Compute::Bf16),
    ] {
        let mut whole = Trial::new(strategy);
        (whole.config.train.composition, whole.config.train.precision) = (composition, precision);
        whole.config.train.patience = 9;
        whole.config.train.checkpoint_every = 0;
        let parts = Trial { config: whole.config.clone(), ..Trial::new(strategy) };
        let (outcome, notes) = whole.train(false, None).unwrap();
        assert!(matches!(outcome, Outcome::Finished(_)) && notes.is_empty(), "{notes:?}");
        for step in [3, 4] {
            let (outcome, _) = parts.train(step > 3, Some(step)).unwrap();
            assert!(matches!(outcome, Outcome::Halted { step: halted } if halted == step), "{outcome:?}");
        }
        assert_eq!(parts.train(true, None).unwrap().1, ["resumed after 4"]);
        assert_eq!(model(&parts.path()), model(&whole.path()), "{strategy}");
        assert_eq!(metrics(&parts.path()), metrics(&whole.path()), "{strategy}");

        // The directory leaves the same model as the loop without one.
        let direct = prefinetune(&tiny_bert(), &whole.config, |_| ()).unwrap();
        let out = whole.directory.path().join("direct");
        direct.save(&out, &whole.config).unwrap();
        for file in ["backbone/model.safetensors", "backbone/config.json"] {
            assert_eq!(fs::read(out.join(file)).unwrap(), fs::read(whole.path().join(file)).unwrap(), "{strategy}");
        }
    }
}

/// What the objectives themselves train is part of a checkpoint.
#[test]
fn every_objective_resumes_to_the_bit() {
    type Set = fn(&mut PrefinetuneConfig);
    let distill = |config: &mut PrefinetuneConfig, teacher: &str| {
        config.ner.objective = NerObjective::Distill;
        config.ner.teacher = Some(fixture(teacher).to_str().unwrap().into());
    };
    let concepts: Set = |config| {
        (config.ner.concept_encoder, config.ner.keep_concepts) = (ConceptEncoderKind::Trained, true);
    };
    let frozen: Set = |config| config.ner.keep_concepts = true;
    let none: Set = |_| ();
    for (teacher, set) in [(None, concepts), (None, frozen), (Some("kin/mpnet/model"), none)] {
        let mut whole = Trial::new(Strategy::Tpl);
        set(&mut whole.config);
        if let Some(teacher) = teacher {
            distill(&mut whole.config, teacher);
            (whole.config.ner.distill.layer, whole.config.train.patience) = (1, 9);
            whole.config.ner.teacher_cache = Some(whole.directory.path().join("cache"));
        }
        let parts = Trial { config: whole.config.clone(), ..Trial::new(Strategy::Tpl) };
        whole.train(false, None).unwrap();
        parts.train(false, Some(3)).unwrap();
        assert_eq!(parts.train(true, None).unwrap().1, ["resumed after 3"]);
        assert_eq!(model(&parts.path()), model(&whole.path()), "{teacher:?}");
        assert_eq!(metrics(&parts.path()), metrics(&whole.path()), "{teacher:?}");
        let kept = |trial: &Trial| {
            ["model.safetensors", "projections.safetensors", "concepts.json"]
                .map(|name| fs::read(trial.path().join("concepts").join(name)).ok())
        };
        assert_eq!(kept(&parts), kept(&whole));
        assert!(kept(&whole).iter().all(|file| file.is_some() == teacher.is_none()));
    }
}

#[test]
fn a_run_goes_on_with_its_own_teacher_only() {
    let mut trial = Trial::new(Strategy::Ner);
    let teacher = |name: &str| Some(fixture(name).to_str().unwrap().to_string());
    trial.config.ner.objective = NerObjective::Distill;
    trial.config.ner.teacher = teacher("kin/mpnet/model");
    trial.train(false, Some(3)).unwrap();
    trial.config.ner.teacher = teacher("kin/roberta/model");
    let (error, message) = trial.refusal();
    assert!(matches!(error, RunError::OtherTeacher { .. }), "{message}");
    assert!(message.contains("learned from the teacher sha256:"), "{message}");

    // The same teacher elsewhere is the same teacher.
    let copy = copy_of("kin/mpnet/model");
    trial.config.ner.teacher = Some(copy.path().to_str().unwrap().into());
    trial.train(true, None).unwrap();
    let card = fs::read_to_string(trial.path().join("README.md")).unwrap();
    let teacher = format!("6 sentences, distilled from {}", copy.path().file_name().unwrap().display());
    assert!(card.contains(&teacher) && !card.contains(copy.path().to_str().unwrap()), "{card}");
    let written = fs::read_to_string(trial.path().join("config.toml")).unwrap();
    assert!(written.contains("weight = 1.0"), "every setting is spelled out: {written}");
}

/// Decay is all that happens to the projections of a loss that does not count, which start as identity: along a schedule of their own.
#[test]
fn projections_have_a_decay_and_a_schedule_of_their_own() {
    let mut trial = Trial::new(Strategy::Ner);
    (trial.config.train.steps, trial.config.train.validation) = (4, 0);
    trial.config.ner.weight = Some(0.0);
    (trial.config.ner.projection_learning_rate, trial.config.ner.projection_weight_decay) = (0.1, 0.5);
    for (schedule, warmup, factors) in [
        // Straight down without warm-up, as `train` says; constant; half the steps of warm-up.
        (None, None, [1.0, 0.75, 0.5, 0.25]),
        (Some(Schedule::Constant), None, [1.0; 4]),
        (None, Some(0.5), [0.5, 1.0, 1.0, 0.5]),
    ] {
        (trial.config.ner.projection_schedule, trial.config.ner.projection_warmup) = (schedule, warmup);
        trial.directory = TempDir::new().unwrap();
        trial.train(false, None).unwrap();
        let (path, width) = (trial.checkpoint(4).join("state.safetensors"), tiny_bert().encoder.width());
        let bytes = fs::read(&path).unwrap();
        let mut values = vec![0.0; 2 * width * width];
        let file = TensorFile::parse(&path, &bytes).unwrap();
        file.read_into("objective.ner.projections", &[values.len()], &mut values).unwrap();
        let shrunk: f32 = factors.iter().map(|factor| 1.0 - 0.1 * factor * 0.5).product();
        for (place, value) in values.into_iter().enumerate() {
            let expected = if place % (width * width) % (width + 1) == 0 { shrunk } else { 0.0 };
            assert!((value - expected).abs() < 1e-6, "{value} instead of {expected} at {place}, {factors:?}");
        }
    }
}

#[test]
fn a_directory_has_all_that_the_documentation_promises() {
    let trial = Trial::new(Strategy::Tpl);
    trial.train(false, None).unwrap();
    let names = |path: &Path| {
        let mut names: Vec<String> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let mut expected =
        ["README.md", "adapters", "backbone", "checkpoints", "config.toml", "metrics.jsonl", "summary.json"].to_vec();
    expected.insert(0, ".lock");
    let found = names(&trial.path());
    let (events, others): (Vec<_>, Vec<_>) = found.iter().partition(|name| name.starts_with("events.out.tfevents."));
    assert_eq!(
        (events.len(), others),
        (1, expected.iter().map(|name| name.to_string()).collect::<Vec<_>>().iter().collect())
    );
    assert_eq!(names(&trial.path().join("checkpoints")), ["step-00000004", "step-00000006"], "the last two");
    assert_eq!(names(&trial.checkpoint(6)), ["adapters", "backbone", "state.json", "state.safetensors"]);
    let validated: Vec<bool> = metrics(&trial.path())
        .iter()
        .map(|line| line["validation"]["ner"].is_f64() && line["validation"]["tc"].is_f64())
        .collect();
    assert_eq!(validated, [false, true, false, true, false, true]);
    let card = fs::read_to_string(trial.path().join("README.md")).unwrap();
    for part in [
        "---\n",
        "# license:",
        "| ner | concepts.jsonl | 6 sentences |",
        "last 6 steps",
        "strategy = \"tpl\"",
        "--init adapters/ner",
    ] {
        assert!(card.contains(part), "{part:?} in\n{card}");
    }
    assert!(!card.contains(trial.directory.path().to_str().unwrap()), "no path of this machine\n{card}");
    assert!(!card.contains(trial.corpora.ner().to_str().unwrap()), "no path of this machine\n{card}");
}

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
fn a_run_goes_on_with_its_own_settings_backbone_and_corpora_only() {
    let mut trial = Trial::new(Strategy::Tpl);
    trial.train(false, Some(3)).unwrap();
    let again =
        RunDirectory::new(trial.path()).train(&tiny_bert(), &trial.config, false, |_| ControlFlow::Continue(()));
    assert!(matches!(again, Err(TrainError::Run(RunError::Exists { .. }))), "{again:?}");

    trial.config.train.learning_rate *= 2.0;
    let (error, message) = trial.refusal();
    assert!(
        matches!(error, RunError::OtherConfig { .. }) && message.contains("train.learning_rate was 0.001"),
        "{message}"
    );
    trial.config.train.learning_rate /= 2.0;

    let mut weights = tiny_bert().weights().to_vec();
    weights[0] += 1.0;
    let other = tiny_bert().with_weights(weights);
    let refused = RunDirectory::new(trial.path()).train(&other, &trial.config, true, |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(TrainError::Run(RunError::OtherBackbone { .. }))), "{refused:?}");

    let text = fs::read_to_string(trial.corpora.tc()).unwrap();
    fs::write(trial.corpora.tc(), text.replacen("river", "music", 1)).unwrap();
    let (error, message) = trial.refusal();
    assert!(matches!(error, RunError::OtherCorpus { key: "tc.corpora", .. }), "{message}");
    assert!(message.contains("pairs.jsonl of"), "{message}");

    fs::remove_file(trial.corpora.tc()).unwrap();
    let missing = trial.train(true, None).unwrap_err().to_string();
    assert!(missing.contains("pairs.jsonl: cannot be opened"), "{missing}");

    // The same data elsewhere are the same data; how often checkpoints are written is free.
    let moved = trial.directory.path().join("moved/pairs.jsonl");
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    fs::write(&moved, text).unwrap();
    trial.config.tc.corpora = vec![moved.into()];
    trial.config.train.checkpoint_every = 1;
    let (outcome, notes) = trial.train(true, None).unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)) && notes == ["resumed after 3"], "{notes:?}");
    let finished = trial.train(true, None).unwrap().0;
    assert!(matches!(finished, Outcome::Finished(summary) if summary.step == 6));
}

#[test]
fn two_processes_do_not_train_in_one_directory() {
    let trial = Trial::new(Strategy::Tc);
    let outcome = RunDirectory::new(trial.path()).train(&tiny_bert(), &trial.config, false, |event| {
        if let RunEvent::Step(_) = event {
            let (error, message) = trial.refusal();
            assert!(matches!(error, RunError::Busy { .. }), "{message}");
        }
        ControlFlow::Continue(())
    });
    assert!(matches!(outcome, Ok(Outcome::Finished(_))));
}

#[test]
fn validation_stops_a_run_that_gets_no_better_and_returns_to_the_best() {
    let mut trial = Trial::new(Strategy::Tpl);
    (trial.config.train.steps, trial.config.train.learning_rate) = (40, 0.3);
    (trial.config.train.validate_every, trial.config.train.patience) = (1, 3);
    let Outcome::Finished(summary) = trial.train(false, None).unwrap().0 else { panic!("halted") };
    let best = summary.best_step.unwrap();
    assert!(summary.stopped_early && summary.step == best + 3, "{summary:?}");
    let score = |line: &serde_json::Value| {
        line["validation"]["ner"].as_f64().unwrap() + line["validation"]["tc"].as_f64().unwrap()
    };
    let scores: Vec<f64> = metrics(&trial.path()).iter().map(score).collect();
    let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(scores.len(), summary.step);
    assert_eq!(scores[best - 1], least);
    // The weights are those of the best step.
    let mut short = Trial::new(Strategy::Tpl);
    short.config = trial.config.clone();
    short.train(false, Some(best)).unwrap();
    let weights = |run: &Path| fs::read(run.join("backbone/model.safetensors")).unwrap();
    assert_eq!(weights(&trial.path()), weights(&short.checkpoint(best)));

    // Killed before the model was written: the last checkpoint remembers the best weights and that patience is at its end.
    let before = model(&trial.path());
    fs::remove_file(trial.path().join("summary.json")).unwrap();
    fs::remove_dir_all(trial.path().join("backbone")).unwrap();
    assert_eq!(trial.train(true, None).unwrap().1, [format!("resumed after {}", best + 3)]);
    assert_eq!(model(&trial.path()), before);
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
