//! The objectives. Each is a folder: `mod.rs` draws batches and runs them through the network,
//! `loss.rs` is pure mathematics, the loss with its gradients.

pub mod classification;
pub mod concept;
pub mod distill;
pub mod mlm;
pub mod pairs;
mod sentences;
mod teacher;

pub use concept::ConceptModel;
pub use distill::Teacher;
pub(crate) use mlm::MLM_HEAD;
pub use pairs::TextTeacher;

use crate::config::{NerObjective, PrefinetuneConfig};
use crate::error::{Result, TrainError};
use crate::network::Pass;
use crate::optimizer::Parameters;
use crate::strategy::ObjectiveKind;
use espalier_data::CorpusPosition;
use espalier_encoder::{Backbone, MlmHead};

/// An objective with its corpora: draws batches, and computes the loss and its gradients. To add
/// one, add a folder beside this file and a case in [`create`].
pub(crate) trait Objective {
    /// The kind of the objective.
    fn kind(&self) -> ObjectiveKind;

    /// Draws the next batch, runs it forward and backward, and adds the gradients of the weighted
    /// loss.
    fn forward_backward(&mut self, pass: Pass) -> Result<BatchReport>;

    /// The mean loss on the validation set, if there is one. Adds no gradients.
    fn validate(&mut self, pass: Pass) -> Result<Option<f64>>;

    /// The weight of the loss.
    fn weight(&self) -> f32;

    /// The position in the corpora, for checkpoints.
    fn position(&self) -> CorpusPosition;

    /// Resumes at a position.
    fn seek(&mut self, position: &CorpusPosition) -> Result<()>;

    /// The parameters that belong to the objective and not to the encoder.
    fn parameters(&mut self) -> Vec<Parameters<'_>> {
        Vec::new()
    }

    /// The masked-LM head, which is saved with the encoder.
    fn mlm_head(&self) -> Option<&MlmHead> {
        None
    }

    /// The model of concept contrast, if it should be saved.
    fn concept_model(&self) -> Option<ConceptModel> {
        None
    }
}

/// The report on one batch.
pub(crate) struct BatchReport {
    /// The loss, not weighted.
    pub(crate) loss: f64,
    pub(crate) tokens: usize,
    pub(crate) examples: usize,
    /// The beginning of the first text, for error messages.
    pub(crate) first_text: String,
}

/// The objectives of the strategy, each at the beginning of its corpora.
pub(crate) fn create<'a>(
    backbone: &'a Backbone,
    teacher: Option<&'a Teacher>,
    text_teacher: Option<&'a TextTeacher>,
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
            (ObjectiveKind::Tc, _) => {
                let given = || text_teacher.ok_or(TrainError::NoTextTeacher);
                let teacher = config.tc.teacher.is_some().then(given).transpose()?;
                Box::new(pairs::PairContrast::new(backbone, teacher, config)?)
            }
            (ObjectiveKind::Mlm, _) => Box::new(mlm::MaskedLm::new(backbone, config)?),
        })
    };
    config.strategy.objectives.iter().map(create).collect()
}

/// The number of characters of a batch's first text in error messages.
const EXCERPT: usize = 80;

/// The rows of `vectors` [n, H] at the indices `rows`.
fn gather(vectors: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|row| &vectors[row * width..(row + 1) * width]).copied().collect()
}

/// The transpose of [`gather`]: adds each row of `rows` to the row of `vectors` [n, H] at its
/// index.
fn scatter_add(rows: &[f32], width: usize, indices: &[usize], vectors: &mut [f32]) {
    for (row, at) in rows.chunks_exact(width).zip(indices) {
        vectors[at * width..(at + 1) * width].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}
