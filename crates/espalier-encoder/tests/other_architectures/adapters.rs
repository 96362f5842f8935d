//! Adapters as PEFT directories.

use crate::{NAMES, backbone, classifier};
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{Adapter, Architecture, EncoderConfig, Lora, Module};
use espalier_testing::adapters::{CONFIG, WEIGHTS, labels};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::{copy_of, edit_json, read_json};
use espalier_testing::tensors::{self, RawTensor};
use safetensors::tensor::Dtype;
use tempfile::TempDir;

#[test]
fn saving_what_peft_wrote_keeps_the_names() {
    for name in NAMES {
        let backbone = backbone(name);
        let ((theirs, adapter), ours) = (classifier(name, &backbone), TempDir::new().unwrap());
        adapter.save(ours.path()).unwrap();
        let tensors = |directory: &TempDir| -> Vec<(String, Vec<usize>, Vec<u8>)> {
            let tensors = tensors::read(&directory.path().join(WEIGHTS)).into_iter();
            tensors.map(|(name, tensor)| (name, tensor.shape, tensor.bytes)).collect()
        };
        assert_eq!(tensors(&ours), tensors(&theirs));
        assert_eq!(Adapter::open(ours.path(), &backbone).unwrap(), adapter);
    }
}

/// peft's rule: a module is adapted when its name ends with a target.
#[test]
fn targets_name_no_module_that_is_not_adapted() {
    for name in NAMES {
        let backbone = backbone(name);
        let architecture = backbone.encoder.config.architecture;
        let (_directory, mut adapter) = classifier(name, &backbone);
        for (first, other) in Module::ALL.into_iter().zip(Module::ALL.into_iter().cycle().skip(1)) {
            // One module of both layers; two modules, each of another layer.
            for sites in [vec![(0, first), (1, first)], vec![(0, first), (1, other)]] {
                let spec = |&(layer, module)| SiteSpec {
                    layer,
                    module,
                    rank: 1,
                    alpha: 1.0,
                    rank_stabilized: false,
                };
                adapter.lora =
                    Lora::zeros(&backbone.encoder.config, sites.iter().map(spec).collect());
                let directory = TempDir::new().unwrap();
                adapter.save(directory.path()).unwrap();
                let targets = read_json(&directory.path().join(CONFIG))["target_modules"].take();
                let targets: Vec<String> = serde_json::from_value(targets).unwrap();
                let targeted = |&(layer, module): &(usize, Module)| {
                    let full = format!("{name}.{}", architecture.module_name(layer, module));
                    targets.iter().any(|end| full.ends_with(&format!(".{end}")))
                };
                let all = (0..2).flat_map(|layer| Module::ALL.map(|module| (layer, module)));
                assert_eq!(all.filter(targeted).collect::<Vec<_>>(), sites, "{name}");
            }
        }
    }
}

/// The classes for texts have another layer before their last: peft would ask for its weights.
#[test]
fn the_head_of_a_text_classifier_has_a_class_with_one_linear_map() {
    for name in NAMES {
        let backbone = backbone(name);
        let (_directory, mut adapter) = classifier(name, &backbone);
        adapter.card.output = labels(&["good", "bad", "so-so"]);
        let directory = TempDir::new().unwrap();
        adapter.save(directory.path()).unwrap();
        assert_eq!(read_json(&directory.path().join(CONFIG))["task_type"], "TOKEN_CLS", "{name}");
        assert_eq!(Adapter::open(directory.path(), &backbone).unwrap(), adapter);
        // What peft saves for the class for texts is refused, not read without that layer.
        edit_json(&directory.path().join("espalier.json"), |card| {
            drop(card.as_object_mut().unwrap().remove("files"))
        });
        tensors::edit(&directory.path().join(WEIGHTS), |tensors| {
            let dense = if name == "distilbert" { "pre_classifier" } else { "classifier.dense" };
            let dense = format!("base_model.model.{dense}.weight");
            tensors.insert(dense, RawTensor::zeros(Dtype::F32, &[32, 32]));
        });
        expect_error(
            Adapter::open(directory.path(), &backbone),
            &["classifier", "not one this engine knows"],
        );
    }
}

#[test]
fn an_adapter_of_another_architecture_does_not_fit() {
    let [distilbert, mpnet] = ["distilbert", "mpnet"].map(backbone);
    let (_directory, adapter) = classifier("mpnet", &mpnet);
    assert!(adapter.validate(&mpnet.encoder.config).is_ok());
    let other =
        EncoderConfig { architecture: Architecture::DISTILBERT, ..mpnet.encoder.config.clone() };
    assert!(adapter.validate(&other).is_err());
    let directory = copy_of("kin/mpnet/adapter");
    expect_error(
        Adapter::open_lora(directory.path(), &distilbert),
        &["mpnet.encoder.layer.1", "does not have"],
    );
}
