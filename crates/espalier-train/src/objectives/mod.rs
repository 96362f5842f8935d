//! What is learned. Each objective is a folder: its `mod.rs` draws batches and feeds them to the
//! encoder, its `loss.rs` is mathematics alone, with the gradients beside the loss.

pub mod classification;
pub mod concept;
pub mod distill;
pub mod mlm;
pub mod pairs;
mod sentences;

pub use concept::ConceptModel;
pub use distill::Teacher;
pub(crate) use mlm::MLM_HEAD;

use crate::config::{NerObjective, PrefinetuneConfig};
use crate::error::{Result, TrainError};
use crate::network::Pass;
use crate::optimizer::Parameters;
use crate::strategy::ObjectiveKind;
use espalier_data::CorpusPosition;
use espalier_encoder::{Backbone, MlmHead};

/// An objective of pre-finetuning with its corpora: it draws a batch, and computes the loss and its
/// gradients. A new one takes a folder beside this file, and a line in [`create`].
pub(crate) trait Objective {
    /// Which it is.
    fn kind(&self) -> ObjectiveKind;

    /// Draws the next batch, runs it forward and backward, and adds the gradients of the weighted
    /// loss.
    fn step(&mut self, pass: Pass) -> Result<BatchReport>;

    /// Mean loss on the validation set, if there is one. Nothing learns from it.
    fn validate(&mut self, pass: Pass) -> Result<Option<f64>>;

    /// Weight of the loss.
    fn weight(&self) -> f32;

    /// How far the drawing of examples is.
    fn position(&self) -> CorpusPosition;

    /// Continues from a position.
    fn seek(&mut self, position: &CorpusPosition) -> Result<()>;

    /// Parameters that belong to the objective and not to the encoder.
    fn parameters(&mut self) -> Vec<Parameters<'_>> {
        Vec::new()
    }

    /// The head of masked language modelling, which is saved with the encoder.
    fn mlm_head(&self) -> Option<&MlmHead> {
        None
    }

    /// The model of concept contrast, where it is to be saved.
    fn concept_model(&self) -> Option<ConceptModel> {
        None
    }
}

/// The report on one batch.
pub(crate) struct BatchReport {
    /// Loss before its weight.
    pub(crate) loss: f64,
    pub(crate) tokens: usize,
    pub(crate) examples: usize,
    /// Beginning of the first text, for the message when the loss is not finite.
    pub(crate) first_text: String,
}

/// The objectives of the configuration's strategy, each at the beginning of its corpora.
pub(crate) fn create<'a>(
    backbone: &'a Backbone,
    teacher: Option<&'a Teacher>,
    config: &PrefinetuneConfig,
) -> Result<Vec<Box<dyn Objective + 'a>>> {
    let create = |kind: &ObjectiveKind| -> Result<Box<dyn Objective + 'a>> {
        Ok(match (kind, config.ner.objective()) {
            (ObjectiveKind::Ner, NerObjective::Concepts) => {
                Box::new(concept::ConceptContrast::new(backbone, config)?)
            }
            (ObjectiveKind::Ner, NerObjective::Distill) => {
                let teacher = teacher.ok_or(TrainError::NoTeacher)?;
                Box::new(distill::Distillation::new(backbone, teacher, config)?)
            }
            (ObjectiveKind::Tc, _) => Box::new(pairs::PairContrast::new(backbone, config)?),
            (ObjectiveKind::Mlm, _) => Box::new(mlm::MaskedLm::new(backbone, config)?),
        })
    };
    config.strategy.objectives.iter().map(create).collect()
}

/// Characters shown of a batch's first text.
const EXCERPT: usize = 80;

/// The rows of `vectors` [n, H] at the indices `rows`.
fn gather(vectors: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|row| &vectors[row * width..(row + 1) * width]).copied().collect()
}

/// Adds each of `rows` to the row of `vectors` [n, H] that it was gathered from.
fn scatter(rows: &[f32], width: usize, from: &[usize], vectors: &mut [f32]) {
    for (row, at) in rows.chunks_exact(width).zip(from) {
        vectors[at * width..(at + 1) * width].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}
