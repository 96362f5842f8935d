//! Hidden states, logits, losses and every gradient against PyTorch, transformers and peft.
//!
//! The recorded numbers are those of scripts/make_parity_fixtures.py: computed in f64, stored as f32.

mod common;

use common::{Recorded, assert_close, bits, fixture, tiny_bert};
use espalier_encoder::{Activations, Adapter, Backbone, Batch, Gradients, Head, Lora, Model, Module, Pooling};
use espalier_kernels::loss::cross_entropy;
use std::collections::BTreeSet;

/// A training step of a head on token vectors, or on text vectors when there is a pooling.
struct Task {
    head: Head,
    pooling: Option<Pooling>,
    targets: Vec<Option<u32>>,
    batch: Batch,
}

/// What one step gives.
struct Step {
    logits: Vec<f32>,
    loss: f64,
    weights: Vec<f32>,
    adapter: Vec<f32>,
    head: Vec<f32>,
}

impl Task {
    fn read(recorded: &Recorded, head: &str, targets: &str, pooling: Option<Pooling>) -> Self {
        let weight = &recorded.tensors[&format!("{head}.head.weight")];
        let bias = recorded.tensors[&format!("{head}.head.bias")].f32s();
        let head = Head { classes: bias.len(), values: [weight.f32s(), bias].concat() };
        Self { head, pooling, targets: recorded.targets(targets), batch: recorded.batch() }
    }

    fn sequence(recorded: &Recorded) -> Self {
        Self::read(recorded, "sequence", "sequence.labels", Some(Pooling::Mean))
    }

    /// Logits, loss, the head's gradient and the gradient at the token vectors [T, H].
    fn head_step(&self, hidden: &[f32], width: usize) -> (Vec<f32>, f64, Vec<f32>, Vec<f32>) {
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
    fn step(&self, model: Model) -> Step {
        let layers = model.encoder.layers();
        let mut activations = Activations::default();
        model.forward(&self.batch, &mut activations);
        let (logits, loss, head, mut d) = self.head_step(activations.output(), model.encoder.width());
        let mut weights = vec![0.0; model.weights.len()];
        let mut adapter = vec![0.0; model.adapter.map_or(0, |lora| lora.values.len())];
        let gradients = Gradients { weights: Some(&mut weights), embeddings: true, adapter: Some(&mut adapter) };
        model.backward(0..layers, &self.batch, &mut activations, &mut d, gradients);
        Step { logits, loss, weights, adapter, head }
    }

    /// The adapter's gradients when nothing else is trained.
    fn adapter_gradients(&self, model: Model) -> Vec<f32> {
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
fn factors<'v>(lora: &Lora, values: &'v [f32]) -> Vec<(String, &'v [f32])> {
    let named = lora.sites.iter().flat_map(|site| {
        let name = format!("encoder.layer.{}.{}", site.spec.layer, site.spec.module.name());
        [(format!("{name}.lora_A.weight"), site.a.clone()), (format!("{name}.lora_B.weight"), site.b.clone())]
    });
    named.map(|(name, range)| (name, &values[range])).collect()
}

impl Step {
    /// Every gradient by the name that the script gives it.
    fn gradients(&self, model: Model, head: &Head) -> Vec<(String, &[f32])> {
        let tensors = model.encoder.layout.tensors.iter();
        let mut named: Vec<_> = tensors.map(|spec| (spec.name.clone(), &self.weights[spec.range.clone()])).collect();
        named.extend(model.adapter.iter().flat_map(|lora| factors(lora, &self.adapter)));
        let (weight, bias) = self.head.split_at(head.classes * head.width());
        named.extend([("head.weight".to_string(), weight), ("head.bias".to_string(), bias)]);
        named
    }
}

/// Compares a step with a recorded case. Every recorded gradient is compared; `all` says that the case has recorded the
/// gradient of everything.
fn compare(recorded: &Recorded, case: &str, task: &Task, model: Model, all: bool) {
    let step = task.step(model);
    assert_close(&format!("{case}.logits"), &step.logits, &recorded.tensors[&format!("{case}.logits")].f32s());
    let loss = recorded.scalar(&format!("{case}.loss"));
    assert!((step.loss - loss).abs() <= 1e-4 * loss, "{case}.loss is {}, recorded is {loss}", step.loss);

    let prefix = format!("{case}.grad.");
    let mut left: BTreeSet<&str> = recorded.tensors.keys().filter_map(|name| name.strip_prefix(&prefix)).collect();
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

fn lora(backbone: &Backbone) -> Lora {
    Adapter::open_lora(&fixture("peft-adapter"), backbone).unwrap()
}

#[test]
fn hidden_states() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
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

#[test]
fn classification_of_texts() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    compare(&recorded, "sequence", &Task::sequence(&recorded), backbone.model(None), true);
}

#[test]
fn classification_of_texts_with_lora() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let lora = lora(&backbone);
    assert_eq!(lora.sites.len(), 2 * Module::ALL.len());
    for (name, values) in factors(&lora, &lora.values) {
        assert_eq!(values, recorded.tensors[&format!("lora.{name}")].f32s(), "{name}");
    }
    compare(&recorded, "sequence_lora", &Task::sequence(&recorded), backbone.model(Some(&lora)), true);
}

#[test]
fn classification_of_tokens() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let task = Task::read(&recorded, "token", "token.labels", None);
    compare(&recorded, "token", &task, backbone.model(None), true);
}

#[test]
fn classification_by_the_first_token() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let task = Task { pooling: Some(Pooling::Cls), ..Task::sequence(&recorded) };
    compare(&recorded, "cls", &task, backbone.model(None), false);
}

#[test]
fn a_frozen_backbone_changes_nothing_for_the_adapter() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, task) = (lora(&backbone), Task::sequence(&recorded));
    let model = backbone.model(Some(&lora));
    assert_eq!(bits(&task.adapter_gradients(model)), bits(&task.step(model).adapter));
}

/// Layer 0 has no adapter: what it gives can be computed once and kept.
#[test]
fn a_cached_trunk_changes_nothing_for_the_adapter() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, task) = (lora(&backbone), Task::sequence(&recorded));
    let (model, layers) = (backbone.model(Some(&lora)), backbone.encoder.layers());
    let first = lora.first_layer().unwrap();
    assert_eq!(first, 1);
    let plain = backbone.model(None);
    let trunk = plain.encode_layers(0..first, None, &task.batch);

    let (mut activations, mut adapter) = (Activations::default(), vec![0.0; lora.values.len()]);
    model.forward_layers(first..layers, &trunk, &task.batch, &mut activations);
    let (logits, _, _, mut d) = task.head_step(activations.output(), backbone.encoder.width());
    let gradients = Gradients { adapter: Some(&mut adapter), ..Gradients::default() };
    model.backward(first..layers, &task.batch, &mut activations, &mut d, gradients);

    let whole = task.step(model);
    assert_eq!(bits(&logits), bits(&whole.logits));
    assert_eq!(bits(&adapter), bits(&whole.adapter));
}

#[test]
fn frozen_embeddings_get_no_gradient() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (task, model) = (Task::sequence(&recorded), backbone.model(None));
    let layers = backbone.encoder.layers();
    let (mut activations, mut weights) = (Activations::default(), vec![0.0; backbone.weights().len()]);
    model.forward(&task.batch, &mut activations);
    let (.., mut d) = task.head_step(activations.output(), backbone.encoder.width());
    let gradients = Gradients { weights: Some(&mut weights), ..Gradients::default() };
    model.backward(0..layers, &task.batch, &mut activations, &mut d, gradients);

    let embeddings = backbone.encoder.layout.embeddings.all.clone();
    assert!(weights[embeddings.clone()].iter().all(|&gradient| gradient == 0.0));
    assert_eq!(bits(&weights[embeddings.end..]), bits(&task.step(model).weights[embeddings.end..]));
}

#[test]
fn gradients_are_added_to_what_is_there() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, task) = (lora(&backbone), Task::sequence(&recorded));
    let (model, layers) = (backbone.model(Some(&lora)), backbone.encoder.layers());
    let mut activations = Activations::default();
    let (mut weights, mut adapter) = (vec![1.0; backbone.weights().len()], vec![1.0; lora.values.len()]);
    model.forward(&task.batch, &mut activations);
    let (.., mut d) = task.head_step(activations.output(), backbone.encoder.width());
    let gradients = Gradients { weights: Some(&mut weights), embeddings: true, adapter: Some(&mut adapter) };
    model.backward(0..layers, &task.batch, &mut activations, &mut d, gradients);

    let alone = task.step(model);
    let plus_one = |values: Vec<f32>| values.iter().map(|value| 1.0 + value).collect::<Vec<f32>>();
    assert_close("weights", &weights, &plus_one(alone.weights));
    assert_close("adapter", &adapter, &plus_one(alone.adapter));
}

/// The buffers of a larger batch must leave no trace in a smaller one.
#[test]
fn activations_can_be_used_again() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, large) = (lora(&backbone), recorded.batch());
    let model = backbone.model(Some(&lora));
    let small = Batch::new([&large.ids[large.sequence(3)]]);
    let (mut used, mut fresh) = (Activations::default(), Activations::default());
    model.forward(&large, &mut used);
    model.forward(&small, &mut used);
    model.forward(&small, &mut fresh);
    assert_eq!(bits(used.output()), bits(fresh.output()));
}

#[test]
fn encode_is_forward_without_memory() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, batch) = (lora(&backbone), recorded.batch());
    for adapter in [None, Some(&lora)] {
        let (model, mut activations) = (backbone.model(adapter), Activations::default());
        model.forward(&batch, &mut activations);
        assert_eq!(bits(&model.encode(&batch)), bits(activations.output()));
    }
}

#[test]
fn a_batch_of_n_is_n_batches_of_one() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, batch) = (lora(&backbone), recorded.batch());
    for adapter in [None, Some(&lora)] {
        let model = backbone.model(adapter);
        let one = |s| model.encode(&Batch::new([&batch.ids[batch.sequence(s)]]));
        let alone: Vec<f32> = (0..batch.sequences()).flat_map(one).collect();
        assert_eq!(bits(&model.encode(&batch)), bits(&alone));
    }
}

#[test]
fn empty_sequences_and_empty_batches_are_no_trouble() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (model, batch) = (backbone.model(None), recorded.batch());
    assert!(model.encode(&Batch::new([])).is_empty());
    let nothing = Task { batch: Batch::new([]), targets: Vec::new(), ..Task::sequence(&recorded) }.step(model);
    assert!(nothing.loss == 0.0 && nothing.weights.iter().all(|&gradient| gradient == 0.0));
    let first = &batch.ids[batch.sequence(0)];
    let alone = model.encode(&Batch::new([first]));
    assert_eq!(bits(&model.encode(&Batch::new([&[], first, &[]]))), bits(&alone));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, task) = (lora(&backbone), Task::sequence(&recorded));
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let step = pool.install(|| task.step(backbone.model(Some(&lora))));
        [bits(&step.logits), bits(&step.weights), bits(&step.adapter), bits(&step.head)]
    };
    let one = with_threads(1);
    assert!(with_threads(2) == one && with_threads(5) == one);
}
