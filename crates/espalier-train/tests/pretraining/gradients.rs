//! The loss and its gradients, against transformers and against finite differences.

use crate::texts::{Texts, trained};
use espalier_data::sampling::generator;
use espalier_encoder::{Activations, Backbone, Batch, Gradients, MlmHead, Precision};
use espalier_testing::compare::{assert_close, bits};
use espalier_testing::fixtures::{fixture, tiny_bert};
use espalier_testing::recorded::Recorded;
use espalier_train::initialization::uniform;
use espalier_train::objectives::mlm::loss::{MlmGradients, MlmLoss};

fn objective<'a>(
    backbone: &'a Backbone,
    head: &'a MlmHead,
    word_embeddings: &'a [f32],
) -> MlmLoss<'a> {
    let eps = backbone.encoder.config.layer_norm_eps;
    MlmLoss { head, word_embeddings, eps, precision: Precision::F32 }
}

fn word_embeddings(backbone: &Backbone) -> &[f32] {
    backbone.encoder.layout.embeddings.word_embeddings(backbone.weights())
}

/// The loss, and the gradients of all weights and of the head.
fn step(
    backbone: &Backbone,
    batch: &Batch,
    rows: &[usize],
    targets: &[u32],
    train_embeddings: bool,
) -> (f64, Vec<f32>, Vec<f32>) {
    let (model, width) = (backbone.trainable_model(None).unwrap(), backbone.encoder.width());
    let head = backbone.mlm_head().unwrap();
    let mut activations = Activations::default();
    model.forward(batch, &mut activations);
    let of_row = |&row: &usize| &activations.output()[row * width..(row + 1) * width];
    let mut vectors: Vec<f32> = rows.iter().flat_map(of_row).copied().collect();
    let (mut weights, mut d_head) =
        (vec![0.0; backbone.weights().len()], vec![0.0; head.values.len()]);
    let d_embeddings = backbone.encoder.layout.embeddings.view_mut(&mut weights).word_embeddings;
    let gradients = MlmGradients {
        weight: 1.0,
        head: &mut d_head,
        word_embeddings: train_embeddings.then_some(d_embeddings),
    };
    let loss = objective(backbone, head, word_embeddings(backbone)).loss(
        &mut vectors,
        targets,
        Some(gradients),
    );
    let mut d = vec![0.0; batch.tokens() * width];
    for (row, vector) in rows.iter().zip(vectors.chunks_exact(width)) {
        d[row * width..(row + 1) * width].copy_from_slice(vector);
    }
    let gradients =
        Gradients { weights: Some(&mut weights), embeddings: train_embeddings, adapter: None };
    model.backward(batch, &mut activations, &mut d, gradients);
    (loss, weights, d_head)
}

/// The recorded batch: masked texts, the rows of the masked tokens, and their original ids.
fn recorded_batch(recorded: &Recorded) -> (Batch, Vec<usize>, Vec<u32>) {
    let labels = recorded.targets("labels").into_iter().enumerate();
    let (rows, targets) = labels.filter_map(|(row, label)| Some((row, label?))).unzip();
    (recorded.batch(), rows, targets)
}

/// The gradient of the word embeddings is the sum of those of the encoder and of the decoder.
#[test]
fn all_gradients_match_those_of_transformers() {
    let backbone = Backbone::open(&fixture("mlm/bert/model")).unwrap();
    let recorded = Recorded::at(&fixture("mlm/bert"));
    let (batch, rows, targets) = recorded_batch(&recorded);
    let (loss, weights, head) = step(&backbone, &batch, &rows, &targets, true);
    let expected = recorded.scalar("mlm.loss");
    assert!(
        (loss - expected).abs() <= 1e-5 * expected,
        "the loss is {loss}, recorded is {expected}"
    );
    let gradient = |name: &str| recorded.tensors[&format!("mlm.grad.{name}")].f32s();
    for spec in &backbone.encoder.layout.tensors {
        assert_close(&spec.name, &weights[spec.range.clone()], &gradient(&spec.name));
    }
    let transform = |part: &str| gradient(&format!("cls.predictions.transform.{part}"));
    let parts = ["dense.weight", "dense.bias", "LayerNorm.weight", "LayerNorm.bias"].map(transform);
    assert_close("head", &head, &[parts.concat(), gradient("cls.predictions.bias")].concat());
}

#[test]
fn word_embeddings_have_gradients_from_the_decoder_unless_they_are_frozen() {
    let backbone = Backbone::open(&fixture("mlm/bert/model")).unwrap();
    let (batch, rows, targets) = recorded_batch(&Recorded::at(&fixture("mlm/bert")));
    let (_, frozen, _) = step(&backbone, &batch, &rows, &targets, false);
    let embeddings = backbone.encoder.layout.embeddings.all.clone();
    assert!(frozen[embeddings.clone()].iter().all(|&gradient| gradient == 0.0));
    let (_, both, _) = step(&backbone, &batch, &rows, &targets, true);
    assert_eq!(bits(&frozen[embeddings.end..]), bits(&both[embeddings.end..]));
    // A token that is neither in the batch nor a target has a gradient from its score alone.
    let absent = (0..backbone.encoder.config.vocab_size as u32)
        .find(|id| !batch.ids.contains(id) && !targets.contains(id));
    let row = absent.unwrap() as usize * backbone.encoder.width();
    assert!(both[row..row + backbone.encoder.width()].iter().any(|&gradient| gradient != 0.0));
}

/// There are more scores than are computed at a time, so that the loss is computed in two blocks.
#[test]
fn gradients_over_several_blocks_match_finite_differences() {
    let bare = tiny_bert();
    let (width, vocabulary) = (4, 1 << 20); // four rows a block
    let config = espalier_encoder::EncoderConfig {
        hidden_size: width,
        vocab_size: vocabulary,
        ..bare.encoder.config.clone()
    };
    let mut rng = generator(1, "test");
    let mut head = MlmHead::random_init(&config, uniform(&mut rng));
    head.values
        .iter_mut()
        .zip(std::iter::repeat_with(uniform(&mut rng)))
        .for_each(|(value, x)| *value += 0.3 * x);
    let embeddings: Vec<f32> =
        std::iter::repeat_with(uniform(&mut rng)).take(vocabulary * width).collect();
    let hidden: Vec<f32> = std::iter::repeat_with(uniform(&mut rng)).take(5 * width).collect();
    let targets = [7, 0, 999_999, 7, 12];
    let loss = |head: &MlmHead, hidden: &[f32]| {
        objective(&bare, head, &embeddings).loss(&mut hidden.to_vec(), &targets, None)
    };

    let (mut d_hidden, mut d_head, mut d_embeddings) =
        (hidden.clone(), vec![0.0; head.values.len()], vec![0.0; embeddings.len()]);
    let gradients =
        MlmGradients { weight: 0.5, head: &mut d_head, word_embeddings: Some(&mut d_embeddings) };
    let found = objective(&bare, &head, &embeddings).loss(&mut d_hidden, &targets, Some(gradients));
    assert!((found - loss(&head, &hidden)).abs() < 1e-9 * found);

    let step = 1e-2f32;
    let close = |what: &str, found: f32, difference: f64| {
        let expected = (0.5 * difference / (2.0 * f64::from(step))) as f32;
        assert!(
            (found - expected).abs() < 2e-3 * (0.1 + expected.abs()),
            "{what}: {found} instead of {expected}"
        );
    };
    for at in (0..hidden.len()).step_by(3) {
        let moved = |by: f32| {
            let mut hidden = hidden.clone();
            hidden[at] += by;
            loss(&head, &hidden)
        };
        close(&format!("hidden {at}"), d_hidden[at], moved(step) - moved(-step));
    }
    let own = head.values.len() - vocabulary;
    for at in [5, own - 9, own - 5, own - 1, own + 7] {
        let moved = |by: f32| {
            let mut head = head.clone();
            head.values[at] += by;
            loss(&head, &hidden)
        };
        close(&format!("head {at}"), d_head[at], moved(step) - moved(-step));
    }
}

/// Frozen embeddings do not change, although the decoder has a gradient for them.
#[test]
fn a_step_changes_everything_but_frozen_embeddings() {
    let (texts, before) = (Texts::new(), tiny_bert());
    let embeddings = before.encoder.layout.embeddings.all.clone();
    for frozen in [false, true] {
        let mut config = texts.config();
        (config.train.steps, config.train.warmup, config.train.freeze_embeddings) =
            (1, 0.0, frozen);
        let after = trained(&before, &config).backbone;
        let moved = |range: std::ops::Range<usize>| {
            before.weights()[range.clone()] != after.weights()[range]
        };
        assert_eq!(
            (moved(embeddings.clone()), moved(embeddings.end..before.weights().len())),
            (!frozen, true)
        );
    }
}
