//! Strategies of pre-finetuning: which weights are trained, and which objective's gradient reaches
//! them. [`Strategy::ALL`] is the table.

mod pcgrad;

pub use pcgrad::pcgrad;

use espalier_encoder::Family;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The kind of an objective. Its name is a key in configurations, reports and checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ObjectiveKind {
    /// L_ner: concept contrast or distillation, on sentences.
    Ner,
    /// L_tc: contrast of text pairs.
    Tc,
    /// Masked language modelling, on plain text. It belongs to neither family.
    Mlm,
}

impl ObjectiveKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Ner, Self::Tc, Self::Mlm];

    /// The name in reports and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ner => Family::Ner.name(),
            Self::Tc => Family::Tc.name(),
            Self::Mlm => "mlm",
        }
    }

    /// The configuration key of its corpora.
    pub(crate) fn corpora_key(self) -> &'static str {
        match self {
            Self::Ner => "ner.corpora",
            Self::Tc => "tc.corpora",
            Self::Mlm => "mlm.corpora",
        }
    }

    /// The family of the objective, if it belongs to one. Its batches run through that family's
    /// adapter.
    pub fn family(self) -> Option<Family> {
        match self {
            Self::Ner => Some(Family::Ner),
            Self::Tc => Some(Family::Tc),
            Self::Mlm => None,
        }
    }
}

impl From<Family> for ObjectiveKind {
    fn from(family: Family) -> Self {
        match family {
            Family::Ner => Self::Ner,
            Family::Tc => Self::Tc,
        }
    }
}

/// How the gradients of two objectives on the shared weights are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Merge {
    /// Their sum. Both are accumulated in one buffer.
    Sum,
    /// [`pcgrad()`]. Each is computed in a buffer of its own.
    PcGrad,
}

/// A training strategy: a row of the study.
///
/// theta are the shared weights of the encoder. phi_f is the adapter of family f on the last layers
/// (MTPF-TPL, arXiv 2510.07566).
///
/// A strategy is parsed from its name:
///
/// ```
/// use espalier_train::strategy::{Merge, Strategy};
///
/// let strategy: Strategy = "pcgrad".parse()?;
/// assert_eq!(strategy, Strategy::PCGRAD);
/// assert_eq!(strategy.merge, Merge::PcGrad);
///
/// let error = "pcgrab".parse::<Strategy>().unwrap_err();
/// assert!(error.to_string().contains("pcgrab"));
/// # Ok::<(), espalier_train::strategy::UnknownStrategy>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Strategy {
    /// The name in configurations and reports.
    pub name: &'static str,
    /// A short description.
    pub description: &'static str,
    /// The objectives that are trained.
    pub objectives: &'static [ObjectiveKind],
    /// Whether theta is trained.
    pub trains_encoder: bool,
    /// Whether each family has its own adapter phi. Only the batches of that family run through it
    /// and train it.
    pub family_adapters: bool,
    /// Whether each family has its own encoder, cross-stitched to the other's after every layer
    /// ([`crate::network`]). That is two thetas, too many for a device.
    pub family_encoders: bool,
    /// How the families' gradients on theta are merged.
    pub merge: Merge,
}

use ObjectiveKind::{Mlm, Ner, Tc};

impl Strategy {
    /// No pre-finetuning: the original backbone, the baseline of the study.
    pub const NONE: Self = Self {
        name: "none",
        description: "no pre-finetuning",
        objectives: &[],
        trains_encoder: false,
        ..Self::JOINT
    };
    /// The NER objective alone trains theta.
    pub const NER: Self = Self {
        name: "ner",
        description: "the NER objective alone",
        objectives: &[Ner],
        ..Self::JOINT
    };
    /// The classification objective alone trains theta.
    pub const TC: Self = Self {
        name: "tc",
        description: "the classification objective alone",
        objectives: &[Tc],
        ..Self::JOINT
    };
    /// Plain multi-task learning: the weighted sum of both losses trains theta.
    pub const JOINT: Self = Self {
        name: "joint",
        description: "both objectives, shared weights",
        objectives: &[Ner, Tc],
        trains_encoder: true,
        family_adapters: false,
        family_encoders: false,
        merge: Merge::Sum,
    };
    /// As joint, but conflicting gradients are projected (PCGrad, arXiv 2001.06782).
    pub const PCGRAD: Self = Self {
        name: "pcgrad",
        description: "both objectives, conflicting gradients projected",
        merge: Merge::PcGrad,
        ..Self::JOINT
    };
    /// An encoder for each family, with trained mixing between the two (cross-stitch, arXiv
    /// 1604.03539). It needs two backbones and is only a reference.
    pub const CROSS_STITCH: Self = Self {
        name: "cross-stitch",
        description: "an encoder per family, stitched layer by layer",
        family_encoders: true,
        ..Self::JOINT
    };
    /// Task-primary LoRAs: an adapter for each family learns what is specific to it, and theta
    /// learns what both have in common.
    pub const TPL: Self = Self {
        name: "tpl",
        description: "both objectives, a LoRA per family",
        family_adapters: true,
        ..Self::JOINT
    };
    /// As tpl, with theta frozen: an ablation.
    pub const ADAPTERS_ONLY: Self = Self {
        name: "adapters-only",
        description: "a LoRA per family, the encoder frozen",
        trains_encoder: false,
        family_adapters: true,
        ..Self::JOINT
    };

    /// The strategies of the study, in the order of its tables.
    pub const ALL: [Self; 8] = [
        Self::NONE,
        Self::NER,
        Self::TC,
        Self::JOINT,
        Self::PCGRAD,
        Self::CROSS_STITCH,
        Self::TPL,
        Self::ADAPTERS_ONLY,
    ];

    /// Pretraining by masked language modelling: the preset of `espalier pretrain`. It comes before
    /// pre-finetuning and is not part of the study.
    pub const PRETRAIN: Self = Self {
        name: "mlm",
        description: "masked language modelling",
        objectives: &[Mlm],
        ..Self::JOINT
    };

    /// Every strategy that can be parsed.
    fn known() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain([Self::PRETRAIN])
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name)
    }
}

/// The error of parsing a [`Strategy`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy {name:?}; the strategies are {known}")]
#[non_exhaustive]
pub struct UnknownStrategy {
    /// The unknown name.
    pub name: String,
    /// The known names, separated by commas.
    pub known: String,
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, UnknownStrategy> {
        let known = || Self::known().map(|strategy| strategy.name).collect::<Vec<_>>().join(", ");
        let found = Self::known().find(|strategy| strategy.name == name);
        found.ok_or_else(|| UnknownStrategy { name: name.into(), known: known() })
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
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
    fn every_name_parses_and_unknown_names_list_the_known_ones() {
        for strategy in Strategy::known() {
            assert_eq!(strategy.name.parse::<Strategy>().unwrap(), strategy);
        }
        let message = "pcgrab".parse::<Strategy>().unwrap_err().to_string();
        let known = "none, ner, tc, joint, pcgrad, cross-stitch, tpl, adapters-only, mlm";
        assert_eq!(message, format!("unknown strategy \"pcgrab\"; the strategies are {known}"));
    }
}
