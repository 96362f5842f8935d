//! Answers of several adapters on one tiny BERT: the same together as alone, and where in the text they point.

#[path = "../../espalier-encoder/tests/common/mod.rs"]
mod common;

use common::{bits, copy_of, edit_json, fixture, tiny_bert};
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{
    Adapter, AdapterCard, Backbone, Batch, EncoderError, Family, Head, Lora, Module, Output, Pooling,
};
use espalier_runtime::{Answer, EntitySpan, Runtime, RuntimeError, TextAnswers};
use serde_json::json;
use std::collections::BTreeMap;
use tempfile::TempDir;

/// Numbers from [-1, 1) that look random, so that adapters and heads made of them do something.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        // Knuth's linear congruential generator (MMIX); its high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// An adapter from layer `first` up, of noise.
fn noisy_lora(backbone: &Backbone, first: usize, seed: u64) -> Lora {
    let spec = |layer, module| SiteSpec { layer, module, rank: 2, alpha: 2.0, rank_stabilized: false };
    let specs = (first..3).flat_map(|layer| [spec(layer, Module::Value), spec(layer, Module::Intermediate)]);
    let mut lora = Lora::zeros(&backbone.encoder.config, specs.collect());
    let mut noise = noise(seed);
    lora.values.fill_with(|| 0.3 * noise());
    lora
}

fn tags() -> Output {
    Output::Tags { tags: ["O", "B-thing", "I-thing"].map(String::from).to_vec() }
}

fn labels() -> Output {
    Output::Labels { labels: ["good", "bad"].map(String::from).to_vec() }
}

/// The directory of an adapter for this backbone.
fn saved(backbone: &Backbone, lora: Lora, head: Option<Head>, output: Output) -> TempDir {
    let family = if matches!(output, Output::Tags { .. }) { Family::Ner } else { Family::Tc };
    let (format, pooling, training) = (AdapterCard::FORMAT, Pooling::Mean, BTreeMap::new());
    let card = AdapterCard { format, family, output, pooling, backbone: backbone.fingerprint().to_string(), training };
    let directory = TempDir::new().unwrap();
    Adapter { lora, head, card }.save(directory.path()).unwrap();
    directory
}

fn attach(runtime: &mut Runtime, name: &str, lora: Lora, head: Option<Head>, output: Output) {
    let directory = saved(runtime.backbone(), lora, head, output);
    runtime.attach(name, directory.path()).unwrap();
}

/// Adapters on the last layer, the last two and all three, and one that adapts nothing.
const NAMES: [&str; 5] = ["things", "opinions", "vectors", "plain", "more things"];

fn runtime() -> Runtime {
    let mut runtime = Runtime::new(tiny_bert());
    let lora = |first| noisy_lora(&tiny_bert(), first, first as u64);
    let head = |output: &Output| {
        let mut noise = noise(9);
        Some(Head::fresh(32, output.classes().unwrap(), || 3.0 * noise()))
    };
    attach(&mut runtime, "things", lora(2), head(&tags()), tags());
    attach(&mut runtime, "opinions", lora(1), head(&labels()), labels());
    attach(&mut runtime, "vectors", lora(0), None, Output::Vectors);
    attach(&mut runtime, "plain", lora(3), head(&labels()), labels());
    attach(&mut runtime, "more things", lora(1), head(&tags()), tags());
    runtime
}

/// A runtime with one adapter, "constant", that gives every token the tag or every text the label of class `class`.
fn constant(output: Output, class: usize) -> Runtime {
    let mut runtime = Runtime::new(tiny_bert());
    let classes = output.classes().unwrap();
    let mut values = vec![0.0; 33 * classes];
    values[32 * classes + class] = 20.0;
    let lora = noisy_lora(runtime.backbone(), 2, 1);
    attach(&mut runtime, "constant", lora, Some(Head { classes, values }), output);
    runtime
}

/// More texts than go through the encoder at a time.
fn texts() -> Vec<String> {
    let words = ["london", "7", "music", "東京", "!", "not", "zoo", "good", "Café", "🙂"];
    let mut texts: Vec<String> = (0..70).map(|n| [words[n % 10], words[n / 10], words[n * n % 10]].join(" ")).collect();
    texts[3] = String::new();
    texts[40] = "weather ".repeat(99);
    texts
}

/// Everything about answers, floats as bit patterns.
fn exact(answers: &[TextAnswers]) -> Vec<String> {
    let of_one = |answer: &Answer| match answer {
        Answer::Entities(spans) => spans
            .iter()
            .map(|span| format!("{} {} {}..{} {}; ", span.label, span.score.to_bits(), span.start, span.end, span.text))
            .collect(),
        Answer::Label { label, score } => format!("{label} {}", score.to_bits()),
        Answer::Vector(vector) => format!("{:?}", bits(vector)),
    };
    answers
        .iter()
        .map(|text| format!("{} {:?}", text.truncated, text.answers.iter().map(of_one).collect::<Vec<String>>()))
        .collect()
}

#[test]
fn adapters_answer_together_as_alone() {
    let (runtime, texts) = (runtime(), texts());
    let together = runtime.run(&texts, &NAMES).unwrap();
    assert_eq!(together.len(), texts.len());
    for (i, name) in NAMES.into_iter().enumerate() {
        let alone = runtime.run(&texts, &[name]).unwrap();
        let picked = together.iter().map(|text| TextAnswers { answers: vec![text.answers[i].clone()], ..text.clone() });
        assert!(exact(&picked.collect::<Vec<_>>()) == exact(&alone), "{name} answers differently in company");
    }
    // The answers are worth comparing: there are entities, there are both labels, and adapters differ.
    let entities = |text: &TextAnswers| matches!(&text.answers[0], Answer::Entities(spans) if !spans.is_empty());
    assert!(together.iter().any(entities));
    let says = |text: &TextAnswers, wanted| matches!(&text.answers[1], Answer::Label { label, .. } if label == wanted);
    assert!(["good", "bad"].iter().all(|label| together.iter().any(|text| says(text, label))));
    assert!(together.iter().any(|text| text.answers[0] != text.answers[4]));
}

#[test]
fn texts_are_answered_together_as_one_by_one() {
    let (runtime, texts) = (runtime(), texts());
    let together = runtime.run(&texts, &NAMES).unwrap();
    let one_by_one: Vec<TextAnswers> = texts.iter().flat_map(|text| runtime.run(&[text], &NAMES).unwrap()).collect();
    assert!(exact(&together) == exact(&one_by_one));
    let one_by_one: Vec<f32> = texts.iter().flat_map(|text| runtime.encode(&[text], None)).collect();
    assert_eq!(bits(&runtime.encode(&texts, None)), bits(&one_by_one));
}

#[test]
fn answers_come_in_the_order_asked_for() {
    let (runtime, texts) = (runtime(), texts());
    let forth = runtime.run(&texts, &["things", "opinions"]).unwrap();
    let mut back = runtime.run(&texts, &["opinions", "things"]).unwrap();
    back.iter_mut().for_each(|text| text.answers.reverse());
    assert_eq!(back, forth);
    let twice = runtime.run(&texts, &["opinions", "opinions"]).unwrap();
    assert!(twice.iter().all(|text| text.answers.len() == 2 && text.answers[0] == text.answers[1]));
}

fn entities(runtime: &Runtime, text: &str) -> Vec<EntitySpan> {
    let answer = runtime.run(&[text], &["constant"]).unwrap().remove(0).answers.remove(0);
    let Answer::Entities(spans) = answer else { panic!("{answer:?}") };
    // Whatever else holds, the text of an entity is that slice of the text.
    for span in &spans {
        let slice: String = text.chars().skip(span.start).take(span.end - span.start).collect();
        assert_eq!(span.text, slice);
    }
    spans
}

/// Accents and capitals are gone in the tokens, an emoji is one unknown token, spaces are in none; none of it moves a span.
#[test]
fn entities_point_into_the_original_text() {
    let runtime = constant(tags(), 1); // every word is a thing of its own
    for (text, expected) in [
        ("london", vec![("london", 0)]),
        ("  Café  in PARIS", vec![("Café", 2), ("in", 8), ("PARIS", 11)]),
        ("Zoé's 🙂 東京!", vec![("Zoé", 0), ("'", 3), ("s", 4), ("🙂", 6), ("東", 8), ("京", 9), ("!", 10)]),
        // An accent of its own character is in no token: inside a word it is spanned, after its last letter it is not.
        ("cafe\u{301}s cafe\u{301}", vec![("cafe\u{301}s", 0), ("cafe", 7)]),
        ("a\tb\n\nc", vec![("a", 0), ("b", 2), ("c", 5)]),
        ("\u{200b}new \u{200b}york", vec![("new", 1), ("york", 6)]),
    ] {
        let found = entities(&runtime, text);
        let spans: Vec<(&str, usize)> = found.iter().map(|span| (span.text.as_str(), span.start)).collect();
        assert_eq!(spans, expected, "{text:?}");
        assert!(found.iter().all(|span| span.label == "thing" && span.score > 0.999), "{found:?}");
    }
}

#[test]
fn an_entity_spans_its_words_and_what_is_between_them() {
    let runtime = constant(tags(), 2); // every word continues: the first begins, for want of something to continue
    let found = entities(&runtime, " Café  🙂 (new   york) ");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].start, found[0].end, found[0].text.as_str()), (1, 21, "Café  🙂 (new   york)"));
    assert_eq!(entities(&constant(tags(), 0), "london"), []);
}

/// The tiny BERT takes 48 tokens, two of them special.
#[test]
fn what_is_too_long_is_cut_and_said_to_be() {
    let runtime = constant(tags(), 1);
    for (words, truncated, read) in [(46, false, 46), (47, true, 46), (500, true, 46)] {
        let text = "hotel ".repeat(words);
        assert_eq!(runtime.run(&[&text], &["constant"]).unwrap()[0].truncated, truncated, "{words} words");
        assert_eq!(entities(&runtime, &text).len(), read, "{words} words");
    }
}

#[test]
fn labels_come_with_their_probability() {
    // Scores 0 and 20: the probability of the second is 1 / (1 + e^-20).
    let answers = constant(labels(), 1).run(&["it was"], &["constant"]).unwrap();
    let Answer::Label { label, score } = &answers[0].answers[0] else { panic!("{answers:?}") };
    assert!(label == "bad" && (score - 1.0).abs() < 1e-6, "{answers:?}");
}

#[test]
fn empty_texts_and_empty_requests_have_answers() {
    let (runtime, none) = (runtime(), Vec::<String>::new());
    assert_eq!(runtime.run(&none, &NAMES).unwrap(), []);
    assert_eq!(runtime.run(&none, &[]).unwrap(), []);
    assert_eq!(runtime.encode(&none, None), [0.0; 0]);
    assert_eq!(runtime.run(&["london"], &[]).unwrap(), [TextAnswers { truncated: false, answers: Vec::new() }]);
    for text in ["", "   ", "\u{200b}"] {
        let answers = runtime.run(&[text], &NAMES).unwrap().remove(0);
        assert!(!answers.truncated && answers.answers.len() == NAMES.len());
        assert_eq!(answers.answers[0], Answer::Entities(Vec::new()), "{text:?}");
        assert!(
            matches!(&answers.answers[1], Answer::Label { score, .. } if (0.5..=1.0).contains(score)),
            "{answers:?}"
        );
        assert!(matches!(&answers.answers[2], Answer::Vector(vector) if vector.iter().all(|x| x.is_finite())));
    }
}

#[test]
fn adapters_that_are_not_attached_are_refused() {
    let error = runtime().run(&["london"], &["things", "nothings"]).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, RuntimeError::UnknownAdapter { name, .. } if name == "nothings"), "{message}");
    assert!(message.contains("more things, opinions, plain, things, vectors"), "{message}");
}

#[test]
fn adapters_of_another_backbone_are_refused() {
    let mut weights = tiny_bert().weights().to_vec();
    weights[0] += 1e-3;
    let mut other = Runtime::new(tiny_bert().with_weights(weights));
    let directory = saved(&tiny_bert(), noisy_lora(&tiny_bert(), 2, 1), None, Output::Vectors);
    let error = other.attach("vectors", directory.path()).unwrap_err();
    assert!(matches!(error, RuntimeError::Encoder(EncoderError::WrongBackbone { .. })), "{error}");
    assert!(matches!(other.run(&["london"], &["vectors"]), Err(RuntimeError::UnknownAdapter { .. })));
}

#[test]
fn an_adapter_of_the_same_name_takes_the_place_of_the_other() {
    let mut runtime = constant(labels(), 1);
    let head = Head { classes: 2, values: [vec![0.0; 64], vec![1.0, 0.0]].concat() };
    let lora = noisy_lora(runtime.backbone(), 2, 1);
    attach(&mut runtime, "constant", lora, Some(head), labels());
    let answers = runtime.run(&["it was"], &["constant"]).unwrap();
    assert!(matches!(&answers[0].answers[0], Answer::Label { label, .. } if label == "good"), "{answers:?}");
}

/// Mean of the token vectors of each text, one text at a time.
fn means(backbone: &Backbone, texts: &[String], lora: Option<&Lora>) -> Vec<Vec<f32>> {
    let of_one = |text: &String| {
        let batch = Batch::new([backbone.tokenizer.encode(text).ids.as_slice()]);
        let mut vector = Vec::new();
        Pooling::Mean.forward(&backbone.model(lora).encode(&batch), &batch, backbone.encoder.width(), &mut vector);
        vector
    };
    texts.iter().map(of_one).collect()
}

#[test]
fn encode_gives_the_models_own_text_vectors() {
    let (runtime, texts) = (Runtime::open(&fixture("tiny-bert")).unwrap(), texts());
    let lora = noisy_lora(runtime.backbone(), 1, 4);
    for lora in [None, Some(&lora)] {
        let expected = means(runtime.backbone(), &texts, lora).concat();
        assert_eq!(bits(&runtime.encode(&texts, lora)), bits(&expected));
    }
    assert_ne!(runtime.encode(&texts, None), runtime.encode(&texts, Some(&lora)));
}

#[test]
fn encode_scales_to_length_one_where_the_model_says_so() {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("modules.json"), |modules| {
        let normalize =
            json!({"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"});
        modules.as_array_mut().unwrap().push(normalize);
    });
    let (mut runtime, texts) = (Runtime::open(directory.path()).unwrap(), texts());
    let vectors = runtime.encode(&texts, None);
    for (vector, mean) in vectors.chunks_exact(32).zip(means(runtime.backbone(), &texts, None)) {
        let norm = mean.iter().map(|x| (*x as f64).powi(2)).sum::<f64>().sqrt();
        assert!(vector.iter().zip(&mean).all(|(x, mean)| (*x as f64 - *mean as f64 / norm).abs() < 1e-6));
    }
    // An adapter without a head answers with these vectors.
    let lora = noisy_lora(runtime.backbone(), 1, 4);
    attach(&mut runtime, "vectors", lora.clone(), None, Output::Vectors);
    let answers = runtime.run(&texts, &["vectors"]).unwrap();
    for (answers, vector) in answers.iter().zip(runtime.encode(&texts, Some(&lora)).chunks_exact(32)) {
        assert!(matches!(&answers.answers[0], Answer::Vector(answer) if bits(answer) == bits(vector)));
    }
}
