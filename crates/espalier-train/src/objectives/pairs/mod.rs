//! Contrast of text pairs: the objective of the classification family. A teacher of text vectors
//! may be matched as well.

mod batch;
mod embedder;
pub mod loss;
mod matching;
mod scores;
pub mod similarity;
mod teacher;

pub use teacher::TextTeacher;

use super::{BatchReport, EXCERPT, Objective, gather, scatter_add};
use crate::config::PrefinetuneConfig;
use crate::error::{Result, TrainError};
use crate::memory;
use crate::network::Pass;
use crate::optimizer::Parameters;
use crate::strategy::ObjectiveKind;
use batch::PairBatch;
use embedder::TextEmbedder;
use espalier_data::sampling::generator;
use espalier_data::{Corpus, CorpusConfig, CorpusPosition, TextPair};
use espalier_encoder::text::{excerpt, first_few};
use espalier_encoder::{Backbone, Encoded, Tokenizer};
use loss::InfoNce;
use matching::TeacherTerms;
use rayon::prelude::*;
use std::sync::Arc;

/// The objective. All pairs of a batch come from one source, so that negatives cannot be recognized
/// by their style.
pub(super) struct PairContrast<'a> {
    pairs: Corpus<TextPair>,
    /// The validation set, ordered by source, so that negatives are mostly of the same source.
    validation: Arc<[TextPair]>,
    batch: usize,
    weight: f32,
    embedder: TextEmbedder,
    loss: InfoNce,
    /// What matches the teacher, if there is one.
    teacher: Option<TeacherTerms<'a>>,
    tokenizer: Arc<Tokenizer>,
}

impl<'a> PairContrast<'a> {
    pub(super) fn new(
        backbone: &Backbone,
        teacher: Option<&'a TextTeacher>,
        config: &PrefinetuneConfig,
    ) -> Result<Self> {
        let (seed, tc) = (config.seed, &config.tc);
        let mut pairs = Corpus::pairs(&tc.corpora, tc.source_exponent, seed)?;
        if pairs.is_empty() {
            let (key, rule) = (
                "tc.corpora",
                "at least one source must have two pairs or more: the others are negatives",
            );
            let value = first_few(tc.corpora.iter().map(CorpusConfig::to_string));
            return Err(TrainError::ConfigValue { key, value, rule });
        }
        let rng = generator(seed, "tc validation");
        let count = config.train.validation;
        let validation = pairs.hold_out(count, rng, |pair| pair.anchor.clone())?;
        let chunk = if tc.chunk == 0 { usize::MAX } else { tc.chunk };
        let texts = tc.batch.min(pairs.largest_part()).min(chunk);
        memory::check_batch(&backbone.encoder.config, backbone.encoder.layers(), texts)?;
        let terms = |teacher| TeacherTerms::new(backbone.encoder.width(), teacher, config);
        Ok(Self {
            pairs,
            validation: validation.into(),
            batch: tc.batch,
            weight: tc.weight,
            embedder: TextEmbedder { pooling: tc.pooling, chunk: tc.chunk },
            loss: InfoNce { temperature: tc.temperature },
            teacher: teacher.map(terms).transpose()?,
            tokenizer: Arc::clone(&backbone.tokenizer),
        })
    }

    /// Embeds the texts of the pairs. Returns the loss, the encoded texts, and the gradients of the
    /// weighted loss with respect to their text vectors [texts, H]. Adds the gradients of the
    /// objective's own parameters to their group.
    fn loss(
        &mut self,
        pairs: &[TextPair],
        pass: &mut Pass,
    ) -> Result<(f64, Vec<Encoded>, Vec<f32>)> {
        let batch = PairBatch::new(pairs);
        let encoded: Vec<Encoded> =
            batch.texts.par_iter().map(|text| self.tokenizer.encode(text)).collect();

        let (width, weight) = (pass.width(), self.weight);
        let vectors = self.embedder.forward(pass, &encoded); // [texts, H]
        let mut anchors = gather(&vectors, width, &batch.anchors); // [n, H]
        let mut candidates = gather(&vectors, width, &batch.candidates); // [n + q, H]
        let mut loss =
            self.loss.loss(width, &mut anchors, &mut candidates, &batch.excluded, weight);
        let mut d_vectors = vec![0.0; vectors.len()];
        scatter_add(&anchors, width, &batch.anchors, &mut d_vectors);
        scatter_add(&candidates, width, &batch.candidates, &mut d_vectors);
        if let Some(terms) = &mut self.teacher {
            loss += terms.loss(&batch, &vectors, weight, &mut d_vectors)?;
        }
        Ok((loss, encoded, d_vectors))
    }
}

impl Objective for PairContrast<'_> {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Tc
    }

    fn forward_backward(&mut self, mut pass: Pass) -> Result<BatchReport> {
        let pairs = self.pairs.batch_of_one_part(self.batch)?;
        let (loss, encoded, d_vectors) = self.loss(&pairs, &mut pass)?;
        self.embedder.backward(&mut pass, &encoded, &d_vectors);
        let tokens = encoded.iter().map(|text| text.ids.len()).sum();
        let first_text = excerpt(pairs.first().map_or("", |pair| &pair.anchor), EXCERPT);
        Ok(BatchReport { loss, tokens, examples: pairs.len(), first_text })
    }

    fn validate(&mut self, mut pass: Pass) -> Result<Option<f64>> {
        let (mut sum, mut count) = (0.0, 0);
        let validation = Arc::clone(&self.validation);
        // A single pair has no negatives.
        for pairs in validation.chunks(self.batch).filter(|pairs| pairs.len() > 1) {
            sum += self.loss(pairs, &mut pass)?.0 * pairs.len() as f64;
            count += pairs.len();
        }
        self.teacher.iter_mut().for_each(TeacherTerms::clear_gradients);
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

    fn parameters(&mut self) -> Vec<Parameters<'_>> {
        self.teacher.iter_mut().filter_map(TeacherTerms::parameters).collect()
    }
}
