//! The classification side of pre-finetuning: contrast of text pairs.

use super::{Side, SideReport, excerpt};
use crate::config::TcConfig;
use crate::data::{TextPair, read_pairs};
use crate::error::{Result, TrainError};
use crate::objectives::{PairObjective, false_negatives};
use crate::optimizer::Group;
use crate::sampling::{Shuffled, Weighted, generator};
use espalier_encoder::{Activations, Backbone, Batch, Encoded, Family, Gradients, Model, Pooling, Tokenizer};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pairs by source. A batch comes from one source, so that negatives are not told apart by style.
pub(super) struct TcSide {
    sources: Vec<(Vec<TextPair>, Shuffled)>,
    draw: Weighted,
    batch: usize,
    weight: f32,
    pooling: Pooling,
    objective: PairObjective,
    tokenizer: Arc<Tokenizer>,
}

impl TcSide {
    pub(super) fn new(backbone: &Backbone, config: &TcConfig, seed: u64) -> Result<Self> {
        let mut sources: BTreeMap<String, Vec<TextPair>> = BTreeMap::new();
        for path in &config.corpora {
            for pair in read_pairs(path)? {
                sources.entry(pair.source.clone()).or_default().push(pair);
            }
        }
        // A source of one pair has no negatives to give.
        sources.retain(|_, pairs| pairs.len() > 1);
        if sources.is_empty() {
            let (key, rule) =
                ("tc.corpora", "at least one source must have two pairs or more: the others are negatives");
            return Err(TrainError::ConfigValue { key, value: format!("{:?}", config.corpora), rule });
        }
        let weights: Vec<f64> =
            sources.values().map(|pairs| (pairs.len() as f64).powf(config.source_exponent)).collect();
        let sources = sources.into_iter().map(|(name, pairs)| {
            let order = Shuffled::new(pairs.len(), generator(seed, &format!("tc order {name}")));
            (pairs, order)
        });
        Ok(Self {
            sources: sources.collect(),
            draw: Weighted::new(weights, generator(seed, "tc source")),
            batch: config.batch,
            weight: config.weight,
            pooling: config.pooling,
            objective: PairObjective { temperature: config.temperature },
            tokenizer: Arc::clone(&backbone.tokenizer),
        })
    }
}

impl Side for TcSide {
    fn family(&self) -> Family {
        Family::Tc
    }

    fn step(&mut self, model: &Model, activations: &mut Activations, gradients: Gradients) -> SideReport {
        let (pairs, order) = &mut self.sources[self.draw.draw()];
        let picked = order.batch(self.batch);
        let anchors: Vec<&str> = picked.iter().map(|&index| pairs[index].anchor.as_str()).collect();
        let positives: Vec<&str> = picked.iter().map(|&index| pairs[index].positive.as_str()).collect();
        let excluded = false_negatives(&anchors, &positives);

        // Anchors, then positives, as one batch: one pass through the encoder.
        let texts: Vec<&str> = anchors.iter().chain(&positives).copied().collect();
        let encoded: Vec<Encoded> = texts.par_iter().map(|text| self.tokenizer.encode(text)).collect();
        let batch = Batch::of_texts(&encoded);
        let (layers, width) = (model.encoder.layers(), model.encoder.width());
        model.forward(&batch, activations);
        let mut pooled = Vec::new(); // [2n, H]
        self.pooling.forward(activations.output(), &batch, width, &mut pooled);
        let (a, p) = pooled.split_at_mut(anchors.len() * width);
        let loss = self.objective.loss(width, a, p, &excluded, self.weight);
        let mut d_hidden = Vec::new();
        self.pooling.backward(&pooled, &batch, width, &mut d_hidden);
        model.backward(0..layers, &batch, activations, &mut d_hidden, gradients);
        SideReport { loss, tokens: batch.tokens(), first_text: excerpt(anchors.first().copied().unwrap_or_default()) }
    }

    fn own_parameters(&mut self) -> Option<(&mut [f32], &mut Group)> {
        None
    }
}
