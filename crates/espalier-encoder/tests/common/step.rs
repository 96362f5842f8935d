//! A training step, to compare with a recorded one.

#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]

use crate::common::{Recorded, assert_close};
use espalier_encoder::{Activations, Backbone, Batch, Gradients, Head, Lora, Model, Pooling};
use espalier_kernels::loss::cross_entropy;
use std::collections::BTreeSet;

/// A training step of a head on token vectors, or on text vectors when there is a pooling.
pub struct Task {
    pub head: Head,
    pub pooling: Option<Pooling>,
    pub targets: Vec<Option<u32>>,
    pub batch: Batch,
}

/// What one step gives.
pub struct Step {
    pub logits: Vec<f32>,
    pub loss: f64,
    pub weights: Vec<f32>,
    pub adapter: Vec<f32>,
    pub head: Vec<f32>,
}

impl Task {
    pub fn read(recorded: &Recorded, head: &str, targets: &str, pooling: Option<Pooling>) -> Self {
        let weight = &recorded.tensors[&format!("{head}.head.weight")];
        let bias = recorded.tensors[&format!("{head}.head.bias")].f32s();
        let head = Head { classes: bias.len(), values: [weight.f32s(), bias].concat() };
        Self { head, pooling, targets: recorded.targets(targets), batch: recorded.batch() }
    }

    pub fn sequence(recorded: &Recorded) -> Self {
        Self::read(recorded, "sequence", "sequence.labels", Some(Pooling::Mean))
    }

    /// Logits, loss, the head's gradient and the gradient at the token vectors [T, H].
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

    /// Forward and backward through everything.
    pub fn step(&self, model: Model) -> Step {
        let layers = model.encoder.layers();
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
        model.backward(0..layers, &self.batch, &mut activations, &mut d, gradients);
        Step { logits, loss, weights, adapter, head }
    }

    /// The adapter's gradients when nothing else is trained.
    pub fn adapter_gradients(&self, model: Model) -> Vec<f32> {
        let layers = model.encoder.layers();
        let mut activations = Activations::default();
        model.forward(&self.batch, &mut activations);
        let (.., mut d) = self.head_step(activations.output(), model.encoder.width());
        let mut adapter = vec![0.0; model.adapter.map_or(0, |lora| lora.values.len())];
        let gradients = Gradients { adapter: Some(&mut adapter), ..Gradients::default() };
        model.backward(0..layers, &self.batch, &mut activations, &mut d, gradients);
        adapter
    }
}

/// The values of all factors of an adapter, or of their gradients, by peft's names.
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
    /// Every gradient by the name that the script gives it.
    fn gradients(&self, model: Model, head: &Head) -> Vec<(String, &[f32])> {
        let tensors = model.encoder.layout.tensors.iter();
        let mut named: Vec<_> =
            tensors.map(|spec| (spec.name.clone(), &self.weights[spec.range.clone()])).collect();
        named.extend(model.adapter.iter().flat_map(|lora| factors(lora, &self.adapter)));
        let (weight, bias) = self.head.split_at(head.classes * head.width());
        named.extend([("head.weight".to_string(), weight), ("head.bias".to_string(), bias)]);
        named
    }
}

/// Compares a step with a recorded case. Every recorded gradient is compared; `all` says that the
/// case has recorded the gradient of everything.
pub fn compare(recorded: &Recorded, case: &str, task: &Task, model: Model, all: bool) {
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

/// Compares the input of every layer, and the output of the last, with the recorded ones.
pub fn hidden_states(recorded: &Recorded, backbone: &Backbone) {
    let mut activations = Activations::default();
    backbone.model(None).forward(&recorded.batch(), &mut activations);
    let layers = backbone.encoder.layers();
    for layer in 0..layers {
        let name = format!("hidden.{layer}");
        assert_close(&name, &activations.layer_input(layer), &recorded.tensors[&name].f32s());
    }
    let name = format!("hidden.{layers}");
    assert_close(&name, activations.output(), &recorded.tensors[&name].f32s());
}
