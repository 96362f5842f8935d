//! Adapters that run together answer as they do alone, bit for bit.

use espalier_encoder::{Adapter, Backbone, LoraConfig, Module, Output, Precision};
use espalier_runtime::{Answer, Request, Runtime};
use espalier_testing::adapters::{labels, random_adapter, random_lora_of, tags};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::tiny_bert;
use espalier_testing::runtime::{NAMES, exact, runtime, text_vector, texts, to_request};
use proptest::prelude::*;

#[test]
fn adapters_answer_together_as_alone() {
    let (runtime, texts) = (runtime(), texts());
    let together = runtime.run(&texts, &NAMES).unwrap();
    assert_eq!(together.len(), texts.len());
    for (i, name) in NAMES.into_iter().enumerate() {
        let alone = runtime.run(&texts, &[name]).unwrap();
        let same = to_request(&together, i) == to_request(&alone, 0);
        assert!(same, "{name} answers differently together with others");
    }
    // The answers are worth comparing: there are entities and both labels, and adapters differ.
    let entities = |answer: &Answer| matches!(answer, Answer::Entities(spans) if !spans.is_empty());
    assert!(together.iter().any(|text| entities(&text.answers[0])));
    let labelled =
        |answer: &Answer, wanted| matches!(answer, Answer::Label { label, .. } if label == wanted);
    for label in ["good", "bad"] {
        assert!(together.iter().any(|text| labelled(&text.answers[1], label)), "{label}");
    }
    assert!(together.iter().any(|text| text.answers[0] != text.answers[4]));
}

#[test]
fn a_batch_is_answered_as_its_texts_one_by_one() {
    let (runtime, texts) = (runtime(), texts());
    let requests: Vec<Request> =
        NAMES.into_iter().map(Request::Adapter).chain([Request::Plain]).collect();
    let together = runtime.run(&texts, &requests).unwrap();
    for (text, answers) in texts.iter().zip(&together) {
        assert_eq!(runtime.run(&[text], &requests).unwrap().remove(0), *answers, "{text:?}");
    }
}

#[test]
fn more_rows_than_share_a_pass_answer_as_alone() {
    let backbone = tiny_bert();
    let runtime = Runtime::new(backbone.clone());
    let names: Vec<String> = (0..70).map(|n| n.to_string()).collect();
    for (n, name) in names.iter().enumerate() {
        let lora = shape(n % 4, vec![Module::ALL[n % 6]], 1 + n % 5);
        let lora = random_lora_of(&backbone, &lora, n as u64);
        runtime.attach_lora(name, &lora).unwrap();
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let texts = texts();
    let together = runtime.run(&texts, &names).unwrap();
    for (i, name) in names.into_iter().enumerate() {
        let alone = runtime.run(&texts, &[name]).unwrap();
        let same = to_request(&together, i) == to_request(&alone, 0);
        assert!(same, "{name} answers differently together with others");
    }
}

fn shape(layers: usize, modules: Vec<Module>, rank: usize) -> LoraConfig {
    LoraConfig { layers, modules, rank, alpha: rank as f32 }
}

/// An adapter on any number of layers, none included, of any rank, modules and output.
fn any_adapter(backbone: Backbone) -> impl Strategy<Value = Adapter> {
    let outputs = [tags(&["a", "b"]), labels(&["x", "y", "z"]), Output::Vectors];
    let modules = prop::sample::subsequence(Module::ALL.to_vec(), 1..=6);
    (0usize..=3, modules, 1usize..6, prop::sample::select(outputs.to_vec()), any::<u64>()).prop_map(
        move |(layers, modules, rank, output, seed)| {
            let lora = random_lora_of(&backbone, &shape(layers, modules, rank), seed);
            random_adapter(&backbone, lora, output, seed ^ 1)
        },
    )
}

fn check_mix(backbone: &Backbone, adapters: &[Adapter], texts: &[String], asked: &[usize]) {
    let runtime = Runtime::new(backbone.clone());
    let names: Vec<String> = (0..adapters.len()).map(|n| format!("adapter {n}")).collect();
    for (name, adapter) in names.iter().zip(adapters) {
        runtime.attach_adapter(name, adapter.clone()).unwrap();
    }
    // An index beyond the adapters asks for the plain vector.
    let request =
        |&index: &usize| names.get(index).map_or(Request::Plain, |name| Request::Adapter(name));
    let requests: Vec<Request> = asked.iter().map(request).collect();
    let together = runtime.run(texts, &requests).unwrap();
    for (text, found) in texts.iter().zip(&together) {
        for ((index, &request), found) in asked.iter().zip(&requests).zip(&found.answers) {
            let alone = runtime.run(&[text], &[request]).unwrap().remove(0).answers.remove(0);
            assert_eq!(exact(found), exact(&alone), "{request:?} on {text:?}");
            if let Answer::Vector(found) = found {
                let lora = adapters.get(*index).map(|adapter| &adapter.lora);
                let expected = text_vector(backbone, lora, text);
                assert_eq!(bits(found), bits(&expected), "{request:?} on {text:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_mix_answers_as_alone(
        adapters in prop::collection::vec(any_adapter(tiny_bert()), 1..8),
        texts in prop::collection::vec(
            "(london|music|Zoé|🙂|東京|not|[a-z]{1,3}| ){0,20}", 0..12
        ),
        asked in prop::collection::vec(0usize..9, 0..12),
    ) {
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            check_mix(&tiny_bert().with_precision(precision), &adapters, &texts, &asked);
        }
    }
}
