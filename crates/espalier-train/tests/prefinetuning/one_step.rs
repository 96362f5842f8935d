//! The gradients of a training step, computed from the difference of the weights before and after
//! one step of gradient descent.

use crate::corpora::{Corpora, trained};
use espalier_encoder::{Activations, Backbone, Batch, Encoded, Gradients};
use espalier_testing::fixtures::tiny_bert;
use espalier_train::PrefinetuneConfig;
use espalier_train::config::AdapterConfig;
use espalier_train::optimizer::OptimizerKind;
use espalier_train::strategy::Strategy;

/// The learning rate. It is large, so that the rounding of the new weights does not change the
/// gradient, and a power of two, so that the division by it is exact.
pub const RATE: f32 = 1024.0;

/// A run of one step of gradient descent.
pub fn one_step(corpora: &Corpora, strategy: Strategy) -> PrefinetuneConfig {
    let mut config = corpora.config(strategy);
    config.train.steps = 1;
    config.train.optimizer = OptimizerKind::Sgd;
    (config.train.warmup, config.train.clip_norm, config.train.weight_decay) = (0.0, 0.0, 0.0);
    config.train.learning_rate = RATE;
    config.adapter = AdapterConfig::default();
    (config.adapter.group.learning_rate, config.adapter.group.weight_decay) = (RATE, 0.0);
    config
}

/// The gradient of theta: the difference of theta before and after the step, divided by the
/// learning rate.
pub fn theta_gradient(config: &PrefinetuneConfig) -> Vec<f32> {
    let (before, after) = (tiny_bert(), trained(config).backbone);
    before
        .weights()
        .iter()
        .zip(after.weights())
        .map(|(before, after)| (before - after) / RATE)
        .collect()
}

/// Checks that each tensor of `found` is within `relative` of `expected`, relative to the largest
/// value of that tensor. The gradients of the keys' biases are zero in theory. In single precision
/// they are sums of terms below 1 that cancel to about 1e-8.
pub fn assert_gradients(found: &[f32], expected: &[f32], relative: f32) {
    for spec in &tiny_bert().encoder.layout.tensors {
        let (found, expected) = (&found[spec.range.clone()], &expected[spec.range.clone()]);
        let largest = expected.iter().fold(0f32, |max, value| max.max(value.abs()));
        let tolerance = if spec.name.ends_with("key.bias") { 1e-6 } else { relative * largest };
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!(
                (a - b).abs() <= tolerance,
                "{}[{i}] is {a} instead of {b} (+- {tolerance})",
                spec.name
            );
        }
    }
    assert!(expected.iter().any(|&gradient| gradient != 0.0), "nothing to compare");
}

/// The gradient of all weights. `loss` gets the hidden states [T, H] and returns the gradient with
/// respect to them.
pub fn backbone_gradient(
    backbone: &Backbone,
    texts: &[Encoded],
    loss: impl FnOnce(&[f32], &Batch) -> Vec<f32>,
) -> Vec<f32> {
    let model = backbone.trainable_model(None).unwrap();
    let batch = Batch::new(texts.iter().map(|text| text.ids.as_slice()));
    let mut activations = Activations::default();
    model.forward(&batch, &mut activations);
    let mut d_hidden = loss(activations.output(), &batch);
    let mut weights = vec![0.0; backbone.weights().len()];
    let gradients = Gradients { weights: Some(&mut weights), embeddings: true, adapter: None };
    model.backward(&batch, &mut activations, &mut d_hidden, gradients);
    weights
}
