//! Fine-tuning: a small adapter and a head for one task, on the frozen encoder.
//!
//! Layers below the first adapted one, the trunk, do not change, so they run once over the task's texts and training starts from
//! what they gave.

mod labels;
mod predict;
mod trunk;

pub use predict::{Predictions, predict};

use crate::data::Examples;
use crate::error::{Result, TrainError};
use crate::optimizer::{Group, Optimizer, OptimizerKind, Schedule};
use crate::sampling::{Shuffled, generator, uniform};
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{
    Activations, Adapter, AdapterCard, Backbone, EncoderConfig, Family, Gradients, Head, Lora, LoraConfig,
};
use espalier_kernels::loss::cross_entropy;
use labels::{Targets, output_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trunk::Trunk;

/// How an adapter is trained; the same for every strategy and task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinetuneConfig {
    /// Number of updates.
    pub steps: usize,
    /// Examples per update.
    pub batch: usize,
    /// Peak learning rate of the adapter; it falls to zero on a straight line.
    pub learning_rate: f32,
    /// Peak learning rate of the head.
    pub head_learning_rate: f32,
    /// Weight decay of both.
    pub weight_decay: f32,
    /// Share of the steps over which the learning rates rise.
    pub warmup: f32,
    /// Global norm that gradients are scaled down to; 0 for no clipping.
    pub clip_norm: f32,
    /// Seed of the head, a fresh adapter and the order of examples.
    pub seed: u64,
    /// Shape of a fresh adapter, where none is given to start from; `None` means [`LoraConfig::for_layers`].
    pub lora: Option<LoraConfig>,
}

impl Default for FinetuneConfig {
    fn default() -> Self {
        Self {
            steps: 300,
            batch: 16,
            learning_rate: 1e-3,
            head_learning_rate: 5e-3,
            weight_decay: 0.01,
            warmup: 0.1,
            clip_norm: 1.0,
            seed: 0,
            lora: None,
        }
    }
}

impl FinetuneConfig {
    fn check(&self) -> Result<()> {
        let number = |x: f32| x.is_finite() && x >= 0.0;
        let rules = [
            ("steps", self.steps.to_string(), self.steps > 0, "it must be at least 1"),
            ("batch", self.batch.to_string(), self.batch > 0, "it must be at least 1"),
            ("learning-rate", self.learning_rate.to_string(), number(self.learning_rate), "it must be at least 0"),
            (
                "head-learning-rate",
                self.head_learning_rate.to_string(),
                number(self.head_learning_rate),
                "it must be at least 0",
            ),
            ("weight-decay", self.weight_decay.to_string(), number(self.weight_decay), "it must be at least 0"),
            ("clip-norm", self.clip_norm.to_string(), number(self.clip_norm), "it must be at least 0"),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((key, value, _, rule)) => Err(TrainError::ConfigValue { key, value, rule }),
            None => Ok(()),
        }
    }
}

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

/// Trains an adapter and a head on `train`, calling `observe` after each step.
///
/// The adapter starts from `init` (a family's) or fresh. The same seed, data and machine give the same adapter to the bit,
/// whatever the number of threads.
///
/// # Errors
/// [`TrainError`] when there is nothing to learn (no examples), a setting is out of range, `init` does not fit the encoder, or the
/// loss is no longer a number.
pub fn finetune(
    backbone: &Backbone,
    init: Option<&Lora>,
    train: &Examples,
    config: &FinetuneConfig,
    mut observe: impl FnMut(FinetuneStep),
) -> Result<Adapter> {
    config.check()?;
    if train.is_empty() {
        return Err(TrainError::Init("the task has no examples to train on".into()));
    }
    let family = family_of(train);
    let encoder = &backbone.encoder;
    let (layers, width) = (encoder.layers(), encoder.width());
    let mut lora = starting_point(backbone, init, config)?;
    let first = lora.first_layer().unwrap_or(layers);
    let pooling = backbone.text_vectors.pooling;
    let output = output_of(train);
    let targets = Targets::new(train, &output);
    let trunk = Trunk::new(backbone, train, first);

    let mut rng = generator(config.seed, "head");
    let mut head = Head::fresh(width, output.classes().unwrap_or(0), uniform(&mut rng));
    let mut lora_group = group(lora.values.len(), config.learning_rate, config);
    let mut head_group = group(head.values.len(), config.head_learning_rate, config);
    let warmup = (config.warmup * config.steps as f32) as usize;
    let mut optimizer = Optimizer::new(OptimizerKind::AdamW, Schedule::Linear, config.steps, warmup, config.clip_norm);
    let mut order = Shuffled::new(train.len(), generator(config.seed, "order"));

    let mut activations = Activations::default();
    let (mut pooled, mut scores, mut d_pooled, mut d_hidden) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for step in 1..=config.steps {
        let picked = order.batch(config.batch);
        let (batch, input) = trunk.batch(&picked); // [T, H]
        let batch_targets = targets.of(&picked, trunk.encoded());
        lora_group.zero_gradients();
        head_group.zero_gradients();

        let model = backbone.model(Some(&lora));
        model.forward_layers(first..layers, &input, &batch, &mut activations);
        let hidden = if first == layers { input.as_slice() } else { activations.output(layers - 1) };
        let loss = match family {
            Family::Ner => {
                head.forward(hidden, &mut scores); // [T, C]
                let loss = cross_entropy(&mut scores, &batch_targets, head.classes);
                head.backward(hidden, &scores, &mut head_group.gradients, &mut d_hidden);
                loss
            }
            Family::Tc => {
                pooling.forward(hidden, &batch, width, &mut pooled); // [n, H]
                head.forward(&pooled, &mut scores); // [n, C]
                let loss = cross_entropy(&mut scores, &batch_targets, head.classes);
                head.backward(&pooled, &scores, &mut head_group.gradients, &mut d_pooled);
                pooling.backward(&d_pooled, &batch, width, &mut d_hidden);
                loss
            }
        };
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { step, family, loss, batch: format!("examples {picked:?}") });
        }
        let gradients = Gradients { adapter: Some(&mut lora_group.gradients), ..Default::default() };
        model.backward(first..layers, &batch, &mut activations, &mut d_hidden, gradients);
        optimizer.step(&mut [(&mut lora.values, &mut lora_group), (&mut head.values, &mut head_group)])?;
        observe(FinetuneStep { step, steps: config.steps, loss });
    }
    let card = AdapterCard {
        format: AdapterCard::FORMAT,
        family,
        output,
        pooling,
        backbone: backbone.fingerprint().to_string(),
        training: provenance(train, init, config),
    };
    Ok(Adapter { lora, head: Some(head), card })
}

/// The family that a task's examples belong to.
pub fn family_of(examples: &Examples) -> Family {
    match examples {
        Examples::Ner(_) => Family::Ner,
        Examples::Classification(_) => Family::Tc,
    }
}

fn starting_point(backbone: &Backbone, init: Option<&Lora>, config: &FinetuneConfig) -> Result<Lora> {
    let layers = backbone.encoder.layers();
    if let Some(lora) = init {
        return match fits(lora, &backbone.encoder.config) {
            true => Ok(lora.clone()),
            false => Err(TrainError::Init(format!(
                "the adapter to start from does not fit this encoder of {layers} layers and width {}; it was made for another",
                backbone.encoder.width()
            ))),
        };
    }
    let shape = config.lora.clone().unwrap_or_else(|| LoraConfig::for_layers(layers));
    if shape.layers > layers {
        let rule = "the encoder has fewer layers than that";
        return Err(TrainError::ConfigValue { key: "layers", value: shape.layers.to_string(), rule });
    }
    if shape.rank == 0 {
        return Err(TrainError::ConfigValue { key: "rank", value: "0".into(), rule: "it must be at least 1" });
    }
    let mut rng = generator(config.seed, "adapter");
    Ok(Lora::fresh(&backbone.encoder.config, &shape, uniform(&mut rng)))
}

/// Whether an adapter has the layout that it would have on this encoder.
fn fits(lora: &Lora, config: &EncoderConfig) -> bool {
    let specs: Vec<SiteSpec> = lora.sites.iter().map(|site| site.spec).collect();
    let mut blank = lora.clone();
    blank.values.fill(0.0);
    specs.iter().all(|spec| spec.layer < config.num_hidden_layers) && blank == Lora::zeros(config, specs)
}

fn group(length: usize, learning_rate: f32, config: &FinetuneConfig) -> Group {
    Group::new(length, learning_rate, vec![(0..length, config.weight_decay)])
}

fn provenance(train: &Examples, init: Option<&Lora>, config: &FinetuneConfig) -> BTreeMap<String, serde_json::Value> {
    BTreeMap::from([
        ("examples".to_string(), train.len().into()),
        ("started_from".to_string(), if init.is_some() { "adapter" } else { "fresh" }.into()),
        ("config".to_string(), serde_json::to_value(config).unwrap_or_default()),
        ("program".to_string(), concat!("espalier ", env!("CARGO_PKG_VERSION")).into()),
    ])
}
