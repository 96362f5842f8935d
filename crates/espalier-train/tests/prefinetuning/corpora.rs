//! Corpora in a temporary directory, in words that the tiny BERT knows.

use espalier_encoder::Compute;
use espalier_testing::fixtures::tiny_bert;
use espalier_train::strategy::Strategy;
use espalier_train::trainer::StepReport;
use espalier_train::{PrefinetuneConfig, Prefinetuned, TrainError, prefinetune};
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

    /// 24 sentences whose concepts depend on one word, and two sources of 12 pairs that share a
    /// word.
    pub fn easy() -> Self {
        let sentence = |[first, second, last]: [&str; 3], word: &str, concept: &str| {
            let span = json!({"start": 2, "end": 3, "type": concept});
            json!({"tokens": [first, second, word, last], "spans": [span]})
        };
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
            pairs.push(json!({
                "anchor": format!("{word} near the river"),
                "positive": format!("the {word} is good"),
                "source": "short",
            }));
            pairs.push(json!({
                "anchor": format!("was it the {word} ?"),
                "positive": format!("you said {word} , not this {word}"),
                "source": "long",
            }));
        }
        Self::of(&sentences, &pairs)
    }

    /// 16 sentences and 16 pairs, all of texts with 40 words: enough for the work to be split among
    /// threads.
    pub fn long() -> Self {
        let vocabulary = [
            "london", "hotel", "music", "good", "the", "river", "john", "not", "weather", "train",
            "of",
        ];
        let words = |n: usize| {
            (0..40).map(|i| vocabulary[(n * i + n) % vocabulary.len()]).collect::<Vec<_>>()
        };
        let spans = json!([
            {"start": 1, "end": 4, "type": "city"},
            {"start": 20, "end": 40, "type": "event"},
        ]);
        let sentence = |n| json!({"tokens": words(n), "spans": spans});
        let pair = |n| {
            let anchor = format!("{n} {}", words(n).join(" "));
            json!({"anchor": anchor, "positive": words(n + 3).join(" ")})
        };
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
        let mut config = PrefinetuneConfig::default();
        config.strategy = strategy;
        (config.train.steps, config.train.learning_rate) = (4, 1e-3);
        config.train.precision = Compute::F32;
        config.ner.corpora = vec![self.ner().into()];
        config.tc.corpora = vec![self.tc().into()];
        (config.ner.batch, config.tc.batch, config.ner.weight) = (6, 6, Some(1.0));
        config
    }
}

/// Trains the tiny BERT. Returns the reports of all steps too.
pub fn run(config: &PrefinetuneConfig) -> Result<(Prefinetuned, Vec<StepReport>), TrainError> {
    let mut reports = Vec::new();
    let result = prefinetune(&tiny_bert(), config, |report| reports.push(report.clone()))?;
    Ok((result, reports))
}

/// A run that must succeed.
pub fn trained(config: &PrefinetuneConfig) -> Prefinetuned {
    run(config).unwrap().0
}
