//! Contrast of text pairs: the objective of the classification family.

pub mod loss;

use super::{BatchReport, EXCERPT, Objective, gather, scatter_add};
use crate::config::PrefinetuneConfig;
use crate::error::{Result, TrainError};
use crate::memory;
use crate::network::Pass;
use crate::strategy::ObjectiveKind;
use espalier_data::sampling::generator;
use espalier_data::{Corpus, CorpusConfig, CorpusPosition, TextPair};
use espalier_encoder::text::{excerpt, first_few};
use espalier_encoder::{Backbone, Batch, Encoded, Pooling, Tokenizer};
use loss::{InfoNce, false_negatives};
use rayon::prelude::*;
use std::collections::HashMap;
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

/// A batch of pairs: the distinct texts, and the indices of the texts that are compared.
struct PairBatch<'a> {
    /// The distinct texts: anchors, then positives, then hard negatives.
    texts: Vec<&'a str>,
    /// The anchor of each pair, `[n]`.
    anchors: Vec<usize>,
    /// The positive of each pair, then the hard negatives of all pairs, `[n + q]`.
    candidates: Vec<usize>,
    /// The false negatives, see [`false_negatives`], [n, n + q].
    excluded: Vec<bool>,
}

impl<'a> PairBatch<'a> {
    /// An anchor with several positives makes a pair with each of them.
    fn new(pairs: &'a [TextPair]) -> Self {
        let (mut texts, mut indices) = (Vec::new(), HashMap::new());
        let mut index = |text: &'a str| {
            *indices.entry(text).or_insert_with(|| {
                texts.push(text);
                texts.len() - 1
            })
        };
        let positives = |pair: &'a TextPair| std::iter::once(&pair.positive).chain(&pair.positives);
        let anchors: Vec<usize> = pairs
            .iter()
            .flat_map(|pair| positives(pair).map(|_| &pair.anchor))
            .map(|text| index(text))
            .collect();
        let positives: Vec<usize> =
            pairs.iter().flat_map(positives).map(|text| index(text)).collect();
        let negatives: Vec<usize> =
            pairs.iter().flat_map(|pair| &pair.negatives).map(|text| index(text)).collect();
        let excluded = false_negatives(&anchors, &positives, &negatives);
        Self { texts, anchors, candidates: [positives, negatives].concat(), excluded }
    }
}

/// Embeds texts, all at once or in chunks.
///
/// In chunks this is GradCache (arXiv 2101.06983): texts are embedded without keeping activations.
/// When the gradients with respect to their vectors are known, each chunk runs forward again and
/// then backward. This needs memory for the activations of one chunk only, and costs a second
/// forward pass.
struct TextEmbedder {
    pooling: Pooling,
    /// The number of texts of a chunk; 0 for all at once.
    chunk: usize,
}

impl TextEmbedder {
    /// The text vectors, [n, H].
    fn forward(&self, pass: &mut Pass, texts: &[Encoded]) -> Vec<f32> {
        let (width, mut vectors) = (pass.width(), Vec::new());
        if self.at_once(texts) {
            let batch = Batch::from_texts(texts);
            self.pooling.forward(pass.forward(&batch), &batch, width, &mut vectors);
            return vectors;
        }
        let mut pooled = Vec::new();
        for chunk in texts.chunks(self.chunk) {
            let batch = Batch::from_texts(chunk);
            self.pooling.forward(&pass.encode(&batch), &batch, width, &mut pooled);
            vectors.extend_from_slice(&pooled);
        }
        vectors
    }

    /// Adds the gradients of all trained parameters. `d_vectors` [n, H] is the gradient with
    /// respect to the result of the last [`TextEmbedder::forward`], which had the same texts.
    fn backward(&self, pass: &mut Pass, texts: &[Encoded], d_vectors: &[f32]) {
        let (width, at_once, mut d_hidden) = (pass.width(), self.at_once(texts), Vec::new());
        let chunk = if at_once { texts.len() } else { self.chunk };
        for (texts, d_vectors) in texts.chunks(chunk).zip(d_vectors.chunks(chunk * width)) {
            let batch = Batch::from_texts(texts);
            if !at_once {
                pass.forward(&batch);
            }
            self.pooling.backward(d_vectors, &batch, width, &mut d_hidden);
            pass.backward(&batch, &mut d_hidden);
        }
    }

    fn at_once(&self, texts: &[Encoded]) -> bool {
        self.chunk == 0 || self.chunk >= texts.len()
    }
}
