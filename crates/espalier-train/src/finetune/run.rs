//! A run of fine-tuning in progress.

use super::config::FinetuneConfig;
use super::labels::{Targets, output_of};
use super::network::Memory;
use super::start::starting_point;
use super::trunk::Trunk;
use super::{Frozen, family_of};
use crate::error::{Result, TrainError};
use crate::initialization::uniform;
use crate::memory;
use crate::objectives::Classification;
use crate::optimizer::{Group, Optimizer, OptimizerKind, Schedule};
use espalier_data::Examples;
use espalier_data::sampling::{Shuffled, generator};
use espalier_encoder::{Family, Head, Lora, Output};

/// The adapter and the head, and what trains them.
pub(super) struct Run<'a> {
    pub(super) lora: Lora,
    pub(super) head: Head,
    pub(super) output: Output,
    encoder: Frozen<'a>,
    family: Family,
    batch: usize,
    trunk: Trunk,
    targets: Targets,
    order: Shuffled,
    lora_group: Group,
    head_group: Group,
    optimizer: Optimizer,
    memory: Memory,
    objective: Classification,
}

impl<'a> Run<'a> {
    /// Runs the trunk over `train` and makes a head for its labels.
    pub(super) fn new(
        encoder: Frozen<'a>,
        init: Option<&Lora>,
        train: &Examples,
        config: &FinetuneConfig,
    ) -> Result<Self> {
        let family = family_of(train);
        let backbone = encoder.backbone(family);
        let lora = starting_point(backbone, init, config)?;
        let layers = backbone.encoder.layers() - lora.trunk_layers();
        memory::check_batch(&backbone.encoder.config, layers, config.batch.min(train.len()))?;
        let output = output_of(train);
        let mut rng = generator(config.seed, "head");
        let head = Head::random_init(
            backbone.encoder.width(),
            output.classes().unwrap_or(0),
            uniform(&mut rng),
        );
        let group = |length, learning_rate| {
            Group::new(length, learning_rate, vec![(0..length, config.weight_decay)])
        };
        let warmup = (config.warmup * config.steps as f32) as usize;
        let trunk = Trunk::new(encoder, train, lora.trunk_layers());
        Ok(Self {
            encoder,
            family,
            batch: config.batch,
            targets: Targets::new(train, trunk.encoded(), &output),
            trunk,
            order: Shuffled::new(train.len(), generator(config.seed, "order")),
            lora_group: group(lora.values.len(), config.learning_rate),
            head_group: group(head.values.len(), config.head_learning_rate),
            optimizer: Optimizer::new(
                OptimizerKind::AdamW,
                Schedule::Linear,
                config.steps,
                warmup,
                config.clip_norm,
            ),
            memory: Memory::default(),
            objective: Classification::default(),
            lora,
            head,
            output,
        })
    }

    /// One update by the next batch; returns its loss.
    pub(super) fn step(&mut self, step: usize) -> Result<f64> {
        let first = self.trunk.first();
        let picked = self.order.batch(self.batch);
        let (batch, input) = self.trunk.batch(&picked);

        let network = self.encoder.network(self.family, Some(&self.lora));
        let hidden = network.forward(first, &input, &batch, &mut self.memory); // [T, H]
        let d_head = &mut self.head_group.gradients;
        let loss = match self.family {
            Family::Ner => {
                self.objective.tokens(&self.head, hidden, &self.targets.of_tokens(&picked), d_head)
            }
            Family::Tc => {
                let pooling = self.encoder.backbone(self.family).text_vectors.pooling;
                self.objective.texts(
                    &self.head,
                    pooling,
                    hidden,
                    &batch,
                    &self.targets.of_texts(&picked),
                    d_head,
                )
            }
        };
        if !loss.is_finite() {
            let (objective, batch) = (self.family.into(), format!("examples {picked:?}"));
            return Err(TrainError::NotFinite { step, objective, loss, batch });
        }
        let (d_hidden, d_lora) = (&mut self.objective.d_hidden, &mut self.lora_group.gradients);
        network.backward(first, &batch, &mut self.memory, d_hidden, d_lora);
        self.optimizer.step(&mut [
            (&mut self.lora.values, &mut self.lora_group),
            (&mut self.head.values, &mut self.head_group),
        ])?;
        Ok(loss)
    }
}
