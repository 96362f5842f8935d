//! The sentences of the NER objectives: batches to train on, and a validation set.

use super::EXCERPT;
use crate::config::PrefinetuneConfig;
use crate::error::Result;
use crate::memory;
use espalier_data::sampling::generator;
use espalier_data::{Annotation, ConceptSentence, Corpus};
use espalier_encoder::Backbone;
use espalier_encoder::text::excerpt;
use std::sync::Arc;

/// A corpus and what is held out of it.
pub(super) struct Sentences {
    pub(super) corpus: Corpus<ConceptSentence>,
    pub(super) held_out: Arc<[ConceptSentence]>,
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
        let held_out = corpus.hold_out(config.train.validation, rng, |one| one.tokens.clone())?;
        memory::check_batch(
            &backbone.encoder.config,
            backbone.encoder.layers(),
            ner.batch.min(corpus.largest_part()),
        )?;
        Ok(Self { corpus, held_out: held_out.into(), batch: ner.batch })
    }

    /// The next batch.
    pub(super) fn next(&mut self) -> Result<Vec<ConceptSentence>> {
        Ok(self.corpus.batch(self.batch)?)
    }

    /// The held-out sentences in batches.
    pub(super) fn held_out(&self) -> (Arc<[ConceptSentence]>, usize) {
        (Arc::clone(&self.held_out), self.batch)
    }
}

/// Mean of the losses of batches, each counting by its sentences; `None` without sentences.
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

/// The beginning of the batch's first sentence, for messages.
pub(super) fn first_text(sentences: &[ConceptSentence]) -> String {
    let first = sentences.first().map(|sentence| sentence.tokens.join(" "));
    excerpt(&first.unwrap_or_default(), EXCERPT)
}
