//! The files of a run, and early stopping.

use crate::trial::{Trial, metrics, model};
use espalier_encoder::tensors::TensorFile;
use espalier_testing::fixtures::tiny_bert;
use espalier_train::optimizer::Schedule;
use espalier_train::run::Outcome;
use espalier_train::strategy::Strategy;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// The weight of the loss is zero, so that only weight decay changes the projections, which start
/// from the identity.
#[test]
fn projections_have_their_own_weight_decay_and_schedule() {
    let mut trial = Trial::new(Strategy::NER);
    (trial.config.train.steps, trial.config.train.validation) = (4, 0);
    trial.config.ner.weight = Some(0.0);
    (
        trial.config.ner.projection_group.learning_rate,
        trial.config.ner.projection_group.weight_decay,
    ) = (0.1, 0.5);
    for (schedule, warmup, factors) in [
        // The schedule of `train`, linear without warm-up; constant; with half of the steps as
        // warm-up.
        (None, None, [1.0, 0.75, 0.5, 0.25]),
        (Some(Schedule::Constant), None, [1.0; 4]),
        (None, Some(0.5), [0.5, 1.0, 1.0, 0.5]),
    ] {
        (trial.config.ner.projection_group.schedule, trial.config.ner.projection_group.warmup) =
            (schedule, warmup);
        trial.directory = TempDir::new().unwrap();
        trial.train(false, None).unwrap();
        let (path, width) =
            (trial.checkpoint(4).join("state.safetensors"), tiny_bert().encoder.width());
        let bytes = fs::read(&path).unwrap();
        let mut values = vec![0.0; 2 * width * width];
        let file = TensorFile::parse(&path, &bytes).unwrap();
        file.read_into("objective.ner.projections", &[values.len()], &mut values).unwrap();
        let shrunk: f32 = factors.iter().map(|factor| 1.0 - 0.1 * factor * 0.5).product();
        for (index, value) in values.into_iter().enumerate() {
            let diagonal = index % (width * width) % (width + 1) == 0;
            let expected = if diagonal { shrunk } else { 0.0 };
            assert!(
                (value - expected).abs() < 1e-6,
                "{value} instead of {expected} at {index}, {factors:?}"
            );
        }
    }
}

#[test]
fn the_directory_has_the_files_of_the_documentation() {
    let trial = Trial::new(Strategy::TPL);
    trial.train(false, None).unwrap();
    let names = |path: &Path| {
        let mut names: Vec<String> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let mut expected = [
        "README.md",
        "adapters",
        "backbone",
        "checkpoints",
        "config.toml",
        "metrics.jsonl",
        "summary.json",
    ]
    .to_vec();
    expected.insert(0, ".lock");
    let found = names(&trial.path());
    let (events, others): (Vec<_>, Vec<_>) =
        found.iter().partition(|name| name.starts_with("events.out.tfevents."));
    assert_eq!(
        (events.len(), others),
        (1, expected.iter().map(|name| name.to_string()).collect::<Vec<_>>().iter().collect())
    );
    assert_eq!(
        names(&trial.path().join("checkpoints")),
        ["step-00000004", "step-00000006"],
        "the last two"
    );
    assert_eq!(
        names(&trial.checkpoint(6)),
        ["adapters", "backbone", "state.json", "state.safetensors"]
    );
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
    assert!(
        !card.contains(trial.directory.path().to_str().unwrap()),
        "no path of this machine\n{card}"
    );
    assert!(
        !card.contains(trial.corpora.ner().to_str().unwrap()),
        "no path of this machine\n{card}"
    );
}

#[test]
fn a_run_without_improvement_stops_early_with_the_best_model() {
    let mut trial = Trial::new(Strategy::TPL);
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
    let mut short = Trial::new(Strategy::TPL);
    short.config = trial.config.clone();
    short.train(false, Some(best)).unwrap();
    let weights = |run: &Path| fs::read(run.join("backbone/model.safetensors")).unwrap();
    assert_eq!(weights(&trial.path()), weights(&short.checkpoint(best)));

    // As if killed before the model was written: the last checkpoint has the best weights, and
    // knows that the run is stopped.
    let before = model(&trial.path());
    fs::remove_file(trial.path().join("summary.json")).unwrap();
    fs::remove_dir_all(trial.path().join("backbone")).unwrap();
    assert_eq!(trial.train(true, None).unwrap().1, [format!("resumed after {}", best + 3)]);
    assert_eq!(model(&trial.path()), before);
}
