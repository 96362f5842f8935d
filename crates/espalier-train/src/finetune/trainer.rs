//! The training loop of fine-tuning. [`AdapterTrainer::step`] is one step of it.

use super::config::FinetuneConfig;
use super::frozen::{CachedExamples, FrozenEncoder};
use crate::error::{Result, TrainError};
use crate::initialization::uniform;
use crate::network::{NetworkActivations, NetworkGradients};
use crate::objectives::classification::loss::ClassificationLoss;
use crate::objectives::classification::{HiddenStates, Targets};
use crate::optimizer::{Optimizer, OptimizerConfig, ParameterGroup, Parameters};
use espalier_data::Examples;
use espalier_data::sampling::{Shuffled, generator};
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{
    EncoderConfig, Family, Gradients, Head, Lora, LoraConfig, Output, TextEncoder,
};

/// The adapter and the head in training, with the examples and the optimizer.
pub(super) struct AdapterTrainer<'a> {
    pub(super) lora: Lora,
    pub(super) head: Head,
    encoder: FrozenEncoder<'a>,
    family: Family,
    batch: usize,
    cached: &'a CachedExamples<'a>,
    /// The examples that are trained on, indices of the cached ones.
    subset: &'a [usize],
    targets: Targets,
    order: Shuffled,
    lora_group: ParameterGroup,
    head_group: ParameterGroup,
    optimizer: Optimizer,
    activations: NetworkActivations,
    loss: ClassificationLoss,
}

impl<'a> AdapterTrainer<'a> {
    /// Initializes a head for the classes of `train`, the subset of the cached examples.
    pub(super) fn new(
        cached: &'a CachedExamples<'a>,
        subset: &'a [usize],
        train: &Examples,
        lora: Lora,
        config: &FinetuneConfig,
    ) -> Result<Self> {
        let (encoder, family) = (cached.encoder(), cached.examples().family());
        cached.check_layers(lora.trunk_layers())?;
        let backbone = encoder.backbone(family);
        let targets = Targets::new(train, cached.encoded_of(subset));
        let mut rng = generator(config.seed, "head");
        let head =
            Head::random_init(backbone.encoder.width(), targets.classes(), uniform(&mut rng));
        let group = |length, learning_rate| {
            ParameterGroup::new(length, learning_rate, vec![(0..length, config.weight_decay)])
        };
        let optimizer = OptimizerConfig {
            warmup: (config.warmup * config.steps as f32) as usize,
            clip_norm: config.clip_norm,
            ..OptimizerConfig::new(config.steps) // AdamW, linear
        };
        Ok(Self {
            encoder,
            family,
            batch: config.batch,
            targets,
            cached,
            subset,
            order: Shuffled::new(subset.len(), generator(config.seed, "order")),
            lora_group: group(lora.values.len(), config.learning_rate),
            head_group: group(head.values.len(), config.head_learning_rate),
            optimizer: Optimizer::new(optimizer),
            activations: NetworkActivations::default(),
            loss: ClassificationLoss::default(),
            lora,
            head,
        })
    }

    /// The classes of the head.
    pub(super) fn output(&self) -> Output {
        self.targets.output()
    }

    /// One training step on the next batch. Returns its loss.
    pub(super) fn step(&mut self, step: usize) -> Result<f64> {
        let indices = self.order.batch(self.batch);
        let texts: Vec<usize> = indices.iter().map(|&index| self.subset[index]).collect();
        let (batch, input) = self.cached.batch(&texts);

        let network = self.encoder.trainable_network(self.family, Some(&self.lora))?;
        let layers = self.cached.layers()..network.layers().end;
        let activations = &mut self.activations;
        let hidden = network.forward(layers.clone(), Some(&input), &batch, activations); // [T, H]

        let pooling = self.encoder.backbone(self.family).text_vectors.pooling;
        let states = HiddenStates { hidden, batch: &batch, pooling };
        let d_head = &mut self.head_group.gradients;
        let loss = self.targets.loss(&indices, states, &self.head, &mut self.loss, d_head);
        if !loss.is_finite() {
            let (objective, batch) = (self.family.into(), format!("examples {texts:?}"));
            return Err(TrainError::NotFinite { step, objective, loss, batch });
        }

        let adapter = Some(self.lora_group.gradients.as_mut_slice());
        let own = Gradients { adapter, ..Gradients::default() };
        let gradients = NetworkGradients { own, ..NetworkGradients::default() };
        network.backward(layers, &batch, activations, &mut self.loss.d_hidden, gradients);

        self.optimizer.step(&mut [
            Parameters::new("adapter", &mut self.lora.values, &mut self.lora_group),
            Parameters::new("head", &mut self.head.values, &mut self.head_group),
        ])?;
        Ok(loss)
    }
}

/// A copy of `init`, if it fits the encoder, or a randomly initialized adapter.
pub(super) fn initial_adapter(
    backbone: &TextEncoder,
    init: Option<&Lora>,
    config: &FinetuneConfig,
) -> Result<Lora> {
    let layers = backbone.encoder.layers();
    if let Some(lora) = init {
        return match fits(lora, &backbone.encoder.config) {
            true => Ok(lora.clone()),
            false => Err(TrainError::Mismatch(format!(
                "the initial adapter does not fit this encoder, which has {layers} layers and \
                 width {}; use an adapter of this encoder",
                backbone.encoder.width()
            ))),
        };
    }
    let shape = config.lora.clone().unwrap_or_else(|| LoraConfig::for_layers(layers));
    if shape.layers > layers {
        let rule = "the encoder has fewer layers than that";
        return Err(TrainError::ConfigValue {
            key: "layers",
            value: shape.layers.to_string(),
            rule,
        });
    }
    let mut rng = generator(config.seed, "adapter");
    Ok(Lora::random_init(&backbone.encoder.config, &shape, uniform(&mut rng)))
}

/// Whether an adapter has the layout of an adapter of this encoder.
fn fits(lora: &Lora, config: &EncoderConfig) -> bool {
    let specs: Vec<SiteSpec> = lora.sites.iter().map(|site| site.spec).collect();
    let mut zeros = lora.clone();
    zeros.values.fill(0.0);
    specs.iter().all(|spec| spec.layer < config.num_hidden_layers)
        && zeros == Lora::zeros(config, specs)
}
