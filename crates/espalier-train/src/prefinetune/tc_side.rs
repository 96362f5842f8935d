//! The classification side of pre-finetuning: contrast of text pairs.

use super::{Side, SideReport, excerpt};
use crate::config::{CorpusConfig, TcConfig};
use crate::data::{Corpus, TextPair};
use crate::error::{Result, TrainError};
use crate::objectives::{PairObjective, false_negatives};
use crate::optimizer::Group;
use espalier_encoder::{Activations, Backbone, Batch, Encoded, Family, Gradients, Model, Pooling, Tokenizer};
use rayon::prelude::*;
use std::sync::Arc;

/// Pairs by source. A batch comes from one source, so that negatives are not told apart by style.
pub(super) struct TcSide {
    pairs: Corpus<TextPair>,
    batch: usize,
    weight: f32,
    pooling: Pooling,
    objective: PairObjective,
    tokenizer: Arc<Tokenizer>,
}

impl TcSide {
    pub(super) fn new(backbone: &Backbone, config: &TcConfig, seed: u64) -> Result<Self> {
        let pairs = Corpus::pairs(&config.corpora, config.source_exponent, seed)?;
        if pairs.is_empty() {
            let (key, rule) =
                ("tc.corpora", "at least one source must have two pairs or more: the others are negatives");
            let value = config.corpora.iter().map(CorpusConfig::to_string).collect::<Vec<_>>().join(", ");
            return Err(TrainError::ConfigValue { key, value, rule });
        }
        Ok(Self {
            pairs,
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

    fn step(&mut self, model: &Model, activations: &mut Activations, gradients: Gradients) -> Result<SideReport> {
        let pairs = self.pairs.batch_of_one_part(self.batch)?;
        let anchors: Vec<&str> = pairs.iter().map(|pair| pair.anchor.as_str()).collect();
        let positives: Vec<&str> = pairs.iter().map(|pair| pair.positive.as_str()).collect();
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
        let first_text = excerpt(anchors.first().copied().unwrap_or_default());
        Ok(SideReport { loss, tokens: batch.tokens(), first_text })
    }

    fn own_parameters(&mut self) -> Option<(&mut [f32], &mut Group)> {
        None
    }
}
