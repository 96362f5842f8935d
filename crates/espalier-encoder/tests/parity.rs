//! Hidden states, logits, losses and every gradient against PyTorch, transformers and peft.
//!
//! The recorded numbers are those of scripts/make_parity_fixtures.py: computed in f64, stored as
//! f32.

use espalier_encoder::{
    Activations, Adapter, Backbone, Batch, Gradients, Lora, Module, Pooling, Precision,
};
use espalier_testing::compare::{assert_close, bits, on_threads};
use espalier_testing::fixtures::{fixture, tiny_bert};
use espalier_testing::recorded::Recorded;
use espalier_testing::training_step::{Task, assert_hidden_states, assert_step, factors};

fn lora(backbone: &Backbone) -> Lora {
    Adapter::open_lora(&fixture("peft-adapter"), backbone).unwrap()
}

#[test]
fn hidden_states_of_every_layer() {
    assert_hidden_states(&Recorded::read(), &tiny_bert());
}

#[test]
fn classification_of_texts() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    assert_step(
        &recorded,
        "sequence",
        &Task::sequence(&recorded),
        backbone.trainable_model(None).unwrap(),
        true,
    );
}

#[test]
fn classification_of_texts_with_lora() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let lora = lora(&backbone);
    assert_eq!(lora.sites.len(), 2 * Module::ALL.len());
    for (name, values) in factors(&lora, &lora.values) {
        assert_eq!(values, recorded.tensors[&format!("lora.{name}")].f32s(), "{name}");
    }
    assert_step(
        &recorded,
        "sequence_lora",
        &Task::sequence(&recorded),
        backbone.trainable_model(Some(&lora)).unwrap(),
        true,
    );
}

#[test]
fn classification_of_tokens() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let task = Task::read(&recorded, "token", "token.labels", None);
    assert_step(&recorded, "token", &task, backbone.trainable_model(None).unwrap(), true);
}

#[test]
fn classification_by_the_first_token() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let task = Task { pooling: Some(Pooling::Cls), ..Task::sequence(&recorded) };
    assert_step(&recorded, "cls", &task, backbone.trainable_model(None).unwrap(), false);
}

#[test]
fn a_frozen_backbone_changes_nothing_for_the_adapter() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, task) = (lora(&backbone), Task::sequence(&recorded));
    let model = backbone.trainable_model(Some(&lora)).unwrap();
    assert_eq!(bits(&task.adapter_gradients(model)), bits(&task.step(model).adapter));
}

/// Layers may run one by one, each from what the one below gave, and back.
#[test]
fn one_layer_at_a_time_is_all_at_once() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, task) = (lora(&backbone), Task::sequence(&recorded));
    for precision in [Precision::F32, Precision::Bf16] {
        let backbone = backbone.clone().with_precision(precision);
        let model = backbone.trainable_model(Some(&lora)).unwrap();
        let expected = task.step(model);

        let mut activations: Vec<Activations> =
            (0..backbone.encoder.layers()).map(|_| Activations::default()).collect();
        let mut x: Option<Vec<f32>> = None;
        for (layer, activations) in activations.iter_mut().enumerate() {
            model.forward_layers(layer..layer + 1, x.as_deref(), &task.batch, activations);
            x = Some(activations.output().to_vec());
        }
        let (logits, _, _, mut d) = task.head_step(&x.unwrap(), backbone.encoder.width());
        assert_eq!(bits(&logits), bits(&expected.logits));
        let (mut weights, mut adapter) =
            (vec![0.0; model.weights.len()], vec![0.0; lora.values.len()]);
        let mut gradients = Gradients {
            weights: Some(&mut weights),
            embeddings: true,
            adapter: Some(&mut adapter),
        };
        for activations in activations.iter_mut().skip(1).rev() {
            model.backward_to_input(&task.batch, activations, &mut d, gradients.reborrow());
        }
        model.backward(&task.batch, &mut activations[0], &mut d, gradients);
        assert_eq!(
            (bits(&weights), bits(&adapter)),
            (bits(&expected.weights), bits(&expected.adapter))
        );
    }
}

/// Layer 0 has no adapter: what it gives can be computed once and kept.
#[test]
fn a_cached_trunk_changes_nothing_for_the_adapter() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, task) = (lora(&backbone), Task::sequence(&recorded));
    let (model, layers) =
        (backbone.trainable_model(Some(&lora)).unwrap(), backbone.encoder.layers());
    let first = lora.first_layer().unwrap();
    assert_eq!(first, 1);
    let plain = backbone.trainable_model(None).unwrap();
    let trunk = plain.encode_layers(0..first, None, &task.batch);

    let (mut activations, mut adapter) = (Activations::default(), vec![0.0; lora.values.len()]);
    model.forward_layers(first..layers, Some(&trunk), &task.batch, &mut activations);
    let (logits, _, _, mut d) = task.head_step(activations.output(), backbone.encoder.width());
    let gradients = Gradients { adapter: Some(&mut adapter), ..Gradients::default() };
    model.backward(&task.batch, &mut activations, &mut d, gradients);

    let whole = task.step(model);
    assert_eq!(bits(&logits), bits(&whole.logits));
    assert_eq!(bits(&adapter), bits(&whole.adapter));
}

#[test]
fn frozen_embeddings_get_no_gradient() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (task, model) = (Task::sequence(&recorded), backbone.trainable_model(None).unwrap());
    let (mut activations, mut weights) =
        (Activations::default(), vec![0.0; backbone.weights().len()]);
    model.forward(&task.batch, &mut activations);
    let (.., mut d) = task.head_step(activations.output(), backbone.encoder.width());
    let gradients = Gradients { weights: Some(&mut weights), ..Gradients::default() };
    model.backward(&task.batch, &mut activations, &mut d, gradients);

    let embeddings = backbone.encoder.layout.embeddings.all.clone();
    assert!(weights[embeddings.clone()].iter().all(|&gradient| gradient == 0.0));
    assert_eq!(bits(&weights[embeddings.end..]), bits(&task.step(model).weights[embeddings.end..]));
}

#[test]
fn gradients_are_added_to_what_is_there() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, task) = (lora(&backbone), Task::sequence(&recorded));
    let (model, mut activations) =
        (backbone.trainable_model(Some(&lora)).unwrap(), Activations::default());
    let (mut weights, mut adapter) =
        (vec![1.0; backbone.weights().len()], vec![1.0; lora.values.len()]);
    model.forward(&task.batch, &mut activations);
    let (.., mut d) = task.head_step(activations.output(), backbone.encoder.width());
    let gradients =
        Gradients { weights: Some(&mut weights), embeddings: true, adapter: Some(&mut adapter) };
    model.backward(&task.batch, &mut activations, &mut d, gradients);

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
    let model = backbone.trainable_model(Some(&lora)).unwrap();
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
        let (model, mut activations) =
            (backbone.trainable_model(adapter).unwrap(), Activations::default());
        model.forward(&batch, &mut activations);
        assert_eq!(bits(&model.encode(&batch)), bits(activations.output()));
    }
}

#[test]
fn a_batch_of_n_is_n_batches_of_one() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (lora, batch) = (lora(&backbone), recorded.batch());
    for adapter in [None, Some(&lora)] {
        let model = backbone.trainable_model(adapter).unwrap();
        let one = |s| model.encode(&Batch::new([&batch.ids[batch.sequence(s)]]));
        let alone: Vec<f32> = (0..batch.sequences()).flat_map(one).collect();
        assert_eq!(bits(&model.encode(&batch)), bits(&alone));
    }
}

#[test]
fn empty_sequences_and_empty_batches_are_no_trouble() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let (model, batch) = (backbone.trainable_model(None).unwrap(), recorded.batch());
    assert!(model.encode(&Batch::new([])).is_empty());
    let nothing = Task { batch: Batch::new([]), targets: Vec::new(), ..Task::sequence(&recorded) }
        .step(model);
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
        let step =
            on_threads(threads, || task.step(backbone.trainable_model(Some(&lora)).unwrap()));
        [bits(&step.logits), bits(&step.weights), bits(&step.adapter), bits(&step.head)]
    };
    let one = with_threads(1);
    assert!(with_threads(2) == one && with_threads(5) == one);
}
