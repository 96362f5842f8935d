//! A text corpus in a temporary directory, in words that the tiny BERT knows.

use espalier_encoder::{Backbone, Compute};
use espalier_testing::fixtures::fixture;
use espalier_train::config::{PrefinetuneConfig, SCRATCH};
use espalier_train::strategy::Strategy;
use espalier_train::{Prefinetuned, prefinetune};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Documents of a few sentences, in which most words can be predicted from the others.
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
        let mut config = PrefinetuneConfig::default();
        config.strategy = Strategy::PRETRAIN;
        (config.train.steps, config.train.learning_rate) = (4, 1e-3);
        config.train.precision = Compute::F32;
        config.mlm.corpora = vec![self.path().into()];
        (config.mlm.batch, config.mlm.max_tokens) = (8, 24);
        config
    }

    /// The same with a randomly initialized encoder.
    pub fn scratch(&self) -> PrefinetuneConfig {
        let mut config = self.config();
        config.backbone = SCRATCH.into();
        let scratch = &mut config.scratch;
        scratch.tokenizer = fixture("tiny-bert");
        (scratch.layers, scratch.width, scratch.heads) = (2, 32, 4);
        (scratch.inner, scratch.positions) = (64, 24);
        config
    }
}

/// A run that must succeed.
pub fn trained(backbone: &Backbone, config: &PrefinetuneConfig) -> Prefinetuned {
    prefinetune(backbone, config, |_| ()).unwrap()
}
