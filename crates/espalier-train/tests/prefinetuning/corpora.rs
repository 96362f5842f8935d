//! Corpora in a temporary directory, in words that the tiny BERT knows.

use espalier_encoder::Compute;
use espalier_testing::fixtures::tiny_bert;
use espalier_train::config::{NerConfig, PrefinetuneConfig, TcConfig, TrainConfig};
use espalier_train::strategy::Strategy;
use espalier_train::trainer::StepReport;
use espalier_train::{Prefinetuned, TrainError, prefinetune};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A concept corpus and a pair corpus.
pub struct Corpora {
    directory: TempDir,
}

impl Corpora {
    pub fn of(sentences: &[Value], pairs: &[Value]) -> Self {
        let corpora = Self { directory: TempDir::new().unwrap() };
        for (path, records) in [(corpora.ner(), sentences), (corpora.tc(), pairs)] {
            fs::write(path, records.iter().map(|record| format!("{record}\n")).collect::<String>())
                .unwrap();
        }
        corpora
    }

    /// Concepts that the word itself gives away, and pairs that share a word: 24 sentences and two
    /// sources of 12 pairs.
    pub fn easy() -> Self {
        let sentence = |pattern: [&str; 3], word: &str, concept: &str| json!({"tokens": [pattern[0], pattern[1], word, pattern[2]], "spans": [{"start": 2, "end": 3, "type": concept}]});
        let (mut sentences, mut pairs) = (Vec::new(), Vec::new());
        for pattern in [["train", "to", "now"], ["we", "love", "."], ["flight", "with", "!"]] {
            sentences.extend(
                ["london", "paris", "berlin", "york"].map(|word| sentence(pattern, word, "city")),
            );
            sentences.extend(
                ["john", "smith", "doctor", "team"]
                    .map(|word| sentence(pattern, word, "person name")),
            );
        }
        for word in [
            "hotel", "weather", "music", "train", "doctor", "team", "game", "film", "food",
            "heart", "bank", "water",
        ] {
            let pair = |anchor: String, positive: String, source: &str| json!({"anchor": anchor, "positive": positive, "source": source});
            pairs.push(pair(
                format!("{word} near the river"),
                format!("the {word} is good"),
                "short",
            ));
            pairs.push(pair(
                format!("was it the {word} ?"),
                format!("you said {word} , not this {word}"),
                "long",
            ));
        }
        Self::of(&sentences, &pairs)
    }

    /// 16 sentences and 16 pairs of texts of 40 words each: enough for the work to be shared among
    /// threads.
    pub fn long() -> Self {
        let vocabulary = [
            "london", "hotel", "music", "good", "the", "river", "john", "not", "weather", "train",
            "of",
        ];
        let words = |n: usize| {
            (0..40).map(|i| vocabulary[(n * i + n) % vocabulary.len()]).collect::<Vec<_>>()
        };
        let spans = json!([{"start": 1, "end": 4, "type": "city"}, {"start": 20, "end": 40, "type": "event"}]);
        let sentence = |n| json!({"tokens": words(n), "spans": spans});
        let pair = |n| json!({"anchor": format!("{n} {}", words(n).join(" ")), "positive": words(n + 3).join(" ")});
        let (sentences, pairs): (Vec<Value>, Vec<Value>) =
            (1..17).map(|n| (sentence(n), pair(n))).unzip();
        Self::of(&sentences, &pairs)
    }

    pub fn ner(&self) -> PathBuf {
        self.directory.path().join("concepts.jsonl")
    }

    pub fn tc(&self) -> PathBuf {
        self.directory.path().join("pairs.jsonl")
    }

    /// A short run on these corpora.
    pub fn config(&self, strategy: Strategy) -> PrefinetuneConfig {
        PrefinetuneConfig {
            strategy,
            train: TrainConfig {
                steps: 4,
                learning_rate: 1e-3,
                precision: Compute::F32,
                ..TrainConfig::default()
            },
            ner: NerConfig {
                corpora: vec![self.ner().into()],
                batch: 6,
                weight: Some(1.0),
                ..NerConfig::default()
            },
            tc: TcConfig { corpora: vec![self.tc().into()], batch: 6, ..TcConfig::default() },
            ..PrefinetuneConfig::default()
        }
    }
}

/// Runs on the tiny BERT, with the reports of the steps.
pub fn run(config: &PrefinetuneConfig) -> Result<(Prefinetuned, Vec<StepReport>), TrainError> {
    let mut reports = Vec::new();
    let result = prefinetune(&tiny_bert(), config, |report| reports.push(report.clone()))?;
    Ok((result, reports))
}

/// A run that must succeed.
pub fn trained(config: &PrefinetuneConfig) -> Prefinetuned {
    run(config).unwrap().0
}
