//! Fine-tuning: trains an adapter and a head for one task, on a frozen encoder.
//!
//! The layers below the first adapted one, the trunk, do not change. They run once over the texts
//! of the task, and every step starts from their cached output ([`CachedExamples`]).

mod config;
mod frozen;
mod predict;
mod trainer;

pub use config::FinetuneConfig;
pub use frozen::{CachedExamples, FrozenEncoder};
pub use predict::{Predictions, predict, predict_cached};

use crate::error::{Result, TrainError};
use crate::memory;
use espalier_data::Examples;
use espalier_encoder::{Adapter, AdapterCard, Lora};
use std::collections::BTreeMap;
use trainer::{AdapterTrainer, initial_adapter};

/// Trains adapters on a frozen encoder.
///
/// ```
/// use espalier_data::Examples;
/// use espalier_encoder::Backbone;
/// use espalier_train::finetune::{FinetuneConfig, Finetuner};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let backbone = Backbone::open(path.as_ref())?;
/// let rows = ["london", "paris", "berlin"].map(|city| (["to", city], ["O", "B-city"]));
/// let examples = Examples::ner_from_tags(rows)?;
///
/// let mut config = FinetuneConfig::default();
/// config.steps = 20;
/// let mut losses = Vec::new();
/// let tuner = Finetuner::new(&backbone).config(config);
/// let adapter = tuner.train(&examples, |step| losses.push(step.loss))?;
/// assert!(losses[19] < losses[0]);
/// assert_eq!(adapter.head.unwrap().classes, 3); // O, B-city and I-city
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
#[non_exhaustive]
pub struct FinetuneStep {
    /// The step, from 1.
    pub step: usize,
    /// The number of steps of the run.
    pub steps: usize,
    /// The mean cross-entropy of the batch.
    pub loss: f64,
}

impl<'a> Finetuner<'a> {
    /// Fine-tuning on a backbone, or on the result of [`prefinetune`](crate::prefinetune()), with
    /// the default settings.
    pub fn new(encoder: impl Into<FrozenEncoder<'a>>) -> Self {
        Self { encoder: encoder.into(), init: None, config: FinetuneConfig::default() }
    }

    /// Sets the settings.
    pub fn config(self, config: FinetuneConfig) -> Self {
        Self { config, ..self }
    }

    /// Sets an adapter to start from, such as a family's adapter from pre-finetuning
    /// ([`Prefinetuned::adapters`](crate::Prefinetuned)) or the field `lora` of a saved adapter.
    /// The default is a randomly initialized one.
    pub fn init(self, init: Option<&'a Lora>) -> Self {
        Self { init, ..self }
    }

    /// Trains an adapter and a head on examples. Calls `observe` after each step.
    ///
    /// At the end, the adapter and the head are rounded to bfloat16. With the same seed, data and
    /// machine they are the same, bit for bit, for any number of threads.
    ///
    /// # Errors
    /// [`TrainError`] if there are no examples, a setting is out of range, the initial adapter does
    /// not fit the encoder, or the loss is not finite.
    pub fn train(&self, train: &Examples, observe: impl FnMut(FinetuneStep)) -> Result<Adapter> {
        let lora = self.initial_adapter(train)?; // fails before the trunk runs
        let cached = CachedExamples::new(self.encoder, train, lora.trunk_layers());
        let all: Vec<usize> = (0..train.len()).collect();
        self.train_cached(&cached, &all, observe)
    }

    /// As [`Finetuner::train`], on the examples with the indices in `subset`, and with the trunk's
    /// output that is cached. See [`CachedExamples`].
    ///
    /// # Errors
    /// Those of [`Finetuner::train`], and [`TrainError::Mismatch`] if the trunk's output is of
    /// another encoder, or of another number of layers than the adapter has below it.
    ///
    /// # Panics
    /// If an index is not one of an example.
    pub fn train_cached(
        &self,
        cached: &CachedExamples,
        subset: &[usize],
        mut observe: impl FnMut(FinetuneStep),
    ) -> Result<Adapter> {
        let Self { encoder, init, config } = self;
        if !encoder.is_same(&cached.encoder()) {
            let problem = "the cached output is of another encoder than the one to train on";
            return Err(TrainError::Mismatch(problem.into()));
        }
        let train = &cached.examples().select(subset);
        let lora = self.initial_adapter(train)?;
        let mut trainer = AdapterTrainer::new(cached, subset, train, lora, config)?;
        for step in 1..=config.steps {
            let loss = trainer.step(step)?;
            observe(FinetuneStep { step, steps: config.steps, loss });
        }
        let family = train.family();
        let card = AdapterCard {
            format: AdapterCard::FORMAT,
            family,
            output: trainer.output(),
            pooling: encoder.backbone(family).text_vectors.pooling,
            backbone: encoder.fingerprint(),
            training: provenance(train, *init, config),
        };
        let mut adapter = Adapter { lora: trainer.lora, head: Some(trainer.head), card };
        // Files store bfloat16. Rounding here makes scores the same before and after saving.
        adapter.round();
        Ok(adapter)
    }
}

impl Finetuner<'_> {
    /// The adapter that training starts from. Checks the settings and the memory of a batch, so
    /// that an error comes before the trunk runs.
    fn initial_adapter(&self, train: &Examples) -> Result<Lora> {
        self.config.check()?;
        if train.is_empty() {
            return Err(TrainError::Mismatch("the task has no examples to train on".into()));
        }
        let family = train.family();
        self.encoder.trainable_network(family, None)?; // it may be packed in int8
        let backbone = self.encoder.backbone(family);
        let lora = initial_adapter(backbone, self.init, &self.config)?;
        let layers = backbone.encoder.layers() - lora.trunk_layers();
        let batch = self.config.batch.min(train.len());
        memory::check_batch(&backbone.encoder.config, layers, batch)?;
        Ok(lora)
    }
}

/// The entry `training` of `espalier.json`.
fn provenance(
    train: &Examples,
    init: Option<&Lora>,
    config: &FinetuneConfig,
) -> BTreeMap<String, serde_json::Value> {
    // Converted through text, so that an f32 of 0.005 is written as 0.005 and not with the digits
    // of an f64.
    let config = serde_json::to_string(config).and_then(|text| serde_json::from_str(&text));
    BTreeMap::from([
        (AdapterCard::WORDS.to_string(), AdapterCard::OF_TOKENIZER.into()),
        ("examples".to_string(), train.len().into()),
        ("started_from".to_string(), if init.is_some() { "adapter" } else { "fresh" }.into()),
        ("config".to_string(), config.unwrap_or_default()),
        ("program".to_string(), concat!("espalier ", env!("CARGO_PKG_VERSION")).into()),
    ])
}
