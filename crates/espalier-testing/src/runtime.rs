//! Runtimes of the tiny BERT with adapters, texts for them, and their answers bit for bit.

use crate::adapters::{adapter, constant_head, labels, random_adapter, random_lora, tags};
use crate::compare::bits;
use crate::fixtures::tiny_bert;
use espalier_encoder::{Batch, Lora, Output, TextEncoder};
use espalier_runtime::{Answer, EntitySpan, Runtime, TextAnswers};

/// Adapters on the last layer, the last two and all three, and one that adapts nothing.
pub const NAMES: [&str; 5] = ["things", "opinions", "vectors", "plain", "more things"];

/// A runtime with the adapters of these names.
pub fn runtime() -> Runtime {
    let backbone = tiny_bert();
    let (thing, opinion) = (tags(&["thing"]), labels(&["good", "bad"]));
    let outputs =
        [(1, thing.clone()), (2, opinion.clone()), (3, Output::Vectors), (0, opinion), (2, thing)];
    let runtime = Runtime::new(backbone.clone());
    for (name, (layers, output)) in NAMES.into_iter().zip(outputs) {
        let lora = random_lora(&backbone, layers, layers as u64);
        runtime.attach_adapter(name, random_adapter(&backbone, lora, output, 1)).unwrap();
    }
    runtime
}

/// A runtime with one adapter, "constant", that gives every token the tag or every text the label
/// of class `class`.
pub fn constant(output: Output, class: usize) -> Runtime {
    let backbone = tiny_bert();
    let head = constant_head(backbone.encoder.width(), output.classes().unwrap(), class);
    let adapter = adapter(&backbone, random_lora(&backbone, 1, 1), Some(head), output);
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

/// The pooled token vectors of one text by the encoder's own forward, not normalised.
pub fn text_vector(encoder: &TextEncoder, lora: Option<&Lora>, text: &str) -> Vec<f32> {
    let batch = Batch::new([encoder.tokenizer.encode(text).ids.as_slice()]);
    let (hidden, mut vector) = (encoder.model(lora).encode(&batch), Vec::new());
    encoder.text_vectors.pooling.forward(&hidden, &batch, encoder.encoder.width(), &mut vector);
    vector
}

/// Everything about an answer, floats as bit patterns.
pub fn exact(answer: &Answer) -> String {
    let span = |span: &EntitySpan| {
        let EntitySpan { label, start, end, text, .. } = span;
        format!("{label} {} {start}..{end} {text}; ", span.score.to_bits())
    };
    match answer {
        Answer::Entities(spans) => spans.iter().map(span).collect(),
        Answer::Label { label, score, scores } => {
            let scores: Vec<_> =
                scores.iter().map(|one| (&one.label, one.score.to_bits())).collect();
            format!("{label} {} {scores:?}", score.to_bits())
        }
        Answer::Vector(vector) => format!("{:?}", bits(vector)),
    }
}

/// The answers for all texts to one request, bit for bit.
pub fn to_request(answers: &[TextAnswers], request: usize) -> Vec<String> {
    let answer =
        |text: &TextAnswers| format!("{} {}", text.truncated, exact(&text.answers[request]));
    answers.iter().map(answer).collect()
}
