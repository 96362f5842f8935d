//! The measured work: a training step, a forward pass, a fine-tuning step.

use super::repeat;
use super::workload::Workload;
use espalier_data::sampling::generator;
use espalier_encoder::{
    Activations, Batch, Gradients, Lora, LoraConfig, Model, PackedWeights, Pooling, TrainableModel,
};
use espalier_train::initialization::uniform;
use espalier_train::optimizer::{Optimizer, OptimizerConfig, ParameterGroup, Parameters, Schedule};
use std::hint::black_box;

/// Layers with an adapter, as in scripts/bench_peers.py.
const ADAPTED: usize = 2;

/// Trains all weights, or all but the embeddings, with AdamW.
pub(super) fn train(
    workload: &Workload,
    freeze_embeddings: bool,
    steps: usize,
) -> anyhow::Result<Vec<f64>> {
    let encoder = &workload.encoder;
    let mut weights = workload.weights.clone();
    let mut packed = PackedWeights::new(encoder, &weights, workload.precision);
    let frozen = if freeze_embeddings { encoder.layout.embeddings.all.end } else { 0 };
    let mut group = ParameterGroup::new(weights.len(), 1e-5, vec![(frozen..weights.len(), 0.01)]);
    let mut optimizer = optimizer(steps);
    let mut loss = Loss::default();
    let mut activations = Activations::default();
    repeat(steps, |step| {
        let batch = workload.batch(step);
        let model = Model { encoder, weights: &weights, packed: &packed, adapter: None };
        let model = TrainableModel::new(model)?;
        model.forward(batch, &mut activations);
        let d_hidden = loss.gradient(activations.output(), batch, encoder.width());
        let gradients = Gradients {
            weights: Some(&mut group.gradients),
            embeddings: !freeze_embeddings,
            adapter: None,
        };
        model.backward(batch, &mut activations, d_hidden, gradients);
        let (values, packed) = (weights.as_mut_slice(), Some((encoder, &mut packed)));
        let parameters = Parameters { name: "weights", values, group: &mut group, packed };
        optimizer.step(&mut [parameters])?;
        Ok(())
    })
}

/// Trains an adapter on the last layers. The frozen layers below run in each step, unless their
/// output is cached.
pub(super) fn finetune(
    workload: &Workload,
    cached_trunk: bool,
    steps: usize,
) -> anyhow::Result<Vec<f64>> {
    let (encoder, weights) = (&workload.encoder, &workload.weights);
    let layers = encoder.layers();
    let config = LoraConfig::for_layers(layers).with_layers(ADAPTED.min(layers));
    let mut rng = generator(0, "bench adapter");
    let mut lora = Lora::random_init(&encoder.config, &config, uniform(&mut rng));
    let packed = PackedWeights::new(encoder, weights, workload.precision);
    let plain = Model { encoder, weights, packed: &packed, adapter: None };
    let first = lora.trunk_layers();
    let trunk = |batch: &Batch| plain.encode_layers(0..first, None, batch);
    let stored: Vec<Vec<f32>> =
        if cached_trunk { workload.batches.iter().map(trunk).collect() } else { Vec::new() };

    let mut group =
        ParameterGroup::new(lora.values.len(), 1e-3, vec![(0..lora.values.len(), 0.01)]);
    let mut optimizer = optimizer(steps);
    let mut loss = Loss::default();
    let mut activations = Activations::default();
    repeat(steps, |step| {
        let batch = workload.batch(step);
        let fresh;
        let input = match cached_trunk {
            true => &stored[step % stored.len()],
            false => {
                fresh = trunk(batch);
                &fresh
            }
        };
        let model = TrainableModel::new(Model { adapter: Some(&lora), ..plain })?;
        model.forward_layers(first..layers, Some(input), batch, &mut activations);
        let d_hidden = loss.gradient(activations.output(), batch, encoder.width());
        let gradients = Gradients { adapter: Some(&mut group.gradients), ..Default::default() };
        model.backward(batch, &mut activations, d_hidden, gradients);
        optimizer.step(&mut [Parameters::new("adapter", &mut lora.values, &mut group)])?;
        Ok(())
    })
}

/// Computes token vectors.
pub(super) fn infer(workload: &Workload, steps: usize) -> anyhow::Result<Vec<f64>> {
    let (encoder, weights) = (&workload.encoder, &workload.weights);
    let packed;
    let model = match &workload.backbone {
        Some(backbone) => backbone.model(None),
        None => {
            packed = PackedWeights::new(encoder, weights, workload.precision);
            Model { encoder, weights, packed: &packed, adapter: None }
        }
    };
    repeat(steps, |step| {
        black_box(model.encode(workload.batch(step)));
        Ok(())
    })
}

fn optimizer(steps: usize) -> Optimizer {
    let mut config = OptimizerConfig::new(steps); // AdamW
    config.schedule = Schedule::Constant;
    Optimizer::new(config)
}

/// Half the squared norm of the text vectors, whose gradient is the text vectors.
#[derive(Default)]
struct Loss {
    pooled: Vec<f32>,
    d_hidden: Vec<f32>,
}

impl Loss {
    fn gradient(&mut self, hidden: &[f32], batch: &Batch, width: usize) -> &mut [f32] {
        Pooling::Mean.forward(hidden, batch, width, &mut self.pooled);
        Pooling::Mean.backward(&self.pooled, batch, width, &mut self.d_hidden);
        &mut self.d_hidden
    }
}
