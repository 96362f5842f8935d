//! espalier.json, the card of an adapter, and the files that belong to it.

use espalier_encoder::{Adapter, Backbone, EncoderError, Head, Lora, LoraConfig};
use espalier_testing::adapters::{CONFIG, WEIGHTS, card, labels, token_classifier};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::{Edit, edit_json, fixture, tiny_bert};
use serde_json::{Value, json};
use std::fs;

#[test]
fn an_adapter_without_a_card_is_refused() {
    let backbone = tiny_bert();
    let error = expect_error(
        Adapter::open(&fixture("peft-token-cls"), &backbone),
        &["no espalier.json", "docs/formats.md"],
    );
    assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
}

#[test]
fn an_adapter_of_another_backbone_is_refused() {
    let backbone = tiny_bert();
    let other = backbone.with_weights(vec![0.5; backbone.weights().len()]);
    let directory = token_classifier(&backbone);
    let error = expect_error(
        Adapter::open(directory.path(), &other),
        &[backbone.fingerprint(), other.fingerprint(), "use that backbone"],
    );
    assert!(matches!(error, EncoderError::WrongBackbone { .. }), "{error}");
    expect_error(
        Adapter::open_lora(directory.path(), &other),
        &[backbone.fingerprint(), other.fingerprint()],
    );
}

#[test]
fn cards_that_do_not_fit_the_weights_are_refused() {
    let backbone = tiny_bert();
    let edits: [(Edit, &[&str]); 8] = [
        (
            |card| card["output"] = json!({"kind": "tags", "tags": ["O", "B-a", "I-a"]}),
            &["3 classes", "5 classes"],
        ),
        (
            |card| card["output"] = json!({"kind": "labels", "labels": []}),
            &["0 classes", "5 classes"],
        ),
        (|card| card["output"] = json!({"kind": "vectors"}), &["no head", "5 classes"]),
        (
            |card| card["output"] = json!({"kind": "labels", "labels": ["a", "b", "a", "c", "d"]}),
            &["espalier.json", "\"a\" is listed twice"],
        ),
        (
            |card| {
                card["output"] = json!({"kind": "tags", "tags": ["O", "B-a", "I-a", "B-b", "B-a"]})
            },
            &["espalier.json", "\"B-a\""],
        ),
        (
            |card| {
                card["output"] =
                    json!({"kind": "tags", "tags": ["O", "B-a", "I-a", "LABEL_3", "I-b"]})
            },
            &["espalier.json", "\"LABEL_3\""],
        ),
        (
            |card| {
                card["output"] =
                    json!({"kind": "tags", "tags": ["B-c", "B-a", "I-a", "B-b", "I-b"]})
            },
            &["espalier.json", "O"],
        ),
        (|card| card["format"] = json!(2), &["espalier.json", "format 2"]),
    ];
    for (edit, message) in edits {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join("espalier.json"), edit);
        let error = expect_error(Adapter::open(directory.path(), &backbone), message);
        assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
    }
    let unreadable: [Edit; 4] = [
        |card| card["family"] = json!("pos"),
        |card| card["output"] = json!({"kind": "spans"}),
        |card| card["pooling"] = json!("max"),
        |card| drop(card.as_object_mut().unwrap().remove("backbone")),
    ];
    for edit in unreadable {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join("espalier.json"), edit);
        let error = expect_error(Adapter::open(directory.path(), &backbone), &["espalier.json"]);
        assert!(matches!(error, EncoderError::Json { .. }), "{error}");
    }
}

/// An adapter on all of the tiny BERT's modules, every number of which is `value`.
fn constant(backbone: &Backbone, value: f32) -> Adapter {
    let config = &backbone.encoder.config;
    let shape = LoraConfig::for_layers(3).with_rank(2).with_alpha(4.0);
    let mut lora = Lora::random_init(config, &shape, || 0.0);
    lora.values.fill(value);
    let head = Head::random_init(config.hidden_size, 2, || value);
    let names = [format!("yes to {value}"), format!("no to {value}")];
    Adapter { lora, head: Some(head), card: card(backbone, labels(&[&names[0], &names[1]])) }
}

#[test]
fn mixed_files_are_refused_and_old_and_edited_cards_are_read() {
    let backbone = tiny_bert();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    constant(&backbone, 1.0).save(one.path()).unwrap();
    constant(&backbone, 2.0).save(two.path()).unwrap();
    let at = |name: &str| one.path().join(name);
    for name in [WEIGHTS, CONFIG] {
        let own = fs::read(at(name)).unwrap();
        let mut altered = own.clone();
        *altered.last_mut().unwrap() ^= 1;
        let other = fs::read(two.path().join(name)).unwrap();
        for bytes in [altered, own[..own.len() / 2].to_vec()]
            .into_iter()
            .chain((other != own).then_some(other))
        {
            fs::write(at(name), bytes).unwrap();
            for result in [
                Adapter::open(one.path(), &backbone).map(drop),
                Adapter::open_lora(one.path(), &backbone).map(drop),
            ] {
                let error = expect_error(
                    result,
                    &[name, "written only in part, or altered", "train it or copy it again"],
                );
                assert!(matches!(error, EncoderError::AdapterChecksum { .. }), "{error}");
            }
        }
        fs::remove_file(at(name)).unwrap();
        let error =
            expect_error(Adapter::open(one.path(), &backbone), &[name, "written only in part"]);
        assert!(matches!(error, EncoderError::AdapterChecksum { .. }), "{error}");
        fs::write(at(name), own).unwrap();
    }
    assert_eq!(Adapter::open(one.path(), &backbone).unwrap(), constant(&backbone, 1.0));

    // Labels are the card's own.
    let text = fs::read_to_string(at("espalier.json")).unwrap();
    fs::write(at("espalier.json"), text.replace("yes to 1", "certainly")).unwrap();
    assert_eq!(
        Adapter::open(one.path(), &backbone).unwrap().card.output,
        labels(&["certainly", "no to 1"])
    );
    // A card of an earlier version, or one written by hand, names no files.
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json.as_object_mut().unwrap().remove("files").unwrap();
    fs::write(at("espalier.json"), json.to_string()).unwrap();
    assert_eq!(Adapter::open(one.path(), &backbone).unwrap(), constant(&backbone, 1.0));
}

#[test]
fn an_adapter_opened_while_it_is_replaced_is_one_of_the_two() {
    let backbone = tiny_bert();
    let adapters = [constant(&backbone, 1.0), constant(&backbone, 2.0)];
    let directory = tempfile::tempdir().unwrap();
    adapters[0].save(directory.path()).unwrap();
    let writing = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            adapters
                .iter()
                .cycle()
                .take(40)
                .for_each(|adapter| adapter.save(directory.path()).unwrap());
            writing.store(false, std::sync::atomic::Ordering::Relaxed);
        });
        let mut complete = 0;
        while writing.load(std::sync::atomic::Ordering::Relaxed) || complete == 0 {
            if let Ok(read) = Adapter::open(directory.path(), &backbone) {
                assert!(adapters.contains(&read), "a mix of two adapters");
                complete += 1;
            }
        }
    });
}
