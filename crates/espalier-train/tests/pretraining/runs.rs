//! Whole runs: from scratch and further, halted and resumed, and what they learn.

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
fn the_same_seed_gives_the_same_fresh_encoder() {
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
    let config = PrefinetuneConfig { seed: 3, ..texts.scratch() };
    let with_threads = |threads| {
        let model =
            on_threads(threads, || trained(&fresh_backbone(&config).unwrap(), &config)).backbone;
        [bits(model.weights()), bits(&model.mlm_head().unwrap().values)]
    };
    assert_eq!(with_threads(1), with_threads(3));
}

/// Trains in a directory until the end or until `halt` steps are done.
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

/// What must be the same to the bit: the model, its card and the losses.
fn left(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
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
fn halted_and_resumed_is_as_uninterrupted() {
    let texts = Texts::new();
    for (name, mut config) in [("scratch", texts.scratch()), ("further", texts.config())] {
        (config.train.steps, config.train.checkpoint_every) = (6, 0);
        (config.train.validation, config.train.validate_every, config.train.patience) = (8, 2, 9);
        config.mlm.whole_words = name == "further";
        let [whole, parts] =
            ["whole", "parts"].map(|run| texts.directory.path().join(name).join(run));
        assert!(matches!(train(&whole, &config, None), Outcome::Finished(_)));
        for step in [3, 4] {
            assert!(
                matches!(train(&parts, &config, Some(step)), Outcome::Halted { step: halted } if halted == step)
            );
        }
        assert!(matches!(train(&parts, &config, None), Outcome::Finished(_)));
        assert_eq!(left(&parts), left(&whole), "{name}");
        assert_eq!(losses(&parts), losses(&whole), "{name}");
        assert!(losses(&whole)[5][1]["mlm"].is_f64());
    }
}

/// The corpus is learnt almost by heart, and the run goes on from where another one ended, head
/// included.
#[test]
fn a_fresh_encoder_learns_and_training_goes_on() {
    let texts = Texts::new();
    let mut config = texts.scratch();
    (config.train.steps, config.train.learning_rate, config.train.validation) = (240, 5e-3, 6);
    config.train.validate_every = 240;
    config.mlm.batch = 16;
    let directory = texts.directory.path().join("run");
    let Outcome::Finished(summary) = train(&directory, &config, None) else { panic!("halted") };
    let uniform = (fresh_backbone(&config).unwrap().encoder.config.vocab_size as f64).ln();
    let held_out = summary.validation.values().next().copied().unwrap();
    assert!(
        held_out < 0.3 * uniform,
        "{held_out} on held-out texts, {uniform} for a guess without knowledge"
    );

    let backbone = Backbone::open(&directory.join("backbone")).unwrap();
    let guesses = backbone
        .fill_mask("we love the hotel [MASK] london , not that hotel near the station .", 1)
        .unwrap();
    assert_eq!(guesses[0][0].token, "of");
    let further = PrefinetuneConfig { seed: 1, ..texts.config() };
    let mut first = None;
    prefinetune(&backbone, &further, |report| {
        first.get_or_insert(report.losses.values().sum::<f64>());
    })
    .unwrap();
    assert!(first.unwrap() < 0.4 * uniform, "{first:?}: the head came along");
    let card = fs::read_to_string(directory.join("README.md")).unwrap();
    assert!(card.contains("fill-mask") && !card.contains(fixture("").to_str().unwrap()), "{card}");
}
