//! A training step allocates no memory once all buffers have their full size.

use espalier_encoder::{
    Activations, Batch, Encoder, Gradients, Model, PackedWeights, Pooling, Precision,
    TrainableModel,
};
use espalier_train::optimizer::{Optimizer, OptimizerConfig, ParameterGroup, Parameters, Schedule};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Everything that a step needs, large enough for matrix products to be split among threads.
struct Training {
    encoder: Encoder,
    weights: Vec<f32>,
    packed: PackedWeights,
    group: ParameterGroup,
    optimizer: Optimizer,
    activations: Activations,
    pooled: Vec<f32>,
    d_hidden: Vec<f32>,
}

impl Training {
    fn new(precision: Precision) -> Self {
        let config = serde_json::json!({
            "num_hidden_layers": 2,
            "hidden_size": 96,
            "num_attention_heads": 4,
            "intermediate_size": 384,
            "vocab_size": 100,
            "max_position_embeddings": 64,
        });
        let encoder = Encoder::new(serde_json::from_value(config).unwrap());
        let weights: Vec<f32> =
            (0..encoder.layout.len()).map(|i| (i % 97) as f32 / 970.0 - 0.05).collect();
        let packed = PackedWeights::new(&encoder, &weights, precision);
        let group = ParameterGroup::new(weights.len(), 1e-4, vec![(0..weights.len(), 0.01)]);
        let mut optimizer = OptimizerConfig::new(100);
        (optimizer.schedule, optimizer.clip_norm) = (Schedule::Constant, 1.0);
        let optimizer = Optimizer::new(optimizer);
        let (activations, pooled, d_hidden) = (Activations::default(), Vec::new(), Vec::new());
        Self { encoder, weights, packed, group, optimizer, activations, pooled, d_hidden }
    }

    fn step(&mut self, batch: &Batch) {
        let Self { encoder, weights, packed, group, activations, pooled, d_hidden, .. } = self;
        let model = Model { encoder, weights, packed, adapter: None };
        let model = TrainableModel::new(model).unwrap();
        model.forward(batch, activations);
        Pooling::Mean.forward(activations.output(), batch, encoder.width(), pooled);
        Pooling::Mean.backward(pooled, batch, encoder.width(), d_hidden);
        let gradients =
            Gradients { weights: Some(&mut group.gradients), embeddings: true, adapter: None };
        model.backward(batch, activations, d_hidden, gradients);
        let packed = Some((&*encoder, packed));
        let parameters = Parameters { name: "weights", values: weights, group, packed };
        self.optimizer.step(&mut [parameters]).unwrap();
    }
}

#[test]
fn a_step_allocates_nothing() {
    let sequences: Vec<Vec<u32>> =
        (1..=32).map(|length| (0..length).map(|i| i * 3 % 100).collect()).collect();
    let batch = Batch::new(sequences.iter().map(Vec::as_slice));
    // With several threads, it would be random which of their buffers have their full size.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for precision in [Precision::F32, Precision::Bf16] {
        let mut training = Training::new(precision);
        pool.install(|| (0..3).for_each(|_| training.step(&batch)));
        let counted = pool.install(|| {
            let region = Region::new(ALLOCATOR);
            (0..5).for_each(|_| training.step(&batch));
            region.change()
        });
        assert_eq!(
            (counted.allocations, counted.reallocations),
            (0, 0),
            "{precision}: {counted:?}"
        );
    }
}
