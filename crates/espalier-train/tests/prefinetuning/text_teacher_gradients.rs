//! The gradients of a step with a teacher of text vectors.

use crate::corpora::Corpora;
use crate::one_step::{RATE, assert_gradients, backbone_gradient, one_step};
use crate::text_teacher::{TEACHERS, add_teacher, losses, taught, weights_of_terms};
use espalier_encoder::{Backbone, Batch, Encoded, Head, Pooling};
use espalier_kernels::Bf16;
use espalier_kernels::pooling::l2_normalize;
use espalier_testing::fixtures::{fixture, tiny_bert};
use espalier_train::PrefinetuneConfig;
use espalier_train::config::DistillLossKind;
use espalier_train::objectives::distill::loss::{DistillLoss, WordBatch};
use espalier_train::objectives::pairs::loss::InfoNce;
use espalier_train::objectives::pairs::similarity::{SimilarityLoss, TeacherPairs};
use espalier_train::strategy::Strategy;
use serde_json::json;

/// The gradient of theta.
fn theta_gradient(config: &PrefinetuneConfig) -> Vec<f32> {
    let (before, after) = (tiny_bert(), taught(config).unwrap().0.backbone);
    let pairs = before.weights().iter().zip(after.weights());
    pairs.map(|(before, after)| (before - after) / RATE).collect()
}

/// The vectors of texts by the model in a directory, as they are after rounding to bfloat16.
fn vectors_by(directory: &str, texts: &[&str]) -> (usize, Vec<f32>) {
    let teacher = Backbone::open(&fixture(directory)).unwrap();
    let encoded: Vec<Encoded> = texts.iter().map(|text| teacher.tokenizer.encode(text)).collect();
    let (batch, width) = (Batch::from_texts(&encoded), teacher.encoder.width());
    let mut vectors = Vec::new();
    Pooling::Mean.forward(&teacher.model(None).encode(&batch), &batch, width, &mut vectors);
    let mut lengths = vec![0.0; texts.len()];
    l2_normalize(&mut vectors, width, &mut lengths);
    vectors.iter_mut().for_each(|x| *x = Bf16::from_f32(*x).to_f32());
    l2_normalize(&mut vectors, width, &mut lengths);
    (width, vectors)
}

/// The batch is the whole corpus. The first and the last pair have the same anchor, so that their
/// positives are no candidates of each other.
#[test]
fn a_step_has_the_gradient_of_the_weighted_terms() {
    let pairs = [
        ("cheap hotel", "a hotel near you"),
        ("play music", "open music"),
        ("cheap hotel", "not a good hotel"),
    ];
    let records = pairs.map(|(anchor, positive)| json!({"anchor": anchor, "positive": positive}));
    let corpora = Corpora::of(&[], &records);
    let mut config = one_step(&corpora, Strategy::TC);
    add_teacher(&mut config, &fixture(TEACHERS[2]));
    weights_of_terms(&mut config, 3.0, 2.0);
    config.tc.distill.as_mut().unwrap().temperature = Some(0.1);
    config.tc.weight = 0.5;

    let texts: Vec<&str> =
        pairs.iter().map(|pair| pair.0).chain(pairs.iter().map(|pair| pair.1)).collect();
    let (outputs, targets) = vectors_by(TEACHERS[2], &texts);
    let backbone = tiny_bert();
    let (n, width) = (pairs.len(), backbone.encoder.width());
    assert_eq!(width, outputs, "the projection starts as the identity");
    let encoded: Vec<Encoded> = texts.iter().map(|text| backbone.tokenizer.encode(text)).collect();
    let excluded = [false, false, true, false, false, false, true, false, false];
    let expected = backbone_gradient(&backbone, &encoded, |hidden, batch| {
        let mut vectors = Vec::new();
        Pooling::Mean.forward(hidden, batch, width, &mut vectors);
        let mut gradient = vec![0.0; vectors.len()];
        let mut add = |d: &[f32]| gradient.iter_mut().zip(d).for_each(|(sum, d)| *sum += d);

        let mut infonce = vectors.clone();
        let (a, c) = infonce.split_at_mut(n * width);
        InfoNce { temperature: 0.05 }.loss(width, a, c, &excluded, 0.5);
        add(&infonce);

        let mut similarity = vectors.clone();
        let (a, c) = similarity.split_at_mut(n * width);
        let (anchors, candidates) = targets.split_at(n * outputs);
        let teacher = TeacherPairs { width: outputs, anchors, candidates };
        SimilarityLoss { temperature: 0.1 }.loss(width, a, c, teacher, &excluded, 0.5 * 3.0);
        add(&similarity);

        // The anchor of two pairs is one text, whose vector counts once.
        let mut weights = vec![1.0; 2 * n];
        weights[2] = 0.0;
        let mut values = vec![0.0; width * width + width];
        (0..width).for_each(|i| values[i * width + i] = 1.0);
        let (map, mut d_map) = (Head { classes: width, values: values.clone() }, values);
        let texts = WordBatch { vectors: &vectors, targets: &targets, weights: &weights };
        let cosine = DistillLoss { kind: DistillLossKind::Cosine, temperature: 1.0 };
        let mut d_vectors = Vec::new();
        cosine.loss(texts, &map, 0.5 * 2.0, &mut d_vectors, &mut d_map);
        add(&d_vectors);

        let mut d_hidden = Vec::new();
        Pooling::Mean.backward(&gradient, batch, width, &mut d_hidden);
        d_hidden
    });
    assert_gradients(&theta_gradient(&config), &expected, 1e-4);
}

#[test]
fn chunks_have_the_gradient_of_the_whole_batch() {
    let corpora = Corpora::easy();
    let with_chunk = |chunk| {
        let mut config = one_step(&corpora, Strategy::TC);
        add_teacher(&mut config, &fixture(TEACHERS[1]));
        (config.tc.batch, config.tc.chunk) = (12, chunk);
        (theta_gradient(&config), losses(&config))
    };
    let (full, loss) = with_chunk(0);
    for chunk in [1, 5, 24] {
        let (chunked, same) = with_chunk(chunk);
        assert_gradients(&chunked, &full, 1e-5);
        assert_eq!(same, loss, "the loss is the same to the bit");
    }
}
