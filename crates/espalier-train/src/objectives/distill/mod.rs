//! Distillation on sentences: the student's word vectors learn to match the teacher's output for
//! the same words. The two may split words into different tokens.

pub mod loss;
mod teacher;
mod words;

pub use teacher::Teacher;
pub use words::WordPooling;

use super::sentences::{Sentences, first_text, mean_loss};
use super::teacher::{CachedTeacher, initial_projection, random_map};
use super::{BatchReport, Objective};
use crate::config::{DistillLossKind, PrefinetuneConfig};
use crate::error::Result;
use crate::network::Pass;
use crate::optimizer::{ParameterGroup, Parameters};
use crate::strategy::ObjectiveKind;
use crate::trained::objective_group;
use espalier_data::{Annotation, ConceptSentence, CorpusPosition};
use espalier_encoder::{Backbone, Batch, Encoded, Head, Tokenizer};
use loss::{DistillLoss, WordBatch};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use words::AlignedWords;

/// The objective: sentences, and a teacher whose output for their words is matched.
pub(super) struct Distillation<'a> {
    sentences: Sentences,
    weight: f32,
    entity_weight: f32,
    terms: Vec<Term>,
    teacher: CachedTeacher<'a, Teacher>,
    tokenizer: Arc<Tokenizer>,
}

/// A term of the loss: a part of the teacher's output, which the student's last layer matches
/// through a linear map.
struct Term {
    /// The name of the map in checkpoints.
    name: &'static str,
    loss: DistillLoss,
    /// The columns of this part in the teacher's output.
    columns: Range<usize>,
    /// The weight of the term in the loss.
    weight: f32,
    map: Head,
    group: ParameterGroup,
}

impl<'a> Distillation<'a> {
    pub(super) fn new(
        backbone: &Backbone,
        teacher: &'a Teacher,
        config: &PrefinetuneConfig,
    ) -> Result<Self> {
        let (ner, width) = (&config.ner, backbone.encoder.width());
        let (mut end, mut terms) = (0, Vec::new());
        let maps = [
            ("objective.ner.projection", 1.0),
            ("objective.ner.layer_projection", ner.distill.layer_weight),
        ];
        for ((name, weight), outputs) in maps.into_iter().zip(teacher.widths()) {
            let columns = end..end + outputs;
            end = columns.end;
            let kl = ner.distill.loss == DistillLossKind::Kl;
            let initial = if kl { random_map } else { initial_projection };
            let map = initial(width, outputs, config.seed, name);
            // Only kl trains the bias; with the other losses it stays zero.
            let trained = if kl { map.values.len() } else { width * outputs };
            let settings = &ner.projection_group;
            let group = objective_group(config, settings, map.values.len(), 0..trained);
            let loss = DistillLoss { kind: ner.distill.loss, temperature: ner.distill.temperature };
            terms.push(Term { name, loss, columns, weight, map, group });
        }
        Ok(Self {
            sentences: Sentences::new(backbone, config, Annotation::Optional)?,
            weight: ner.weight(),
            entity_weight: ner.distill.entity_weight,
            terms,
            teacher: CachedTeacher::new(teacher, ner.teacher_cache.as_deref())?,
            tokenizer: Arc::clone(&backbone.tokenizer),
        })
    }

    /// Encodes the sentences and runs them forward. Returns the loss, the batch, and the gradient
    /// of the weighted loss with respect to the hidden states [T, H]. Adds the gradients of the
    /// maps to their groups.
    fn loss(
        &mut self,
        sentences: &[ConceptSentence],
        pass: &mut Pass,
    ) -> Result<(f64, Batch, Vec<f32>)> {
        let encode = |sentence: &ConceptSentence| self.tokenizer.encode_words(&sentence.tokens);
        let encoded: Vec<Encoded> = sentences.par_iter().map(encode).collect();
        let batch = Batch::from_texts(&encoded);
        let words = sentences.iter().map(|sentence| sentence.tokens.as_slice());
        let outputs = self.teacher.infer(&words.collect::<Vec<_>>())?;
        let (width, entity_weight) = (self.teacher.width(), self.entity_weight);
        let words = AlignedWords::new(sentences, &encoded, &batch, &outputs, width, entity_weight);

        let student_width = pass.width();
        let vectors = words.pooling.forward(pass.forward(&batch), student_width); // [n, H]
        let (mut loss, mut d_vectors, mut d_term) = (0.0, vec![0.0; vectors.len()], Vec::new());
        for term in &mut self.terms {
            let targets = columns(&words.targets, width, &term.columns); // [n, D]
            let words = WordBatch { vectors: &vectors, targets: &targets, weights: &words.weights };
            let gradients = &mut term.group.gradients;
            let (map, weight) = (&term.map, self.weight * term.weight);
            let term_loss = term.loss.loss(words, map, weight, &mut d_term, gradients);
            loss += f64::from(term.weight) * term_loss;
            d_vectors.iter_mut().zip(&d_term).for_each(|(sum, d)| *sum += d);
        }
        let mut d_hidden = vec![0.0; batch.tokens() * student_width];
        words.pooling.backward(&d_vectors, student_width, &mut d_hidden);
        Ok((loss, batch, d_hidden))
    }
}

impl Objective for Distillation<'_> {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Ner
    }

    fn forward_backward(&mut self, mut pass: Pass) -> Result<BatchReport> {
        let sentences = self.sentences.next()?;
        let (loss, batch, mut d_hidden) = self.loss(&sentences, &mut pass)?;
        pass.backward(&batch, &mut d_hidden);
        Ok(BatchReport {
            loss,
            tokens: batch.tokens(),
            examples: sentences.len(),
            first_text: first_text(&sentences),
        })
    }

    fn validate(&mut self, mut pass: Pass) -> Result<Option<f64>> {
        let validation = self.sentences.validation();
        let loss = mean_loss(validation, |sentences| Ok(self.loss(sentences, &mut pass)?.0));
        // self.loss has added gradients.
        self.terms.iter_mut().for_each(|term| term.group.gradients.fill(0.0));
        loss
    }

    fn weight(&self) -> f32 {
        self.weight
    }

    fn position(&self) -> CorpusPosition {
        self.sentences.corpus.position()
    }

    fn seek(&mut self, position: &CorpusPosition) -> Result<()> {
        Ok(self.sentences.corpus.seek(position)?)
    }

    fn parameters(&mut self) -> Vec<Parameters<'_>> {
        let terms = self.terms.iter_mut();
        terms
            .map(|term| Parameters::new(term.name, &mut term.map.values, &mut term.group))
            .collect()
    }
}

/// A range of columns of a matrix with `width` columns.
fn columns(x: &[f32], width: usize, range: &Range<usize>) -> Vec<f32> {
    x.chunks_exact(width).flat_map(|row| &row[range.clone()]).copied().collect()
}
