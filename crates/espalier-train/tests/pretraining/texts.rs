//! Texts in a temporary directory, in words that the tiny BERT knows.

use espalier_encoder::{Backbone, Compute};
use espalier_testing::fixtures::fixture;
use espalier_train::config::{MlmConfig, PrefinetuneConfig, SCRATCH, ScratchConfig, TrainConfig};
use espalier_train::strategy::Strategy;
use espalier_train::{Prefinetuned, prefinetune};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Documents of some sentences each, in which a word tells the next.
pub struct Texts {
    pub directory: TempDir,
}

impl Texts {
    pub fn new() -> Self {
        let texts = Self { directory: TempDir::new().unwrap() };
        let sentence = |n: usize| {
            let (city, thing) = (
                ["london", "paris", "berlin", "york"][n % 4],
                ["hotel", "river", "team", "film"][n % 4],
            );
            format!("we love the {thing} of {city} , not that {thing} near the station .")
        };
        let document =
            |n: usize| (0..1 + n % 3).map(|i| sentence(n + i)).collect::<Vec<_>>().join(" ");
        let lines = (0..60).map(|n| format!("{}\n", serde_json::json!({"text": document(n)})));
        fs::write(texts.path(), lines.collect::<String>()).unwrap();
        texts
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("texts.jsonl")
    }

    /// A short run on these texts.
    pub fn config(&self) -> PrefinetuneConfig {
        let mlm = MlmConfig {
            corpora: vec![self.path().into()],
            batch: 8,
            max_tokens: 24,
            ..MlmConfig::default()
        };
        PrefinetuneConfig {
            strategy: Strategy::PRETRAIN,
            train: TrainConfig {
                steps: 4,
                learning_rate: 1e-3,
                precision: Compute::F32,
                ..TrainConfig::default()
            },
            mlm,
            ..PrefinetuneConfig::default()
        }
    }

    /// The same from scratch.
    pub fn scratch(&self) -> PrefinetuneConfig {
        let scratch = ScratchConfig {
            tokenizer: fixture("tiny-bert"),
            layers: 2,
            width: 32,
            heads: 4,
            inner: 64,
            positions: 24,
        };
        PrefinetuneConfig { backbone: SCRATCH.into(), scratch, ..self.config() }
    }
}

/// A run that must succeed.
pub fn trained(backbone: &Backbone, config: &PrefinetuneConfig) -> Prefinetuned {
    prefinetune(backbone, config, |_| ()).unwrap()
}
