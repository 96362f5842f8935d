//! Strategies of pre-finetuning: which families are trained, and whose gradient reaches which weights.
//!
//! The shared weights theta always receive the sum of the gradients of the families trained. A family's adapter phi, where the
//! strategy gives it one, receives that family's gradient alone.

use espalier_encoder::Family;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A row of the study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// No pre-finetuning: the backbone as it is.
    None,
    /// theta by the NER objective alone.
    Ner,
    /// theta by the classification objective alone.
    Tc,
    /// Naive multi-task: theta by the weighted sum of both objectives.
    Joint,
    /// Task-primary LoRAs (MTPF-TPL, arXiv 2510.07566): theta by both objectives, the NER batch running through theta +
    /// phi_ner and the classification batch through theta + phi_tc.
    Tpl,
}

impl Strategy {
    /// All strategies, in the order of the study.
    pub const ALL: [Strategy; 5] = [Self::None, Self::Ner, Self::Tc, Self::Joint, Self::Tpl];

    /// The name in configurations and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ner => "ner",
            Self::Tc => "tc",
            Self::Joint => "joint",
            Self::Tpl => "tpl",
        }
    }

    /// The families whose objectives train theta.
    pub fn families(self) -> &'static [Family] {
        match self {
            Self::None => &[],
            Self::Ner => &[Family::Ner],
            Self::Tc => &[Family::Tc],
            Self::Joint | Self::Tpl => &[Family::Ner, Family::Tc],
        }
    }

    /// Whether each family has its own adapter on the last layers.
    pub fn has_family_adapters(self) -> bool {
        self == Self::Tpl
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}
