//! Runs from a random and from a trained encoder: reproducibility, resuming, learning.

use crate::texts::{Texts, trained};
use espalier_encoder::Backbone;
use espalier_testing::compare::{bits, on_threads};
use espalier_testing::fixtures::{fixture, tiny_bert};
use espalier_train::config::PrefinetuneConfig;
use espalier_train::prefinetune;
use espalier_train::run::{Outcome, RunDirectory, RunEvent};
use espalier_train::trainer::fresh_backbone;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

#[test]
fn the_same_seed_gives_the_same_random_encoder() {
    let texts = Texts::new();
    let mut config = texts.scratch();
    let first = fresh_backbone(&config).unwrap();
    assert_eq!(bits(fresh_backbone(&config).unwrap().weights()), bits(first.weights()));
    config.seed = 1;
    assert_ne!(fresh_backbone(&config).unwrap().fingerprint(), first.fingerprint());
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let texts = Texts::new();
    let mut config = texts.scratch();
    config.seed = 3;
    let with_threads = |threads| {
        let model =
            on_threads(threads, || trained(&fresh_backbone(&config).unwrap(), &config)).backbone;
        [bits(model.weights()), bits(&model.mlm_head().unwrap().values)]
    };
    assert_eq!(with_threads(1), with_threads(3));
}

/// Trains in a directory until the end, or until `halt` steps are done.
fn train(directory: &Path, config: &PrefinetuneConfig, halt: Option<usize>) -> Outcome {
    let backbone =
        if config.starts_from_scratch() { fresh_backbone(config).unwrap() } else { tiny_bert() };
    let run =
        RunDirectory::new(directory).train(
            &backbone,
            config,
            halt != Some(3),
            |event| match event {
                RunEvent::Step(report) if Some(report.step) == halt => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            },
        );
    run.unwrap()
}

/// The files of the model, with their bytes.
fn model(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = ["backbone/model.safetensors", "backbone/config.json", "README.md", "summary.json"]
        .map(PathBuf::from);
    files.into_iter().map(|file| (file.clone(), fs::read(run.join(file)).unwrap())).collect()
}

fn losses(run: &Path) -> Vec<[serde_json::Value; 3]> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines
        .map(|line| ["losses", "validation", "gradient_norm"].map(|key| line[key].clone()))
        .collect()
}

#[test]
fn a_resumed_run_gives_the_same_as_an_uninterrupted_one() {
    let texts = Texts::new();
    for (name, mut config) in [("scratch", texts.scratch()), ("further", texts.config())] {
        (config.train.steps, config.train.checkpoint_every) = (6, 0);
        (config.train.validation, config.train.validate_every, config.train.patience) = (8, 2, 9);
        config.mlm.whole_words = name == "further";
        let [uninterrupted, resumed] =
            ["uninterrupted", "resumed"].map(|run| texts.directory.path().join(name).join(run));
        assert!(matches!(train(&uninterrupted, &config, None), Outcome::Finished(_)));
        for step in [3, 4] {
            let outcome = train(&resumed, &config, Some(step));
            assert!(matches!(outcome, Outcome::Halted { step: halted } if halted == step));
        }
        assert!(matches!(train(&resumed, &config, None), Outcome::Finished(_)));
        assert_eq!(model(&resumed), model(&uninterrupted), "{name}");
        assert_eq!(losses(&resumed), losses(&uninterrupted), "{name}");
        assert!(losses(&uninterrupted)[5][1]["mlm"].is_f64());
    }
}

/// The second run starts from the encoder and the head of the first.
#[test]
fn a_random_encoder_learns_and_can_be_trained_further() {
    let texts = Texts::new();
    let mut config = texts.scratch();
    (config.train.steps, config.train.learning_rate, config.train.validation) = (240, 5e-3, 6);
    config.train.validate_every = 240;
    config.mlm.batch = 16;
    let directory = texts.directory.path().join("run");
    let Outcome::Finished(summary) = train(&directory, &config, None) else { panic!("halted") };
    let uniform = (fresh_backbone(&config).unwrap().encoder.config.vocab_size as f64).ln();
    let validation = summary.validation.values().next().copied().unwrap();
    assert!(
        validation < 0.3 * uniform,
        "{validation} on the validation set, {uniform} with equal probabilities"
    );

    let backbone = Backbone::open(&directory.join("backbone")).unwrap();
    let guesses = backbone
        .fill_mask("we love the hotel [MASK] london , not that hotel near the station .", 1)
        .unwrap();
    assert_eq!(guesses[0][0].token, "of");
    let mut further = texts.config();
    further.seed = 1;
    let mut first = None;
    prefinetune(&backbone, &further, |report| {
        first.get_or_insert(report.losses.values().sum::<f64>());
    })
    .unwrap();
    assert!(first.unwrap() < 0.4 * uniform, "{first:?}: the head is that of the first run");
    let card = fs::read_to_string(directory.join("README.md")).unwrap();
    assert!(card.contains("fill-mask") && !card.contains(fixture("").to_str().unwrap()), "{card}");
}
