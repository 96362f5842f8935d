//! A run of fine-tuning in progress.

use super::config::FinetuneConfig;
use super::family_of;
use super::labels::{Targets, output_of};
use super::start::starting_point;
use super::trunk::Trunk;
use crate::data::Examples;
use crate::error::{Result, TrainError};
use crate::objectives::Classification;
use crate::optimizer::{Group, Optimizer, OptimizerKind, Schedule};
use crate::sampling::{Shuffled, generator, uniform};
use espalier_encoder::{Activations, Backbone, Family, Gradients, Head, Lora, Output};

/// The adapter and the head, and what trains them.
pub(super) struct Run<'a> {
    pub(super) lora: Lora,
    pub(super) head: Head,
    pub(super) output: Output,
    backbone: &'a Backbone,
    family: Family,
    batch: usize,
    trunk: Trunk,
    targets: Targets,
    order: Shuffled,
    lora_group: Group,
    head_group: Group,
    optimizer: Optimizer,
    activations: Activations,
    objective: Classification,
}

impl<'a> Run<'a> {
    /// Runs the trunk over `train` and makes a head for its labels.
    pub(super) fn new(
        backbone: &'a Backbone,
        init: Option<&Lora>,
        train: &Examples,
        config: &FinetuneConfig,
    ) -> Result<Self> {
        let lora = starting_point(backbone, init, config)?;
        let output = output_of(train);
        let mut rng = generator(config.seed, "head");
        let head = Head::fresh(backbone.encoder.width(), output.classes().unwrap_or(0), uniform(&mut rng));
        let group = |length, learning_rate| Group::new(length, learning_rate, vec![(0..length, config.weight_decay)]);
        let warmup = (config.warmup * config.steps as f32) as usize;
        Ok(Self {
            backbone,
            family: family_of(train),
            batch: config.batch,
            trunk: Trunk::new(backbone, train, lora.trunk_layers()),
            targets: Targets::new(train, &output),
            order: Shuffled::new(train.len(), generator(config.seed, "order")),
            lora_group: group(lora.values.len(), config.learning_rate),
            head_group: group(head.values.len(), config.head_learning_rate),
            optimizer: Optimizer::new(OptimizerKind::AdamW, Schedule::Linear, config.steps, warmup, config.clip_norm),
            activations: Activations::default(),
            objective: Classification::default(),
            lora,
            head,
            output,
        })
    }

    /// One update by the next batch; returns its loss.
    pub(super) fn step(&mut self, step: usize) -> Result<f64> {
        let layers = self.trunk.first()..self.backbone.encoder.layers();
        let picked = self.order.batch(self.batch);
        let (batch, input) = self.trunk.batch(&picked); // [T, H]
        let targets = self.targets.of(&picked, self.trunk.encoded());

        let model = self.backbone.model(Some(&self.lora));
        model.forward_layers(layers.clone(), Some(&input), &batch, &mut self.activations);
        let hidden = self.activations.output(); // [T, H]
        let d_head = &mut self.head_group.gradients;
        let loss = match self.family {
            Family::Ner => self.objective.tokens(&self.head, hidden, &targets, d_head),
            Family::Tc => {
                let pooling = self.backbone.text_vectors.pooling;
                self.objective.texts(&self.head, pooling, hidden, &batch, &targets, d_head)
            }
        };
        if !loss.is_finite() {
            let (objective, batch) = (self.family.into(), format!("examples {picked:?}"));
            return Err(TrainError::NotFinite { step, objective, loss, batch });
        }
        let gradients = Gradients { adapter: Some(&mut self.lora_group.gradients), ..Default::default() };
        model.backward(layers, &batch, &mut self.activations, &mut self.objective.d_hidden, gradients);
        self.optimizer.step(&mut [
            (&mut self.lora.values, &mut self.lora_group),
            (&mut self.head.values, &mut self.head_group),
        ])?;
        Ok(loss)
    }
}
