//! Predictions of adapters, also on unusual texts.

use crate::tasks::{TAGS, config_of_steps, names, opinions, sentences, texts, trained};
use espalier_data::Examples;
use espalier_encoder::tags::Entity;
use espalier_encoder::{Adapter, Batch, EncoderError, Head, Output, Pooling, best_class};
use espalier_testing::adapters::{adapter, constant_head, labels, random_lora, tags};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::tiny_bert;
use espalier_testing::random::Random;
use espalier_train::TrainError;
use espalier_train::finetune::{Predictions, predict};
use tempfile::TempDir;

#[test]
fn predictions_are_the_same_after_saving_and_opening() {
    let backbone = tiny_bert();
    for task in [opinions(), names()] {
        let (adapter, _) = trained(&backbone, None, &task, &config_of_steps(10));
        let directory = TempDir::new().unwrap();
        adapter.save(directory.path()).unwrap();
        let opened = Adapter::open(directory.path(), &backbone).unwrap();
        assert_eq!(opened, adapter);
        assert_eq!(
            predict(&backbone, &opened, &task).unwrap(),
            predict(&backbone, &adapter, &task).unwrap()
        );
    }
}

#[test]
fn an_adapter_is_refused_on_another_backbone() {
    let (backbone, directory) = (tiny_bert(), TempDir::new().unwrap());
    let (adapter, _) = trained(&backbone, None, &opinions(), &config_of_steps(1));
    adapter.save(directory.path()).unwrap();
    let mut weights = backbone.weights().to_vec();
    weights[0] += 1e-3;
    let other = backbone.with_weights(weights);
    let error = expect_error(
        Adapter::open(directory.path(), &other),
        &[backbone.fingerprint(), other.fingerprint()],
    );
    assert!(matches!(error, EncoderError::WrongBackbone { .. }));
}

#[test]
fn an_adapter_for_another_kind_of_task_is_refused() {
    let backbone = tiny_bert();
    let lora = || random_lora(&backbone, 1, 7);
    let head = |classes| Some(constant_head(backbone.encoder.width(), classes, 0));
    let tagger = adapter(&backbone, lora(), head(TAGS.len()), tags(&["city"]));
    let labeller = adapter(&backbone, lora(), head(2), labels(&["a", "b"]));
    let headless = adapter(&backbone, lora(), None, Output::Vectors);
    for (adapter, task, part) in [
        (&tagger, opinions(), "finds entities"),
        (&labeller, names(), "labels texts"),
        (&headless, names(), "no head"),
        (&headless, opinions(), "no head"),
    ] {
        let error = predict(&backbone, adapter, &task).unwrap_err();
        assert!(
            matches!(error, TrainError::Mismatch(_)) && error.to_string().contains(part),
            "{error}"
        );
    }
}

#[test]
fn examples_may_have_labels_that_training_did_not_have() {
    let (backbone, config) = (tiny_bert(), config_of_steps(2));
    let (labeller, _) = trained(&backbone, None, &opinions(), &config);
    let unseen = texts(&[("the hotel was good", "neither"), ("", "kind"), ("日本 🙂", "")]);
    let Predictions::Labels(labels) = predict(&backbone, &labeller, &unseen).unwrap() else {
        panic!("no labels")
    };
    assert!(
        labels.len() == 3 && labels.iter().all(|label| label == "kind" || label == "unkind"),
        "{labels:?}"
    );

    let (tagger, _) = trained(&backbone, None, &names(), &config);
    let tag = |word: &str| if word == "flight" { "B-thing" } else { "O" };
    let unseen = sentences(&[vec!["flight", "to", "paris"]], tag);
    let found = entities(predict(&backbone, &tagger, &unseen).unwrap());
    assert!(found.len() == 1 && found[0].iter().all(|entity| entity.label != "thing"), "{found:?}");
}

#[test]
fn without_examples_there_are_no_predictions() {
    let backbone = tiny_bert();
    let tagger = adapter(
        &backbone,
        random_lora(&backbone, 1, 7),
        Some(constant_head(32, TAGS.len(), 0)),
        tags(&["city"]),
    );
    assert_eq!(
        predict(&backbone, &tagger, &Examples::Ner(Vec::new())).unwrap(),
        Predictions::Entities(Vec::new())
    );
}

fn entities(predictions: Predictions) -> Vec<Vec<Entity>> {
    match predictions {
        Predictions::Entities(entities) => entities,
        other => panic!("{other:?}"),
    }
}

/// The entities of a sentence with a head that predicts "B-city" for every token.
fn all_cities(sentence: Vec<&str>) -> Vec<String> {
    let backbone = tiny_bert();
    let head = constant_head(backbone.encoder.width(), TAGS.len(), 1);
    let tagger = adapter(&backbone, random_lora(&backbone, 1, 7), Some(head), tags(&["city"]));
    let task = sentences(&[sentence], |_| "O");
    let characters: Vec<char> = task.texts()[0].chars().collect();
    let found = entities(predict(&backbone, &tagger, &task).unwrap()).remove(0);
    found.iter().map(|entity| characters[entity.start..entity.end].iter().collect()).collect()
}

/// The tiny BERT truncates texts to 48 tokens, two of them special: to 46 words of one token.
#[test]
fn truncated_words_are_not_in_entities() {
    assert_eq!(all_cities(vec!["hotel"; 60]), ["hotel"; 46]);
    // Words of three tokens (z ##o ##o): only the first token of the sixteenth is left.
    assert_eq!(all_cities(vec!["zoo"; 20]), [vec!["zoo"; 15], vec!["z"]].concat());
}

#[test]
fn words_without_tokens_are_not_in_entities() {
    let words = vec!["", "london", "\u{200b}", " ", "paris", "\u{0}", ""];
    assert_eq!(all_cities(words), ["london", "paris"]);
}

/// Words without tokens have no target.
#[test]
fn long_texts_and_words_without_tokens_can_be_trained_on() {
    let (backbone, config) = (tiny_bert(), config_of_steps(3));
    let rows = [vec!["london"; 70], vec!["", "\u{200b}"], vec!["", "paris", "to"]];
    let task = sentences(&rows, |word| if word == "to" { "O" } else { "B-city" });
    let (tagger, losses) = trained(&backbone, None, &task, &config);
    assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    assert_eq!(entities(predict(&backbone, &tagger, &task).unwrap()).len(), 3);

    let long = "hotel ".repeat(200);
    let task = texts(&[(&long, "long"), ("", "short"), ("hotel", "short")]);
    let (_, losses) = trained(&backbone, None, &task, &config);
    assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
}

/// `predict` runs the adapted layers on the cached trunk, in batches of 64 texts. The reference
/// runs all layers, on one text at a time.
#[test]
fn predictions_match_a_reference() {
    let backbone = tiny_bert();
    let (width, classes) = (backbone.encoder.width(), 4);
    let mut random = Random::new(3);
    let head = Head::random_init(width, classes, || 3.0 * random.number());
    let labels: Vec<String> = (0..classes).map(|class| format!("label {class}")).collect();
    let output = Output::Labels { labels: labels.clone() };
    let labeller = adapter(&backbone, random_lora(&backbone, 2, 7), Some(head.clone()), output);
    let words = ["london", "7", "music", "東", ",", "not", "zoo", "good", "é", "river"];
    let rows: Vec<String> =
        (0..100).map(|n| [words[n % 10], words[n / 10], words[n * n % 10]].join(" ")).collect();
    let task = texts(&rows.iter().map(|row| (row.as_str(), "?")).collect::<Vec<_>>());

    let expected: Vec<String> = rows
        .iter()
        .map(|row| {
            let batch = Batch::new([backbone.tokenizer.encode(row).ids.as_slice()]);
            let (mut pooled, mut scores) = (Vec::new(), Vec::new());
            let hidden = backbone.model(Some(&labeller.lora)).encode(&batch);
            Pooling::Mean.forward(&hidden, &batch, width, &mut pooled);
            head.forward(&pooled, &mut scores);
            labels[best_class(&scores).0].clone()
        })
        .collect();
    assert!(
        labels.iter().filter(|label| expected.contains(label)).count() > 1,
        "the head predicts the same label for all texts"
    );
    assert_eq!(predict(&backbone, &labeller, &task).unwrap(), Predictions::Labels(expected));
}
