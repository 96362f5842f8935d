//! The trained concept encoder, and the model of concept contrast.

use crate::corpora::{Corpora, run, trained};
use crate::one_step::{RATE, assert_gradients, backbone_gradient, one_step};
use espalier_encoder::tensors::TensorFile;
use espalier_encoder::{Backbone, Batch, Encoded, Pooling, files};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::tiny_bert;
use espalier_testing::tensors;
use espalier_train::config::ConceptEncoderKind;
use espalier_train::objectives::concept::loss::{
    ConceptBatch, ConceptGradients, ConceptLoss, ConceptProjections,
};
use espalier_train::strategy::ObjectiveKind;
use espalier_train::strategy::Strategy;
use serde_json::json;
use tempfile::TempDir;

/// One step on one sentence with two concepts updates the concept encoder by the gradient with
/// respect to the vectors of their names.
#[test]
fn a_step_updates_the_concept_encoder_by_its_gradient() {
    let spans = json!([
        {"start": 0, "end": 1, "type": "city"},
        {"start": 2, "end": 3, "type": "person name"},
    ]);
    let corpora =
        Corpora::of(&[json!({"tokens": ["london", "loves", "john"], "spans": spans})], &[]);
    let mut config = one_step(&corpora, Strategy::NER);
    (config.ner.concept_encoder, config.ner.keep_concepts) = (ConceptEncoderKind::Trained, true);
    (config.ner.concept_group.learning_rate, config.ner.concept_group.weight_decay) = (RATE, 0.0);

    let (backbone, width) = (tiny_bert(), tiny_bert().encoder.width());
    let text = backbone.tokenizer.encode_words(&["london", "loves", "john"]);
    let hidden = backbone.model(None).encode(&Batch::from_texts([&text]));
    let tokens: Vec<usize> =
        (0..text.word_ids.len()).filter(|&token| text.word_ids[token].is_some()).collect();
    let targets: Vec<bool> = tokens
        .iter()
        .flat_map(|&token| [text.word_ids[token] == Some(0), text.word_ids[token] == Some(2)])
        .collect();
    let names: Vec<Encoded> =
        ["city", "person name"].map(|name| backbone.tokenizer.encode(name)).into();
    let expected = backbone_gradient(&backbone, &names, |name_hidden, batch| {
        let (mut concepts, mut d_concepts, mut d_names) = (Vec::new(), Vec::new(), Vec::new());
        Pooling::Mean.forward(name_hidden, batch, width, &mut concepts);
        let gradients = ConceptGradients {
            hidden: &mut Vec::new(),
            concepts: &mut d_concepts,
            projections: &mut vec![0.0; 2 * width * width],
        };
        let objective = ConceptLoss { scale: 10.0, bias: -4.0 };
        let case = ConceptBatch { tokens: &tokens, concepts: &concepts, targets: &targets };
        objective.loss(&hidden, &case, &ConceptProjections::identity(width), 1.0, gradients);
        Pooling::Mean.backward(&d_concepts, batch, width, &mut d_names);
        d_names
    });
    let kept = trained(&config).concepts.unwrap().encoder;
    let found: Vec<f32> = backbone
        .weights()
        .iter()
        .zip(kept.weights())
        .map(|(before, after)| (before - after) / RATE)
        .collect();
    assert_gradients(&found, &expected, 1e-4);
}

#[test]
fn both_concept_encoders_start_with_the_same_loss_and_the_trained_one_learns_faster() {
    let corpora = Corpora::easy();
    let losses = |kind| {
        let mut config = corpora.config(Strategy::NER);
        (
            config.train.steps,
            config.train.learning_rate,
            config.ner.projection_group.learning_rate,
        ) = (20, 0.0, 0.0);
        (config.ner.concept_encoder, config.ner.concept_group.learning_rate) = (kind, 1e-3);
        run(&config)
            .unwrap()
            .1
            .iter()
            .map(|report| report.losses[&ObjectiveKind::Ner])
            .collect::<Vec<f64>>()
    };
    let (frozen, trained) =
        (losses(ConceptEncoderKind::Frozen), losses(ConceptEncoderKind::Trained));
    assert_eq!(trained[0], frozen[0]);
    assert!(trained[19] < 0.9 * frozen[19], "{} against {}", trained[19], frozen[19]);
}

#[test]
fn the_saved_concept_model_recognizes_concepts_by_their_names() {
    let (corpora, out) = (Corpora::easy(), TempDir::new().unwrap());
    let mut config = corpora.config(Strategy::NER);
    assert!(trained(&config).concepts.is_none());
    (config.ner.keep_concepts, config.ner.concept_encoder) = (true, ConceptEncoderKind::Trained);
    (config.train.steps, config.ner.concept_group.learning_rate) = (150, 1e-3);
    config.ner.projection_group.learning_rate = 1e-2;
    trained(&config).save(out.path(), &config).unwrap();

    let (tokens, concepts) = (out.path().join("backbone"), out.path().join("concepts"));
    let (tokens, names) = (Backbone::open(&tokens).unwrap(), Backbone::open(&concepts).unwrap());
    let card: serde_json::Value = files::read_json(&concepts.join("concepts.json")).unwrap();
    assert_eq!(card["backbone"], tokens.fingerprint());
    assert_ne!(bits(names.weights()), bits(tiny_bert().weights()));

    // The formula of docs/formats.md.
    let path = concepts.join("projections.safetensors");
    let bytes = files::read(&path).unwrap();
    let file = TensorFile::parse(&path, &bytes).unwrap();
    let width = tokens.encoder.width();
    let project = |name: &str, x: &[f32]| {
        let mut map = vec![0.0; width * width];
        file.read_into(name, &[width, width], &mut map).unwrap();
        map.chunks(width)
            .map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
            .collect::<Vec<f32>>()
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let score = |word: &str, concept: &str| {
        let (text, name) = (
            tokens.tokenizer.encode_words(&["train", "to", word, "now"]),
            names.tokenizer.encode(concept),
        );
        let hidden = tokens.model(None).encode(&Batch::from_texts([&text]));
        let at = text.first_tokens(4)[2].unwrap();
        let u = project("tokens", &hidden[at * width..(at + 1) * width]);
        let (batch, mut mean) = (Batch::from_texts([&name]), Vec::new());
        Pooling::Mean.forward(&names.model(None).encode(&batch), &batch, width, &mut mean);
        let v = project("concepts", &mean);
        let cosine = dot(&u, &v) / (dot(&u, &u) * dot(&v, &v)).sqrt();
        card["scale"].as_f64().unwrap() * f64::from(cosine) + card["bias"].as_f64().unwrap()
    };
    for (word, concept) in
        [("london", "city"), ("paris", "city"), ("john", "person name"), ("doctor", "person name")]
    {
        let other = if concept == "city" { "person name" } else { "city" };
        let (right, wrong) = (score(word, concept), score(word, other));
        assert!(right > 0.0 && wrong < 0.0, "{word}: {right} and {wrong}");
    }
    assert_eq!(tensors::read(&path).len(), 2);
}
