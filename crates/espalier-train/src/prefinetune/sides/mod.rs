//! The sides of pre-finetuning: for each objective its data and its part of a step.

mod concept_encoder;
mod concepts;
mod distill;
mod mlm;
mod pairs;
mod sentences;
mod texts;

use super::pass::Pass;
use super::{ConceptModel, Encoders, turns};
use crate::config::{NerObjective, PrefinetuneConfig};
use crate::error::{Result, TrainError};
use crate::objectives::Objective;
use crate::optimizer::Group;
use concepts::ConceptSide;
use distill::DistillSide;
use espalier_data::CorpusPosition;
use espalier_encoder::MlmHead;
use mlm::MlmSide;
use pairs::PairSide;

/// An objective with its data: forward, loss and backward of its next batch.
pub(super) trait Side {
    /// The objective.
    fn objective(&self) -> Objective;

    /// Draws the next batch, adds the gradients of the weighted loss, and reports.
    fn step(&mut self, pass: Pass) -> Result<SideReport>;

    /// Mean loss on the examples held out, if there are any. Nothing learns from them.
    fn validate(&mut self, pass: Pass) -> Result<Option<f64>>;

    /// Weight of the loss.
    fn weight(&self) -> f32;

    /// How far the drawing of examples is.
    fn position(&self) -> CorpusPosition;

    /// Goes on from a position.
    fn seek(&mut self, position: &CorpusPosition) -> Result<()>;

    /// Parameters of the objective itself.
    fn own_parameters(&mut self) -> Vec<OwnParameters<'_>>;

    /// What of these the encoder keeps after training.
    fn head(&self) -> Option<&MlmHead> {
        None
    }

    /// What scores tokens against concepts, where the objective has it and it is to be kept.
    fn concepts(&self) -> Option<ConceptModel> {
        None
    }
}

/// Parameters that belong to an objective and not to the encoder, with what trains them.
pub(super) struct OwnParameters<'a> {
    /// Tells them from others of the same objective, in checkpoints.
    pub(super) name: &'static str,
    pub(super) values: &'a mut [f32],
    pub(super) group: &'a mut Group,
}

/// What a side's part of a step did.
pub(super) struct SideReport {
    /// Loss before its weight.
    pub(super) loss: f64,
    pub(super) tokens: usize,
    pub(super) examples: usize,
    /// Beginning of the batch's first text, for the message when the loss is not finite.
    pub(super) first_text: String,
}

/// A side for each objective of the strategy.
pub(super) fn sides<'a>(
    encoders: Encoders<'a>,
    config: &PrefinetuneConfig,
) -> Result<Vec<Box<dyn Side + 'a>>> {
    let backbone = encoders.backbone;
    let side = |objective: &Objective| -> Result<Box<dyn Side + 'a>> {
        Ok(match (objective, config.ner.objective()) {
            (Objective::Ner, NerObjective::Concepts) => {
                Box::new(ConceptSide::new(backbone, config)?)
            }
            (Objective::Ner, NerObjective::Distill) => {
                let teacher = encoders.teacher.ok_or(TrainError::NoTeacher)?;
                Box::new(DistillSide::new(backbone, teacher, config)?)
            }
            (Objective::Tc, _) => Box::new(PairSide::new(backbone, config)?),
            (Objective::Mlm, _) => Box::new(MlmSide::new(backbone, config)?),
        })
    };
    config.strategy.objectives().iter().map(side).collect()
}

/// Characters shown of a batch's first text.
const EXCERPT: usize = 80;

/// The picked rows of vectors [n, H].
fn gather(vectors: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|row| &vectors[row * width..(row + 1) * width]).copied().collect()
}

/// Adds each row to the row of `vectors` that it was gathered from.
fn scatter(rows: &[f32], width: usize, from: &[usize], vectors: &mut [f32]) {
    for (row, at) in rows.chunks_exact(width).zip(from) {
        vectors[at * width..(at + 1) * width].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}
