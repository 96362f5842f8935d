//! The sentences of the NER objectives: batches to train on, and the validation set.

use super::EXCERPT;
use crate::config::PrefinetuneConfig;
use crate::error::Result;
use crate::memory;
use espalier_data::sampling::generator;
use espalier_data::{Annotation, ConceptSentence, Corpus};
use espalier_encoder::Backbone;
use espalier_encoder::text::excerpt;
use std::sync::Arc;

/// The corpora of an NER objective, and the validation set held out of them.
pub(super) struct Sentences {
    pub(super) corpus: Corpus<ConceptSentence>,
    validation: Arc<[ConceptSentence]>,
    batch: usize,
}

impl Sentences {
    pub(super) fn new(
        backbone: &Backbone,
        config: &PrefinetuneConfig,
        annotation: Annotation,
    ) -> Result<Self> {
        let (seed, ner) = (config.seed, &config.ner);
        let mut corpus = Corpus::sentences(&ner.corpora, annotation, seed)?;
        let rng = generator(seed, "ner validation");
        let validation = corpus.hold_out(config.train.validation, rng, |one| one.tokens.clone())?;
        memory::check_batch(
            &backbone.encoder.config,
            backbone.encoder.layers(),
            ner.batch.min(corpus.largest_part()),
        )?;
        Ok(Self { corpus, validation: validation.into(), batch: ner.batch })
    }

    /// The next batch.
    pub(super) fn next(&mut self) -> Result<Vec<ConceptSentence>> {
        Ok(self.corpus.batch(self.batch)?)
    }

    /// The validation set, and the size of its batches.
    pub(super) fn validation(&self) -> (Arc<[ConceptSentence]>, usize) {
        (Arc::clone(&self.validation), self.batch)
    }
}

/// The mean of a loss over sentences, computed in batches; `None` without sentences.
pub(super) fn mean_loss(
    (sentences, batch): (Arc<[ConceptSentence]>, usize),
    mut loss: impl FnMut(&[ConceptSentence]) -> Result<f64>,
) -> Result<Option<f64>> {
    let mut sum = 0.0;
    for sentences in sentences.chunks(batch) {
        sum += loss(sentences)? * sentences.len() as f64;
    }
    Ok((!sentences.is_empty()).then(|| sum / sentences.len() as f64))
}

/// The beginning of the batch's first sentence, for error messages.
pub(super) fn first_text(sentences: &[ConceptSentence]) -> String {
    let first = sentences.first().map(|sentence| sentence.tokens.join(" "));
    excerpt(&first.unwrap_or_default(), EXCERPT)
}
