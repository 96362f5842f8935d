//! What the tests share: adapters of noise for one tiny BERT, texts, and answers to the bit.

#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]

#[path = "../../../espalier-encoder/tests/common/mod.rs"]
pub mod common;

use common::{bits, tiny_bert};
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{
    Adapter, AdapterCard, Family, Head, Lora, Module, Output, Pooling, TextEncoder,
};
use espalier_runtime::{Answer, Runtime, TextAnswers};
use std::collections::BTreeMap;
use tempfile::TempDir;

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

/// An adapter of noise with one rank on some modules of the layers from `first` up; the tiny BERT
/// has three.
pub fn noisy_lora(
    backbone: &TextEncoder,
    first: usize,
    modules: &[Module],
    rank: usize,
    seed: u64,
) -> Lora {
    let spec = |layer, module| SiteSpec {
        layer,
        module,
        rank,
        alpha: rank as f32,
        rank_stabilized: false,
    };
    let specs = (first..3).flat_map(|layer| modules.iter().map(move |&module| spec(layer, module)));
    let mut lora = Lora::zeros(&backbone.encoder.config, specs.collect());
    let mut noise = noise(seed);
    lora.values.fill_with(|| 0.3 * noise());
    lora
}

/// An adapter of noise on two modules.
pub fn plain_lora(backbone: &TextEncoder, first: usize, seed: u64) -> Lora {
    noisy_lora(backbone, first, &[Module::Value, Module::Intermediate], 2, seed)
}

pub fn tags(names: &[&str]) -> Output {
    let tags = names.iter().flat_map(|name| [format!("B-{name}"), format!("I-{name}")]);
    Output::Tags { tags: std::iter::once("O".to_string()).chain(tags).collect() }
}

pub fn labels(names: &[&str]) -> Output {
    Output::Labels { labels: names.iter().map(|name| name.to_string()).collect() }
}

/// An adapter with a head of noise where the output asks for one.
pub fn adapter(backbone: &TextEncoder, lora: Lora, output: Output, seed: u64) -> Adapter {
    let mut noise = noise(seed);
    let head = output.classes().map(|classes| Head::random_init(32, classes, || 3.0 * noise()));
    with_head(backbone, lora, head, output)
}

pub fn with_head(
    backbone: &TextEncoder,
    lora: Lora,
    head: Option<Head>,
    output: Output,
) -> Adapter {
    let family = if matches!(output, Output::Tags { .. }) { Family::Ner } else { Family::Tc };
    let (format, pooling, training) = (AdapterCard::FORMAT, Pooling::Mean, BTreeMap::new());
    let card = AdapterCard {
        format,
        family,
        output,
        pooling,
        backbone: backbone.fingerprint().to_string(),
        training,
    };
    Adapter { lora, head, card }
}

/// The adapter's directory.
pub fn saved(adapter: &Adapter) -> TempDir {
    let directory = TempDir::new().unwrap();
    adapter.save(directory.path()).unwrap();
    directory
}

/// Adapters on the last layer, the last two and all three, and one that adapts nothing.
pub const NAMES: [&str; 5] = ["things", "opinions", "vectors", "plain", "more things"];

/// A tiny BERT with the adapters of these names.
pub fn runtime() -> Runtime {
    let backbone = tiny_bert();
    let (thing, opinion) = (tags(&["thing"]), labels(&["good", "bad"]));
    let outputs =
        [(2, thing.clone()), (1, opinion.clone()), (0, Output::Vectors), (3, opinion), (1, thing)];
    let runtime = Runtime::new(backbone.clone());
    for (name, (first, output)) in NAMES.into_iter().zip(outputs) {
        let lora = plain_lora(&backbone, first, first as u64);
        runtime.attach_adapter(name, adapter(&backbone, lora, output, 9)).unwrap();
    }
    runtime
}

/// A runtime with one adapter, "constant", that gives every token the tag or every text the label
/// of class `class`.
pub fn constant(output: Output, class: usize) -> Runtime {
    let backbone = tiny_bert();
    let classes = output.classes().unwrap();
    let mut values = vec![0.0; 33 * classes];
    values[32 * classes + class] = 20.0;
    let adapter =
        with_head(&backbone, plain_lora(&backbone, 2, 1), Some(Head { classes, values }), output);
    let runtime = Runtime::new(backbone);
    runtime.attach_adapter("constant", adapter).unwrap();
    runtime
}

/// More tokens than go through the encoder at a time, with an empty text, a long one and
/// repetitions.
pub fn texts() -> Vec<String> {
    let words = ["london", "7", "music", "東京", "!", "not", "zoo", "good", "Café", "🙂"];
    let mut texts: Vec<String> =
        (0..300).map(|n| [words[n % 10], words[n / 30], words[n * n % 10]].join(" ")).collect();
    texts[3] = String::new();
    texts[40] = "weather ".repeat(99);
    texts
}

/// Everything about an answer, floats as bit patterns.
pub fn exact(answer: &Answer) -> String {
    match answer {
        Answer::Entities(spans) => spans
            .iter()
            .map(|span| {
                format!(
                    "{} {} {}..{} {}; ",
                    span.label,
                    span.score.to_bits(),
                    span.start,
                    span.end,
                    span.text
                )
            })
            .collect(),
        Answer::Label { label, score, scores } => {
            let scores: Vec<_> =
                scores.iter().map(|one| (&one.label, one.score.to_bits())).collect();
            format!("{label} {} {scores:?}", score.to_bits())
        }
        Answer::Vector(vector) => format!("{:?}", bits(vector)),
    }
}

/// All answers to one request, to the bit.
pub fn to_request(answers: &[TextAnswers], request: usize) -> Vec<String> {
    answers
        .iter()
        .map(|text| format!("{} {}", text.truncated, exact(&text.answers[request])))
        .collect()
}
