//! Fine-tuning: a small adapter and a head for one task, on the frozen encoder, or on one of two
//! frozen columns.
//!
//! Layers below the first adapted one, the trunk, do not change, so they run once over the task's
//! texts and training starts from what they gave.

mod config;
mod frozen;
mod labels;
mod network;
mod predict;
mod run;
mod start;
mod trunk;

pub use config::FinetuneConfig;
pub use frozen::Frozen;
pub use predict::{Predictions, predict};

use crate::error::{Result, TrainError};
use espalier_data::Examples;
use espalier_encoder::{Adapter, AdapterCard, Family, Lora};
use run::Run;
use std::collections::BTreeMap;

/// What one step of fine-tuning did.
#[derive(Clone, Copy, Debug)]
pub struct FinetuneStep {
    /// The step, from 1.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Mean cross-entropy of the batch.
    pub loss: f64,
}

/// Trains an adapter and a head on `train`, calling `observe` after each step. The encoder is a
/// backbone, or what [`prefinetune`](crate::prefinetune()) gave.
///
/// The adapter starts from `init` (a family's) or fresh, and its numbers are rounded to bfloat16 at
/// the end. The same seed, data and machine give the same adapter to the bit, whatever the number
/// of threads.
///
/// # Errors
/// [`TrainError`] when there is nothing to learn (no examples), a setting is out of range, `init`
/// does not fit the encoder, or the loss is no longer a number.
pub fn finetune<'a>(
    encoder: impl Into<Frozen<'a>>,
    init: Option<&Lora>,
    train: &Examples,
    config: &FinetuneConfig,
    mut observe: impl FnMut(FinetuneStep),
) -> Result<Adapter> {
    let encoder = encoder.into();
    config.check()?;
    encoder.trainable()?;
    if train.is_empty() {
        return Err(TrainError::Init("the task has no examples to train on".into()));
    }
    let mut run = Run::new(encoder, init, train, config)?;
    for step in 1..=config.steps {
        let loss = run.step(step)?;
        observe(FinetuneStep { step, steps: config.steps, loss });
    }
    let family = family_of(train);
    let card = AdapterCard {
        format: AdapterCard::FORMAT,
        family,
        output: run.output,
        pooling: encoder.backbone(family).text_vectors.pooling,
        backbone: encoder.fingerprint(),
        training: provenance(train, init, config),
    };
    let mut adapter = Adapter { lora: run.lora, head: Some(run.head), card };
    // Before anyone scores it, so that scores are those of what is stored.
    adapter.round();
    Ok(adapter)
}

/// The family that a task's examples belong to.
pub fn family_of(examples: &Examples) -> Family {
    examples.family()
}

/// What `espalier.json` says about the training.
fn provenance(
    train: &Examples,
    init: Option<&Lora>,
    config: &FinetuneConfig,
) -> BTreeMap<String, serde_json::Value> {
    // By way of text, which writes 0.005 and not the f64 that an f32 of 0.005 widens to.
    let config = serde_json::to_string(config)
        .and_then(|text| serde_json::from_str(&text))
        .unwrap_or_default();
    BTreeMap::from([
        (AdapterCard::WORDS.to_string(), AdapterCard::OF_TOKENIZER.into()),
        ("examples".to_string(), train.len().into()),
        ("started_from".to_string(), if init.is_some() { "adapter" } else { "fresh" }.into()),
        ("config".to_string(), config),
        ("program".to_string(), concat!("espalier ", env!("CARGO_PKG_VERSION")).into()),
    ])
}
