//! Small tasks, in words that the tiny BERT knows, and what the tests do with them.

use espalier_data::{AnnotatedText, Examples, LabelledText};
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{Adapter, EncoderConfig, Lora, Module};
use espalier_testing::compare::bits;
use espalier_train::Finetuner;
use espalier_train::finetune::{FinetuneConfig, FrozenEncoder, Predictions, predict};

pub const TAGS: [&str; 3] = ["O", "B-city", "I-city"];

/// Settings with which the tasks are learned in 120 steps.
pub fn config() -> FinetuneConfig {
    config_of_steps(120)
}

/// The same with another number of steps.
pub fn config_of_steps(steps: usize) -> FinetuneConfig {
    let mut config = FinetuneConfig::default();
    (config.steps, config.batch) = (steps, 8);
    (config.learning_rate, config.head_learning_rate) = (1e-2, 2e-2);
    config
}

/// Classification examples: texts with labels.
pub fn texts(texts: &[(&str, &str)]) -> Examples {
    let labelled =
        |&(text, label): &(&str, &str)| LabelledText { text: text.into(), label: label.into() };
    Examples::Classification(texts.iter().map(labelled).collect())
}

/// NER examples: sentences, each word with the tag that `tag` gives it.
pub fn sentences(sentences: &[Vec<&str>], tag: impl Fn(&str) -> &'static str) -> Examples {
    let row = |words: &Vec<&str>| {
        let tags: Vec<&str> = words.iter().map(|word| tag(word)).collect();
        AnnotatedText::from_tags(words, &tags)
    };
    Examples::Ner(sentences.iter().map(row).collect())
}

/// Texts that are "kind" or "unkind", depending on one word.
pub fn opinions() -> Examples {
    let mut rows = Vec::new();
    for thing in ["hotel", "music", "weather", "film", "food", "team", "flight", "book"] {
        for (word, label) in
            [("good", "kind"), ("great", "kind"), ("bad", "unkind"), ("cheap", "unkind")]
        {
            rows.push((format!("the {thing} was {word}"), label));
        }
    }
    texts(&rows.iter().map(|(text, label)| (text.as_str(), *label)).collect::<Vec<_>>())
}

/// Cities and people, recognizable by their words. "new york" and "john smith" are entities of two
/// words.
pub fn names() -> Examples {
    let mut rows = Vec::new();
    for city in ["london", "paris", "berlin", "new york"] {
        for person in ["john smith", "john"] {
            rows.push(format!("{person} was in {city}"));
            rows.push(format!("the train to {city} with {person} is not cheap"));
        }
    }
    sentences(&rows.iter().map(|row| row.split(' ').collect()).collect::<Vec<_>>(), |word| {
        match word {
            "london" | "paris" | "berlin" | "new" => "B-city",
            "york" => "I-city",
            "john" => "B-person",
            "smith" => "I-person",
            _ => "O",
        }
    })
}

/// Trains an adapter. Returns it with the loss of each step.
pub fn trained<'a>(
    encoder: impl Into<FrozenEncoder<'a>>,
    init: Option<&Lora>,
    task: &Examples,
    config: &FinetuneConfig,
) -> (Adapter, Vec<f64>) {
    let mut losses = Vec::new();
    let tuner = Finetuner::new(encoder).init(init).config(config.clone());
    let adapter = tuner.train(task, |step| losses.push(step.loss)).unwrap();
    (adapter, losses)
}

/// The fraction of examples whose label or entities are all predicted correctly.
pub fn accuracy<'a>(
    encoder: impl Into<FrozenEncoder<'a>>,
    adapter: &Adapter,
    examples: &Examples,
) -> f64 {
    let correct = match (predict(encoder, adapter, examples).unwrap(), examples) {
        (Predictions::Labels(labels), Examples::Classification(texts)) => {
            labels.iter().zip(texts).filter(|(label, text)| **label == text.label).count()
        }
        (Predictions::Entities(entities), Examples::Ner(texts)) => {
            entities.iter().zip(texts).filter(|(found, text)| **found == text.entities).count()
        }
        (predictions, _) => panic!("predictions for another kind of task: {predictions:?}"),
    };
    correct as f64 / examples.len() as f64
}

/// The bits of the LoRA and of the head.
pub fn adapter_bits(adapter: &Adapter) -> [Vec<u32>; 2] {
    [bits(&adapter.lora.values), bits(&adapter.head.as_ref().unwrap().values)]
}

/// The same LoRA with a further pair of matrices in the first layer, all zeros. These change
/// nothing and receive no gradient, but leave no layers below the adapted ones to cache. Returns
/// the number of zeros too, which come first.
pub fn with_zeros_in_first_layer(config: &EncoderConfig, lora: &Lora) -> (Lora, usize) {
    let first =
        SiteSpec { layer: 0, module: Module::Query, rank: 1, alpha: 1.0, rank_stabilized: false };
    let specs = std::iter::once(first).chain(lora.sites.iter().map(|site| site.spec));
    let mut extended = Lora::zeros(config, specs.collect());
    let zeros = extended.values.len() - lora.values.len();
    extended.values[zeros..].copy_from_slice(&lora.values);
    (extended, zeros)
}
