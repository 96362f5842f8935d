//! Invalid settings, tasks and initial adapters.

use crate::tasks::{config, config_of_steps, names, opinions};
use espalier_data::Examples;
use espalier_encoder::{EncoderConfig, Lora, LoraConfig};
use espalier_testing::fixtures::{fixture, tiny_bert};
use espalier_train::finetune::FinetuneConfig;
use espalier_train::{Finetuner, TrainError};

/// The error of a fine-tuning that must be refused.
fn expect_error(init: Option<&Lora>, task: &Examples, config: &FinetuneConfig) -> TrainError {
    let backbone = tiny_bert();
    let tuner = Finetuner::new(&backbone).init(init).config(config.clone());
    tuner.train(task, |_| {}).expect_err("accepted, but should be refused")
}

#[test]
fn settings_out_of_range_are_refused() {
    type Spoil = fn(&mut FinetuneConfig);
    let cases: [(&str, Spoil); 14] = [
        ("steps", |config| config.steps = 0),
        ("batch", |config| config.batch = 0),
        ("batch", |config| config.batch = 1 << 40),
        ("warmup", |config| config.warmup = f32::NAN),
        ("alpha", |config| config.lora = Some(LoraConfig::for_layers(3).with_alpha(f32::NAN))),
        ("alpha", |config| config.lora = Some(LoraConfig::for_layers(3).with_alpha(f32::INFINITY))),
        ("rank", |config| config.lora = Some(LoraConfig::for_layers(3).with_rank(1 << 40))),
        ("learning-rate", |config| config.learning_rate = -1.0),
        ("learning-rate", |config| config.learning_rate = f32::NAN),
        ("head-learning-rate", |config| config.head_learning_rate = f32::INFINITY),
        ("weight-decay", |config| config.weight_decay = f32::NAN),
        ("clip-norm", |config| config.clip_norm = -1.0),
        ("layers", |config| config.lora = Some(LoraConfig::for_layers(3).with_layers(4))),
        ("rank", |config| config.lora = Some(LoraConfig::for_layers(3).with_rank(0))),
    ];
    for (expected, spoil) in cases {
        let mut config = config_of_steps(1);
        spoil(&mut config);
        let error = expect_error(None, &opinions(), &config);
        assert!(
            matches!(error, TrainError::ConfigValue { key, .. } if key == expected),
            "{expected}: {error}"
        );
    }
}

#[test]
fn a_task_without_examples_is_refused() {
    for task in [Examples::Ner(Vec::new()), Examples::Classification(Vec::new())] {
        let error = expect_error(None, &task, &config());
        assert!(
            matches!(error, TrainError::Mismatch(_)) && error.to_string().contains("no examples"),
            "{error}"
        );
    }
}

/// Initial adapters for an encoder that is wider, and for one that is deeper.
#[test]
fn an_adapter_of_another_encoder_is_refused() {
    let tiny = EncoderConfig::read(&fixture("tiny-bert").join("config.json")).unwrap();
    let wide = EncoderConfig { hidden_size: 48, ..tiny.clone() };
    let deep = EncoderConfig { num_hidden_layers: 5, ..tiny };
    for config_of_init in [wide, deep] {
        let shape = LoraConfig::for_layers(config_of_init.num_hidden_layers);
        let init = Lora::random_init(&config_of_init, &shape, || 0.5);
        for task in [opinions(), names()] {
            let error = expect_error(Some(&init), &task, &config());
            assert!(
                matches!(error, TrainError::Mismatch(_))
                    && error.to_string().contains("does not fit"),
                "{error}"
            );
        }
    }
}
