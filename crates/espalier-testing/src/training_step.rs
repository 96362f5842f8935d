//! A training step, to compare with one that PyTorch recorded.

use crate::compare::assert_close;
use crate::recorded::Recorded;
use espalier_encoder::{
    Activations, Backbone, Batch, Gradients, Head, Lora, Pooling, TrainableModel,
};
use espalier_kernels::loss::cross_entropy;
use std::collections::BTreeSet;

/// A head and a batch to train it on.
pub struct Task {
    /// The head.
    pub head: Head,
    /// How text vectors are made; without it, the head is on token vectors.
    pub pooling: Option<Pooling>,
    /// The class of each vector.
    pub targets: Vec<Option<u32>>,
    /// The texts.
    pub batch: Batch,
}

/// What one step gives.
pub struct Step {
    /// Output of the head, [vectors, C].
    pub logits: Vec<f32>,
    /// Cross-entropy.
    pub loss: f64,
    /// Gradient of the encoder's weights.
    pub weights: Vec<f32>,
    /// Gradient of the LoRA factors; empty without an adapter.
    pub adapter: Vec<f32>,
    /// Gradient of the head.
    pub head: Vec<f32>,
}

impl Task {
    /// The task with the recorded head and targets of these names.
    pub fn read(recorded: &Recorded, head: &str, targets: &str, pooling: Option<Pooling>) -> Self {
        let weight = &recorded.tensors[&format!("{head}.head.weight")];
        let bias = recorded.tensors[&format!("{head}.head.bias")].f32s();
        let head = Head { classes: bias.len(), values: [weight.f32s(), bias].concat() };
        Self { head, pooling, targets: recorded.targets(targets), batch: recorded.batch() }
    }

    /// The recorded classification of texts.
    pub fn sequence(recorded: &Recorded) -> Self {
        Self::read(recorded, "sequence", "sequence.labels", Some(Pooling::Mean))
    }

    /// Logits, loss, the gradient of the head and that of the token vectors [T, H].
    pub fn head_step(&self, hidden: &[f32], width: usize) -> (Vec<f32>, f64, Vec<f32>, Vec<f32>) {
        let mut vectors = hidden.to_vec();
        if let Some(pooling) = self.pooling {
            pooling.forward(hidden, &self.batch, width, &mut vectors);
        }
        let mut scores = Vec::new();
        self.head.forward(&vectors, &mut scores);
        let logits = scores.clone();
        let loss = cross_entropy(&mut scores, &self.targets, self.head.classes);
        let (mut d_head, mut d_vectors) = (vec![0.0; self.head.values.len()], Vec::new());
        self.head.backward(&vectors, &scores, &mut d_head, &mut d_vectors);
        let mut d_hidden = d_vectors.clone();
        if let Some(pooling) = self.pooling {
            pooling.backward(&d_vectors, &self.batch, width, &mut d_hidden);
        }
        (logits, loss, d_head, d_hidden)
    }

    /// Forward and backward through the head and the encoder.
    pub fn step(&self, model: TrainableModel) -> Step {
        let mut activations = Activations::default();
        model.forward(&self.batch, &mut activations);
        let (logits, loss, head, mut d) =
            self.head_step(activations.output(), model.encoder.width());
        let mut weights = vec![0.0; model.weights.len()];
        let mut adapter = vec![0.0; model.adapter.map_or(0, |lora| lora.values.len())];
        let gradients = Gradients {
            weights: Some(&mut weights),
            embeddings: true,
            adapter: Some(&mut adapter),
        };
        model.backward(&self.batch, &mut activations, &mut d, gradients);
        Step { logits, loss, weights, adapter, head }
    }

    /// The gradient of the adapter when nothing else is trained.
    pub fn adapter_gradients(&self, model: TrainableModel) -> Vec<f32> {
        let mut activations = Activations::default();
        model.forward(&self.batch, &mut activations);
        let (.., mut d) = self.head_step(activations.output(), model.encoder.width());
        let mut adapter = vec![0.0; model.adapter.map_or(0, |lora| lora.values.len())];
        let gradients = Gradients { adapter: Some(&mut adapter), ..Gradients::default() };
        model.backward(&self.batch, &mut activations, &mut d, gradients);
        adapter
    }
}

/// The values of all factors of an adapter, or of their gradients, with peft's names.
pub fn factors<'v>(lora: &Lora, values: &'v [f32]) -> Vec<(String, &'v [f32])> {
    let named = lora.sites.iter().flat_map(|site| {
        let name = lora.architecture.module_name(site.spec.layer, site.spec.module);
        [
            (format!("{name}.lora_A.weight"), site.a.clone()),
            (format!("{name}.lora_B.weight"), site.b.clone()),
        ]
    });
    named.map(|(name, range)| (name, &values[range])).collect()
}

impl Step {
    /// Every gradient with the name under which it is recorded.
    fn gradients(&self, model: TrainableModel, head: &Head) -> Vec<(String, &[f32])> {
        let tensors = model.encoder.layout.tensors.iter();
        let mut named: Vec<_> =
            tensors.map(|spec| (spec.name.clone(), &self.weights[spec.range.clone()])).collect();
        named.extend(model.adapter.iter().flat_map(|lora| factors(lora, &self.adapter)));
        let (weight, bias) = self.head.split_at(head.classes * head.width());
        named.extend([("head.weight".to_string(), weight), ("head.bias".to_string(), bias)]);
        named
    }
}

/// Fails unless a step gives what a case has recorded: logits, loss, and every recorded gradient.
/// With `all`, every gradient must have been recorded.
pub fn assert_step(recorded: &Recorded, case: &str, task: &Task, model: TrainableModel, all: bool) {
    let step = task.step(model);
    assert_close(
        &format!("{case}.logits"),
        &step.logits,
        &recorded.tensors[&format!("{case}.logits")].f32s(),
    );
    let loss = recorded.scalar(&format!("{case}.loss"));
    assert!(
        (step.loss - loss).abs() <= 1e-4 * loss,
        "{case}.loss is {}, recorded is {loss}",
        step.loss
    );

    let prefix = format!("{case}.grad.");
    let mut left: BTreeSet<&str> =
        recorded.tensors.keys().filter_map(|name| name.strip_prefix(&prefix)).collect();
    assert!(!left.is_empty(), "{case}: no gradients recorded");
    for (name, gradient) in step.gradients(model, &task.head) {
        if left.remove(name.as_str()) {
            let what = format!("{prefix}{name}");
            assert_close(&what, gradient, &recorded.tensors[&what].f32s());
        } else {
            assert!(!all, "{case}: the gradient of {name} is not recorded");
        }
    }
    assert!(left.is_empty(), "{case}: recorded gradients that this engine does not have: {left:?}");
}

/// Fails unless the input of every layer and the output of the last are as recorded.
pub fn assert_hidden_states(recorded: &Recorded, backbone: &Backbone) {
    let mut activations = Activations::default();
    backbone.trainable_model(None).unwrap().forward(&recorded.batch(), &mut activations);
    let layers = backbone.encoder.layers();
    for layer in 0..layers {
        let name = format!("hidden.{layer}");
        assert_close(&name, &activations.layer_input(layer), &recorded.tensors[&name].f32s());
    }
    let name = format!("hidden.{layers}");
    assert_close(&name, activations.output(), &recorded.tensors[&name].f32s());
}
