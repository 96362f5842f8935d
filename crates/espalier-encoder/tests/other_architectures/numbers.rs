//! Hidden states and gradients.

use crate::{NAMES, backbone, classifier, recorded};
use espalier_encoder::{Activations, Adapter, Backbone, Batch, Module, Precision};
use espalier_testing::compare::{bits, on_threads};
use espalier_testing::recorded::Recorded;
use espalier_testing::training_step::{Step, Task, assert_hidden_states, assert_step};

fn task(recorded: &Recorded, adapter: &Adapter) -> Task {
    let head = adapter.head.clone().unwrap();
    Task { head, pooling: None, targets: recorded.targets("token.labels"), batch: recorded.batch() }
}

#[test]
fn hidden_states_of_every_layer() {
    for name in NAMES {
        assert_hidden_states(&recorded(name), &backbone(name));
    }
}

#[test]
fn every_gradient_with_lora_on_every_module() {
    for name in NAMES {
        let (recorded, backbone) = (recorded(name), backbone(name));
        let (_directory, adapter) = classifier(name, &backbone);
        assert_eq!(adapter.lora.sites.len(), Module::ALL.len());
        assert_step(
            &recorded,
            "token",
            &task(&recorded, &adapter),
            backbone.trainable_model(Some(&adapter.lora)).unwrap(),
            true,
        );
    }
}

/// The largest difference as a share of the largest value.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = |values: &mut dyn Iterator<Item = f32>| {
        values.fold(0f32, |largest, x| largest.max(x.abs()))
    };
    largest(&mut a.iter().zip(b).map(|(a, b)| a - b)) / largest(&mut b.iter().copied())
}

/// bf16 rounds to eight bits: 0.4 % a product, of which a few follow each other here.
#[test]
fn bf16_is_near_f32_forward_and_backward() {
    for name in NAMES {
        let (recorded, backbone) = (recorded(name), backbone(name));
        let (_directory, adapter) = classifier(name, &backbone);
        let task = task(&recorded, &adapter);
        let step = |backbone: &Backbone| -> Step {
            task.step(backbone.trainable_model(Some(&adapter.lora)).unwrap())
        };
        let (exact, rounded) =
            (step(&backbone), step(&backbone.clone().with_precision(Precision::Bf16)));
        for spec in &backbone.encoder.layout.tensors {
            // Zero in theory: see `assert_close`.
            if !["key.bias", "k_lin.bias", "attn.k.bias"]
                .iter()
                .any(|zero| spec.name.ends_with(zero))
            {
                let (exact, rounded) =
                    (&exact.weights[spec.range.clone()], &rounded.weights[spec.range.clone()]);
                let difference = difference(rounded, exact);
                assert!(
                    difference < 0.1,
                    "{name}: the gradient of {} is {difference} off",
                    spec.name
                );
            }
        }
        assert!(
            difference(&rounded.logits, &exact.logits) < 0.05 && rounded.logits != exact.logits,
            "{name}"
        );
    }
}

#[test]
fn encode_is_forward_without_memory_and_knows_no_neighbours() {
    for name in NAMES {
        let (batch, backbone) = (recorded(name).batch(), backbone(name));
        for precision in [Precision::F32, Precision::Bf16] {
            let backbone = backbone.clone().with_precision(precision);
            let (model, mut activations) =
                (backbone.trainable_model(None).unwrap(), Activations::default());
            model.forward(&batch, &mut activations);
            let encoded = bits(&model.encode(&batch));
            assert_eq!(encoded, bits(activations.output()), "{name}");
            let one = |s| model.encode(&Batch::new([&batch.ids[batch.sequence(s)]]));
            let alone: Vec<f32> = (0..batch.sequences()).flat_map(one).collect();
            assert_eq!(encoded, bits(&alone), "{name}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for name in NAMES {
        let (recorded, backbone) = (recorded(name), backbone(name));
        let (_directory, adapter) = classifier(name, &backbone);
        let task = task(&recorded, &adapter);
        let with_threads = |threads| {
            let step = on_threads(threads, || {
                task.step(backbone.trainable_model(Some(&adapter.lora)).unwrap())
            });
            [bits(&step.logits), bits(&step.weights), bits(&step.adapter), bits(&step.head)]
        };
        let one = with_threads(1);
        assert!(with_threads(2) == one && with_threads(5) == one, "{name}");
    }
}
