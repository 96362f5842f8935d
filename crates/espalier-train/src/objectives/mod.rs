//! What is learned: losses on token vectors and text vectors, each with its gradients.

mod classification;
mod concept;
mod contrastive;
mod distillation;
mod masking;
mod mlm;
mod words;

pub use classification::{Classification, WeightedTargets};
pub use concept::{ConceptBatch, ConceptGradients, ConceptObjective, ConceptProjections};
pub use contrastive::{PairObjective, false_negatives};
pub use distillation::{DistillLoss, Distillation, WordBatch};
pub use masking::{Masked, Masking};
pub use mlm::{MlmGradients, MlmObjective};
pub use words::WordPooling;

use espalier_encoder::Family;
use serde::{Deserialize, Serialize};

/// What a batch of pre-finetuning is drawn for: the name of a loss in reports, and of what belongs
/// to it in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// That of the NER side, L_ner.
    Ner,
    /// That of the classification side, L_tc.
    Tc,
    /// Masked language modelling, which serves no family more than the other.
    Mlm,
}

impl Objective {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ner, Self::Tc, Self::Mlm];

    /// The name in reports and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ner => Family::Ner.name(),
            Self::Tc => Family::Tc.name(),
            Self::Mlm => "mlm",
        }
    }

    /// The setting that names its data.
    pub(crate) fn corpora_key(self) -> &'static str {
        match self {
            Self::Ner => "ner.corpora",
            Self::Tc => "tc.corpora",
            Self::Mlm => "mlm.corpora",
        }
    }

    /// The family of tasks that it serves, whose adapter its batches run through, if it serves one.
    pub fn family(self) -> Option<Family> {
        match self {
            Self::Ner => Some(Family::Ner),
            Self::Tc => Some(Family::Tc),
            Self::Mlm => None,
        }
    }
}

impl From<Family> for Objective {
    fn from(family: Family) -> Self {
        match family {
            Family::Ner => Self::Ner,
            Family::Tc => Self::Tc,
        }
    }
}
