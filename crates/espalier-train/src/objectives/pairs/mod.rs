//! Contrast of text pairs: the objective of the classification family.

mod batch;
mod embedder;
pub mod loss;
mod scores;
pub mod similarity;

use super::{BatchReport, EXCERPT, Objective, gather, scatter_add};
use crate::config::PrefinetuneConfig;
use crate::error::{Result, TrainError};
use crate::memory;
use crate::network::Pass;
use crate::strategy::ObjectiveKind;
use batch::PairBatch;
use embedder::TextEmbedder;
use espalier_data::sampling::generator;
use espalier_data::{Corpus, CorpusConfig, CorpusPosition, TextPair};
use espalier_encoder::text::{excerpt, first_few};
use espalier_encoder::{Backbone, Encoded, Tokenizer};
use loss::InfoNce;
use rayon::prelude::*;
use std::sync::Arc;

/// The objective. All pairs of a batch come from one source, so that negatives cannot be recognized
/// by their style.
pub(super) struct PairContrast {
    pairs: Corpus<TextPair>,
    /// The validation set, ordered by source, so that negatives are mostly of the same source.
    validation: Vec<TextPair>,
    batch: usize,
    weight: f32,
    embedder: TextEmbedder,
    loss: InfoNce,
    tokenizer: Arc<Tokenizer>,
}

impl PairContrast {
    pub(super) fn new(backbone: &Backbone, config: &PrefinetuneConfig) -> Result<Self> {
        let (seed, count, config) = (config.seed, config.train.validation, &config.tc);
        let mut pairs = Corpus::pairs(&config.corpora, config.source_exponent, seed)?;
        if pairs.is_empty() {
            let (key, rule) = (
                "tc.corpora",
                "at least one source must have two pairs or more: the others are negatives",
            );
            let value = first_few(config.corpora.iter().map(CorpusConfig::to_string));
            return Err(TrainError::ConfigValue { key, value, rule });
        }
        let rng = generator(seed, "tc validation");
        let validation = pairs.hold_out(count, rng, |pair| pair.anchor.clone())?;
        let chunk = if config.chunk == 0 { usize::MAX } else { config.chunk };
        let texts = config.batch.min(pairs.largest_part()).min(chunk);
        memory::check_batch(&backbone.encoder.config, backbone.encoder.layers(), texts)?;
        Ok(Self {
            pairs,
            validation,
            batch: config.batch,
            weight: config.weight,
            embedder: TextEmbedder { pooling: config.pooling, chunk: config.chunk },
            loss: InfoNce { temperature: config.temperature },
            tokenizer: Arc::clone(&backbone.tokenizer),
        })
    }

    /// Embeds the texts of the pairs. Returns the loss, the encoded texts, and the gradients of the
    /// weighted loss with respect to their text vectors [texts, H].
    fn loss(&self, pairs: &[TextPair], pass: &mut Pass) -> (f64, Vec<Encoded>, Vec<f32>) {
        let batch = PairBatch::new(pairs);
        let encoded: Vec<Encoded> =
            batch.texts.par_iter().map(|text| self.tokenizer.encode(text)).collect();

        let width = pass.width();
        let vectors = self.embedder.forward(pass, &encoded); // [texts, H]
        let mut anchors = gather(&vectors, width, &batch.anchors); // [n, H]
        let mut candidates = gather(&vectors, width, &batch.candidates); // [n + q, H]
        let loss =
            self.loss.loss(width, &mut anchors, &mut candidates, &batch.excluded, self.weight);
        let mut d_vectors = vectors; // reuse the memory
        d_vectors.fill(0.0);
        scatter_add(&anchors, width, &batch.anchors, &mut d_vectors);
        scatter_add(&candidates, width, &batch.candidates, &mut d_vectors);
        (loss, encoded, d_vectors)
    }
}

impl Objective for PairContrast {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Tc
    }

    fn forward_backward(&mut self, mut pass: Pass) -> Result<BatchReport> {
        let pairs = self.pairs.batch_of_one_part(self.batch)?;
        let (loss, encoded, d_vectors) = self.loss(&pairs, &mut pass);
        self.embedder.backward(&mut pass, &encoded, &d_vectors);
        let tokens = encoded.iter().map(|text| text.ids.len()).sum();
        let first_text = excerpt(pairs.first().map_or("", |pair| &pair.anchor), EXCERPT);
        Ok(BatchReport { loss, tokens, examples: pairs.len(), first_text })
    }

    fn validate(&mut self, mut pass: Pass) -> Result<Option<f64>> {
        let (mut sum, mut count) = (0.0, 0);
        // A single pair has no negatives.
        for pairs in self.validation.chunks(self.batch).filter(|pairs| pairs.len() > 1) {
            sum += self.loss(pairs, &mut pass).0 * pairs.len() as f64;
            count += pairs.len();
        }
        Ok((count > 0).then(|| sum / count as f64))
    }

    fn weight(&self) -> f32 {
        self.weight
    }

    fn position(&self) -> CorpusPosition {
        self.pairs.position()
    }

    fn seek(&mut self, position: &CorpusPosition) -> Result<()> {
        Ok(self.pairs.seek(position)?)
    }
}
