//! The content of answers: spans in the text, probabilities, vectors; and their order.

use espalier_encoder::{Compute, Lora, Output};
use espalier_runtime::{Answer, EntitySpan, Request, Runtime, RuntimeError, TextAnswers};
use espalier_testing::adapters::{labels, random_adapter, random_lora, tags};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::{copy_of, edit_json, fixture};
use espalier_testing::runtime::{NAMES, constant, runtime, text_vector, texts};
use serde_json::json;

fn opinions() -> Output {
    labels(&["good", "bad"])
}

fn things() -> Output {
    tags(&["thing"])
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
    let repeated = runtime.run(&["zoo", "7", "zoo"], &["things"]).unwrap();
    let single = runtime.run(&["zoo", "7"], &["things"]).unwrap();
    assert_eq!(repeated, [single[0].clone(), single[1].clone(), single[0].clone()]);
}

/// Finite weights may give results that are not finite.
#[test]
fn answers_that_are_not_finite_are_an_error_that_names_the_adapter() {
    let runtime = runtime();
    let mut lora = random_lora(runtime.backbone(), 2, 3);
    lora.values.fill(1e20);
    for (name, output) in [("large tags", things()), ("large labels", opinions())] {
        runtime
            .attach_adapter(name, random_adapter(runtime.backbone(), lora.clone(), output, 5))
            .unwrap();
    }
    runtime.attach_lora("large", &lora).unwrap();
    for name in ["large tags", "large labels", "large"] {
        let error = runtime.run(&["two hotels"], &["opinions", name]).unwrap_err();
        assert!(
            matches!(&error, RuntimeError::NotFinite { name: found } if found == name),
            "{error}"
        );
    }
    runtime.run(&["two hotels"], &["opinions", "things"]).unwrap();
}

fn entities(runtime: &Runtime, text: &str) -> Vec<EntitySpan> {
    let answer = runtime.run(&[text], &["constant"]).unwrap().remove(0).answers.remove(0);
    let Answer::Entities(spans) = answer else { panic!("{answer:?}") };
    // The text of an entity is always that slice of the text.
    for span in &spans {
        let slice: String = text.chars().skip(span.start).take(span.end - span.start).collect();
        assert_eq!(span.text, slice);
    }
    spans
}

/// Tokens have neither accents nor capitals, an emoji is one unknown token, and spaces are in none;
/// none of this moves a span.
#[test]
fn entities_point_into_the_original_text() {
    let runtime = constant(things(), 1); // every word is a thing of its own
    for (text, expected) in [
        ("london", vec![("london", 0)]),
        ("  Café  in PARIS", vec![("Café", 2), ("in", 8), ("PARIS", 11)]),
        (
            "Zoé's 🙂 東京!",
            vec![("Zoé", 0), ("'", 3), ("s", 4), ("🙂", 6), ("東", 8), ("京", 9), ("!", 10)],
        ),
        // An accent of its own character is in no token: inside a word it is spanned, after its
        // last letter it is not.
        ("cafe\u{301}s cafe\u{301}", vec![("cafe\u{301}s", 0), ("cafe", 7)]),
        ("a\tb\n\nc", vec![("a", 0), ("b", 2), ("c", 5)]),
        ("\u{200b}new \u{200b}york", vec![("new", 1), ("york", 6)]),
    ] {
        let found = entities(&runtime, text);
        let spans: Vec<(&str, usize)> =
            found.iter().map(|span| (span.text.as_str(), span.start)).collect();
        assert_eq!(spans, expected, "{text:?}");
        assert!(found.iter().all(|span| span.label == "thing" && span.score > 0.999), "{found:?}");
    }
}

#[test]
fn an_entity_spans_its_words_and_what_is_between_them() {
    // Every word continues an entity; the first one, with nothing to continue, begins one.
    let runtime = constant(things(), 2);
    let found = entities(&runtime, " Café  🙂 (new   york) ");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].start, found[0].end, found[0].text.as_str()),
        (1, 21, "Café  🙂 (new   york)")
    );
    assert_eq!(entities(&constant(things(), 0), "london"), []);
}

/// The tiny BERT takes 48 tokens, two of them special.
#[test]
fn texts_that_are_too_long_are_truncated_and_marked() {
    let runtime = constant(things(), 1);
    for (words, truncated, read) in [(46, false, 46), (47, true, 46), (500, true, 46)] {
        let text = "hotel ".repeat(words);
        assert_eq!(
            runtime.run(&[&text], &["constant"]).unwrap()[0].truncated,
            truncated,
            "{words} words"
        );
        assert_eq!(entities(&runtime, &text).len(), read, "{words} words");
    }
}

#[test]
fn labels_come_with_their_probability() {
    // Scores 0 and 20: the probability of the second is 1 / (1 + e^-20).
    let answers = constant(opinions(), 1).run(&["it was"], &["constant"]).unwrap();
    let Answer::Label { label, score, scores } = &answers[0].answers[0] else {
        panic!("{answers:?}")
    };
    assert!(label == "bad" && (score - 1.0).abs() < 1e-6, "{answers:?}");
    let names: Vec<&str> = scores.iter().map(|one| one.label.as_str()).collect();
    assert_eq!(names, ["good", "bad"]);
    assert!(
        (scores[0].score / (-20f32).exp() - 1.0).abs() < 1e-4 && scores[1].score == *score,
        "{answers:?}"
    );
}

#[test]
fn empty_texts_and_empty_requests_have_answers() {
    let (runtime, none) = (runtime(), Vec::<String>::new());
    assert_eq!(runtime.run(&none, &NAMES).unwrap(), []);
    let nothing: [Request; 0] = [];
    assert_eq!(runtime.run(&none, &nothing).unwrap(), []);
    assert_eq!(
        runtime.run(&["london"], &nothing).unwrap(),
        [TextAnswers { truncated: false, answers: Vec::new() }]
    );
    for text in ["", "   ", "\u{200b}"] {
        let answers = runtime.run(&[text], &NAMES).unwrap().remove(0);
        assert!(!answers.truncated && answers.answers.len() == NAMES.len());
        assert_eq!(answers.answers[0], Answer::Entities(Vec::new()), "{text:?}");
        let [_, Answer::Label { score, .. }, Answer::Vector(vector), ..] = &answers.answers[..]
        else {
            panic!("{answers:?}")
        };
        assert!((0.5..=1.0).contains(score), "{answers:?}");
        assert!(vector.iter().all(|x| x.is_finite()), "{answers:?}");
    }
}

/// They are probabilities.
#[test]
fn scores_of_all_labels_sum_to_one() {
    for text in runtime().run(&texts(), &["opinions"]).unwrap() {
        let Answer::Label { label, score, scores } = &text.answers[0] else { panic!("{text:?}") };
        assert!((scores.iter().map(|one| one.score).sum::<f32>() - 1.0).abs() < 1e-6, "{text:?}");
        assert!(scores.iter().all(|one| one.score <= *score), "{text:?}");
        assert!(scores.iter().any(|one| one.label == *label && one.score == *score), "{text:?}");
    }
}

/// What the encoder's own forward gives, one text at a time.
fn expected(runtime: &Runtime, texts: &[String], lora: Option<&Lora>) -> Vec<Vec<f32>> {
    texts.iter().map(|text| text_vector(runtime.backbone(), lora, text)).collect()
}

/// The vectors that a runtime gives for all texts.
fn vectors(runtime: &Runtime, texts: &[String], request: Request) -> Vec<Vec<f32>> {
    let answers = runtime.run(texts, &[request]).unwrap().into_iter().flat_map(|text| text.answers);
    let vectors = answers.map(|answer| match answer {
        Answer::Vector(vector) => vector,
        answer => panic!("{answer:?}"),
    });
    vectors.collect()
}

#[test]
fn vectors_are_those_of_the_encoder() {
    let (runtime, texts) = (Runtime::open(&fixture("tiny-bert")).unwrap(), texts());
    let lora = random_lora(runtime.backbone(), 2, 4);
    runtime.attach_lora("lora", &lora).unwrap();
    for (request, lora) in [(Request::Plain, None), (Request::Adapter("lora"), Some(&lora))] {
        let expected = expected(&runtime, &texts, lora).concat();
        assert_eq!(
            bits(&vectors(&runtime, &texts, request).concat()),
            bits(&expected),
            "{request:?}"
        );
    }
}

#[test]
fn vectors_have_length_one_if_the_model_normalises_them() {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("modules.json"), |modules| {
        let kind = "sentence_transformers.models.Normalize";
        let normalize = json!({"idx": 2, "name": "2", "path": "2_Normalize", "type": kind});
        modules.as_array_mut().unwrap().push(normalize);
    });
    let (runtime, texts) = (Runtime::open(directory.path()).unwrap(), texts());
    let lora = random_lora(runtime.backbone(), 2, 4);
    let adapter = random_adapter(runtime.backbone(), lora.clone(), Output::Vectors, 1);
    runtime.attach_adapter("vectors", adapter).unwrap();
    for (request, lora) in [(Request::Plain, None), (Request::Adapter("vectors"), Some(&lora))] {
        let pooled = expected(&runtime, &texts, lora);
        for (vector, mean) in vectors(&runtime, &texts, request).iter().zip(pooled) {
            let norm = mean.iter().map(|x| (*x as f64).powi(2)).sum::<f64>().sqrt();
            let close = |(x, mean): (&f32, &f32)| (*x as f64 - *mean as f64 / norm).abs() < 1e-6;
            assert!(vector.iter().zip(&mean).all(close));
        }
    }
}

#[test]
fn the_precision_is_the_callers_choice() {
    let (directory, texts) = (fixture("tiny-bert"), texts());
    let by = |compute| {
        vectors(&Runtime::open_with(&directory, compute).unwrap(), &texts, Request::Plain).concat()
    };
    let (f32, bf16) = (by(Compute::F32), by(Compute::Bf16));
    assert_eq!(
        bits(&f32),
        bits(&vectors(&Runtime::open(&directory).unwrap(), &texts, Request::Plain).concat())
    );
    assert!(f32 != bf16 && f32.iter().zip(&bf16).all(|(a, b)| (a - b).abs() < 0.1));
}
