//! Contrast of text pairs, the objective of the classification family.

pub mod loss;

use super::{BatchReport, EXCERPT, Objective, gather, scatter};
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

/// Pairs by source. A batch comes from one source, so that negatives are not told apart by style.
pub(super) struct PairContrast {
    pairs: Corpus<TextPair>,
    /// By source, as pairs of one source are each other's negatives.
    held_out: Vec<TextPair>,
    batch: usize,
    weight: f32,
    texts: TextEmbedder,
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
        let held_out =
            pairs.hold_out(count, generator(seed, "tc validation"), |pair| pair.anchor.clone())?;
        let chunk = if config.chunk == 0 { usize::MAX } else { config.chunk };
        let texts = config.batch.min(pairs.largest_part()).min(chunk);
        memory::check_batch(&backbone.encoder.config, backbone.encoder.layers(), texts)?;
        Ok(Self {
            pairs,
            held_out,
            batch: config.batch,
            weight: config.weight,
            texts: TextEmbedder { pooling: config.pooling, chunk: config.chunk },
            loss: InfoNce { temperature: config.temperature },
            tokenizer: Arc::clone(&backbone.tokenizer),
        })
    }

    /// The loss of the pairs, their texts, and the gradients of the weighted loss at the texts'
    /// vectors [texts, H].
    fn loss(&self, pairs: &[TextPair], pass: &mut Pass) -> (f64, Vec<Encoded>, Vec<f32>) {
        let drawn = Drawn::of(pairs);
        let encoded: Vec<Encoded> =
            drawn.texts.par_iter().map(|text| self.tokenizer.encode(text)).collect();

        let width = pass.width();
        let mut vectors = self.texts.vectors(pass, &encoded); // [texts, H]
        let mut anchors = gather(&vectors, width, &drawn.anchors); // [n, H]
        let mut candidates = gather(&vectors, width, &drawn.candidates); // [n + q, H]
        let loss =
            self.loss.loss(width, &mut anchors, &mut candidates, &drawn.excluded, self.weight);
        vectors.fill(0.0); // from here on the gradients at them
        scatter(&anchors, width, &drawn.anchors, &mut vectors);
        scatter(&candidates, width, &drawn.candidates, &mut vectors);
        (loss, encoded, vectors)
    }
}

impl Objective for PairContrast {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Tc
    }

    fn step(&mut self, mut pass: Pass) -> Result<BatchReport> {
        let pairs = self.pairs.batch_of_one_part(self.batch)?;
        let (loss, encoded, d_vectors) = self.loss(&pairs, &mut pass);
        self.texts.backward(&mut pass, &encoded, &d_vectors);
        let tokens = encoded.iter().map(|text| text.ids.len()).sum();
        let first_text = excerpt(pairs.first().map_or("", |pair| &pair.anchor), EXCERPT);
        Ok(BatchReport { loss, tokens, examples: pairs.len(), first_text })
    }

    fn validate(&mut self, mut pass: Pass) -> Result<Option<f64>> {
        let (mut sum, mut count) = (0.0, 0);
        // A pair alone has no negatives.
        for pairs in self.held_out.chunks(self.batch).filter(|pairs| pairs.len() > 1) {
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

/// The texts of a batch of pairs, each once, and who is compared with whom.
struct Drawn<'a> {
    texts: Vec<&'a str>,
    /// Text of each pair's anchor, `[n]`.
    anchors: Vec<usize>,
    /// Text of each pair's positive, then of all pairs' hard negatives, [n + q].
    candidates: Vec<usize>,
    /// Anchors and candidates that are no negatives of each other, [n, n + q].
    excluded: Vec<bool>,
}

impl<'a> Drawn<'a> {
    /// Anchors come first, then positives, then hard negatives. An anchor with several positives
    /// makes a pair with each.
    fn of(pairs: &'a [TextPair]) -> Self {
        let (mut texts, mut known) = (Vec::new(), HashMap::new());
        let mut index = |text: &'a str| {
            *known.entry(text).or_insert_with(|| {
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

/// How texts are embedded.
///
/// With a chunk size this is GradCache (arXiv 2101.06983): texts are embedded without keeping
/// activations, and once the gradients at their vectors are known each chunk runs once more,
/// forward and back. It costs a second forward pass, and memory for the activations of one chunk
/// instead of all.
struct TextEmbedder {
    pooling: Pooling,
    /// Texts per chunk; 0 for all at once.
    chunk: usize,
}

impl TextEmbedder {
    /// Vectors [n, H] of the texts.
    fn vectors(&self, pass: &mut Pass, texts: &[Encoded]) -> Vec<f32> {
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

    /// Adds the gradients of everything trained, from those at the vectors that [`TextEmbedder::vectors`]
    /// gave last, `d_vectors` [n, H].
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
