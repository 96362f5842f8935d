//! Strategies of pre-finetuning: which weights are trained, and whose gradient reaches which of
//! them.
//!
//! Each strategy is a file with a [`Definition`]; [`Strategy`] names them all. A new one takes its
//! file, a variant, and its lines in [`Strategy::ALL`], if it is a row of the study, and
//! [`Strategy::definition`].

mod adapters_only;
mod cross_stitch;
mod joint;
mod mlm;
mod ner;
mod none;
mod pcgrad;
mod tc;
mod tpl;

use crate::error::TrainError;
use crate::objectives::Objective;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// Makes one gradient of two that were kept apart, each a flat vector over all of theta: of the
/// first family's, which it overwrites with the result, and of the second's.
pub type Combine = fn(first: &mut [f32], second: &[f32]);

/// What a strategy does. The defaults are those of joint training.
pub trait Definition: Sync {
    /// The name in configurations and reports.
    fn name(&self) -> &'static str;

    /// What it does, in a few words.
    fn words(&self) -> &'static str;

    /// The objectives that are trained.
    fn objectives(&self) -> &'static [Objective] {
        &[Objective::Ner, Objective::Tc]
    }

    /// Whether the shared weights theta are trained.
    fn trains_theta(&self) -> bool {
        true
    }

    /// Whether each family has its own adapter phi on the last layers, which its batches run
    /// through and which learns from them alone.
    fn has_family_adapters(&self) -> bool {
        false
    }

    /// Whether each family has an encoder of its own, stitched to the other's after every layer
    /// ([`crate::columns`]): two thetas, which no device holds.
    fn has_family_columns(&self) -> bool {
        false
    }

    /// How the families' gradients on theta become one. `None`: they are added up as they come, in
    /// a single vector.
    fn combine(&self) -> Option<Combine> {
        None
    }
}

/// A way of training: a row of the study, or what comes before it. It has the methods of its
/// [`Definition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// No pre-finetuning: the backbone as it is.
    None,
    /// theta by the NER objective alone.
    Ner,
    /// theta by the classification objective alone.
    Tc,
    /// Naive multi-task: theta by the weighted sum of both objectives.
    Joint,
    /// Joint, with conflicting gradients projected off each other.
    PcGrad,
    /// An encoder for each family, stitched to the other's: two backbones, a reference only.
    CrossStitch,
    /// Task-primary LoRAs: theta by both objectives, each family's batch running through theta and
    /// its own adapter.
    Tpl,
    /// The adapters of tpl on a theta that stays as it is.
    AdaptersOnly,
    /// theta by masked language modelling, before any family: no row of the study.
    Mlm,
}

impl Strategy {
    /// The rows of the study, in its order.
    pub const ALL: [Strategy; 8] = [
        Self::None,
        Self::Ner,
        Self::Tc,
        Self::Joint,
        Self::PcGrad,
        Self::CrossStitch,
        Self::Tpl,
        Self::AdaptersOnly,
    ];

    /// All that a configuration can name.
    fn known() -> impl Iterator<Item = Strategy> {
        Self::ALL.into_iter().chain([Self::Mlm])
    }

    /// What it does.
    pub fn definition(self) -> &'static dyn Definition {
        match self {
            Self::None => &none::Raw,
            Self::Ner => &ner::Ner,
            Self::Tc => &tc::Tc,
            Self::Joint => &joint::Joint,
            Self::PcGrad => &pcgrad::PcGrad,
            Self::CrossStitch => &cross_stitch::CrossStitch,
            Self::Tpl => &tpl::Tpl,
            Self::AdaptersOnly => &adapters_only::AdaptersOnly,
            Self::Mlm => &mlm::Mlm,
        }
    }
}

impl Deref for Strategy {
    type Target = dyn Definition;

    fn deref(&self) -> &Self::Target {
        self.definition()
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Strategy {
    type Err = TrainError;

    fn from_str(name: &str) -> Result<Self, TrainError> {
        let unknown = || TrainError::UnknownStrategy {
            name: name.into(),
            known: Self::known().map(|strategy| strategy.name()).collect::<Vec<_>>().join(", "),
        };
        Self::known().find(|strategy| strategy.name() == name).ok_or_else(unknown)
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_strategies() {
        for strategy in Strategy::known() {
            assert_eq!(strategy.name().parse::<Strategy>().unwrap(), strategy);
        }
        let message = "pcgrab".parse::<Strategy>().unwrap_err().to_string();
        let known = "none, ner, tc, joint, pcgrad, cross-stitch, tpl, adapters-only, mlm";
        assert_eq!(message, format!("unknown strategy \"pcgrab\"; there are {known}"));
    }
}
