//! Fine-tuning: a small adapter and a head for one task, on the frozen encoder.
//!
//! Layers below the first adapted one, the trunk, do not change, so they run once over the task's
//! texts and training starts from their output.

mod config;
mod frozen;
mod predict;
mod run;

pub use config::FinetuneConfig;
pub use frozen::FrozenEncoder;
pub use predict::{Predictions, predict};

use crate::error::{Result, TrainError};
use espalier_data::Examples;
use espalier_encoder::{Adapter, AdapterCard, Lora};
use run::Run;
use std::collections::BTreeMap;

/// Trains adapters on a frozen encoder.
///
/// ```
/// use espalier_data::{AnnotatedText, Examples};
/// use espalier_encoder::Backbone;
/// use espalier_train::finetune::{FinetuneConfig, Finetuner, Predictions, predict};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let backbone = Backbone::open(path.as_ref())?;
/// let rows = ["london", "paris", "berlin"]
///     .map(|city| AnnotatedText::from_tags(&["trains", "to", city], &["O", "O", "B-city"]));
/// let examples = Examples::Ner(rows.to_vec());
///
/// let mut config = FinetuneConfig::default();
/// config.steps = 20;
/// let mut losses = Vec::new();
/// let tuner = Finetuner::new(&backbone).config(config);
/// let adapter = tuner.train(&examples, |step| losses.push(step.loss))?;
/// assert!(losses[19] < losses[0]);
///
/// let Predictions::Entities(found) = predict(&backbone, &adapter, &examples)? else { panic!() };
/// assert_eq!(found.len(), 3);
/// # Ok::<_, espalier_train::TrainError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Finetuner<'a> {
    encoder: FrozenEncoder<'a>,
    init: Option<&'a Lora>,
    config: FinetuneConfig,
}

/// The report of one step of fine-tuning.
#[derive(Clone, Copy, Debug)]
pub struct FinetuneStep {
    /// The step, from 1.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Mean cross-entropy of the batch.
    pub loss: f64,
}

impl<'a> Finetuner<'a> {
    /// On a backbone, or on what [`prefinetune`](crate::prefinetune()) returned, with the default
    /// settings.
    pub fn new(encoder: impl Into<FrozenEncoder<'a>>) -> Self {
        Self { encoder: encoder.into(), init: None, config: FinetuneConfig::default() }
    }

    /// With these settings.
    pub fn config(self, config: FinetuneConfig) -> Self {
        Self { config, ..self }
    }

    /// Starting from an adapter, such as a family's from pre-finetuning, instead of a randomly
    /// initialised one.
    pub fn init(self, init: Option<&'a Lora>) -> Self {
        Self { init, ..self }
    }

    /// Trains an adapter and a head on `train`, calling `observe` after each step.
    ///
    /// The adapter's numbers are rounded to bfloat16 at the end. The same seed, data and machine
    /// give the same adapter to the bit, whatever the number of threads.
    ///
    /// # Errors
    /// [`TrainError`] when there are no examples, a setting is out of range, the adapter to start
    /// from does not fit the encoder, or the loss is not finite.
    pub fn train(
        &self,
        train: &Examples,
        mut observe: impl FnMut(FinetuneStep),
    ) -> Result<Adapter> {
        let Self { encoder, init, config } = self;
        config.check()?;
        encoder.trainable()?;
        if train.is_empty() {
            return Err(TrainError::Init("the task has no examples to train on".into()));
        }
        let mut run = Run::new(*encoder, *init, train, config)?;
        for step in 1..=config.steps {
            let loss = run.step(step)?;
            observe(FinetuneStep { step, steps: config.steps, loss });
        }
        let family = train.family();
        let card = AdapterCard {
            format: AdapterCard::FORMAT,
            family,
            output: run.output(),
            pooling: encoder.backbone(family).text_vectors.pooling,
            backbone: encoder.fingerprint(),
            training: provenance(train, *init, config),
        };
        let mut adapter = Adapter { lora: run.lora, head: Some(run.head), card };
        // Before anyone scores it, so that scores are those of what is stored.
        adapter.round();
        Ok(adapter)
    }
}

/// What `espalier.json` says about the training.
fn provenance(
    train: &Examples,
    init: Option<&Lora>,
    config: &FinetuneConfig,
) -> BTreeMap<String, serde_json::Value> {
    // Through text, which writes 0.005 and not the f64 that an f32 of 0.005 widens to.
    let config = serde_json::to_string(config).and_then(|text| serde_json::from_str(&text));
    BTreeMap::from([
        (AdapterCard::WORDS.to_string(), AdapterCard::OF_TOKENIZER.into()),
        ("examples".to_string(), train.len().into()),
        ("started_from".to_string(), if init.is_some() { "adapter" } else { "fresh" }.into()),
        ("config".to_string(), config.unwrap_or_default()),
        ("program".to_string(), concat!("espalier ", env!("CARGO_PKG_VERSION")).into()),
    ])
}
