//! Tasks and adapters made on the spot, in words that the tiny BERT knows.

use espalier_data::{AnnotatedText, Examples, LabelledText};
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{
    Adapter, AdapterCard, Backbone, Family, Head, Lora, Module, Output, Pooling,
};
use espalier_train::finetune::FinetuneConfig;
use std::collections::BTreeMap;

pub const TAGS: [&str; 3] = ["O", "B-city", "I-city"];

/// A setting under which the small tasks are learned quickly.
pub fn config() -> FinetuneConfig {
    let (learning_rate, head_learning_rate) = (1e-2, 2e-2);
    FinetuneConfig {
        steps: 120,
        batch: 8,
        learning_rate,
        head_learning_rate,
        ..FinetuneConfig::default()
    }
}

pub fn texts(texts: &[(&str, &str)]) -> Examples {
    let labelled =
        |&(text, label): &(&str, &str)| LabelledText { text: text.into(), label: label.into() };
    Examples::Classification(texts.iter().map(labelled).collect())
}

/// Sentences whose tags are those of `tagged`, or all `O`.
pub fn sentences(sentences: &[Vec<&str>], tagged: impl Fn(&str) -> &'static str) -> Examples {
    let row = |words: &Vec<&str>| {
        let tags: Vec<&str> = words.iter().map(|word| tagged(word)).collect();
        AnnotatedText::from_tags(words, &tags)
    };
    Examples::Ner(sentences.iter().map(row).collect())
}

/// Whether a text is kind is said by one of its words.
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

/// Cities and people, each given away by its words; "new york" and "john smith" are entities of two
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

/// Numbers from [-1, 1) that look random, so that adapters and heads made of them do something.
pub fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        // Knuth's linear congruential generator (MMIX); its high bits are the good ones.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// An adapter of rank 2 on query and output of these layers, whose factors are both noise.
pub fn noisy_lora(backbone: &Backbone, layers: &[usize]) -> Lora {
    let spec =
        |layer, module| SiteSpec { layer, module, rank: 2, alpha: 2.0, rank_stabilized: false };
    let specs =
        layers.iter().flat_map(|&layer| [spec(layer, Module::Query), spec(layer, Module::Output)]);
    let mut lora = Lora::zeros(&backbone.encoder.config, specs.collect());
    let mut noise = noise(7);
    lora.values.fill_with(|| 0.3 * noise());
    lora
}

/// An adapter that was not trained: this LoRA and this head.
pub fn adapter(backbone: &Backbone, lora: Lora, head: Option<Head>, output: Output) -> Adapter {
    let family = if matches!(output, Output::Tags { .. }) { Family::Ner } else { Family::Tc };
    let card = AdapterCard {
        format: AdapterCard::FORMAT,
        family,
        output,
        pooling: Pooling::Mean,
        backbone: backbone.fingerprint().to_string(),
        training: BTreeMap::new(),
    };
    Adapter { lora, head, card }
}

pub fn tags() -> Output {
    Output::Tags { tags: TAGS.map(String::from).to_vec() }
}

/// A head that gives every vector the class `class`.
pub fn constant_head(width: usize, classes: usize, class: usize) -> Head {
    let mut values = vec![0.0; width * classes + classes];
    values[width * classes + class] = 20.0;
    Head { classes, values }
}
