//! Strategies of pre-finetuning: which weights are trained, and whose gradient reaches which of
//! them. [`Strategy::ALL`] is the table.

use espalier_encoder::Family;
use espalier_kernels::optimizer::{blend, dot, sum_of_squares};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// What a batch of pre-finetuning is drawn for. The name appears in configurations, reports and
/// checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectiveKind {
    /// L_ner: concept contrast or distillation, on sentences.
    Ner,
    /// L_tc: contrast of text pairs.
    Tc,
    /// Masked language modelling, which serves both families alike.
    Mlm,
}

impl ObjectiveKind {
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

    /// The configuration key that names its corpora.
    pub(crate) fn corpora_key(self) -> &'static str {
        match self {
            Self::Ner => "ner.corpora",
            Self::Tc => "tc.corpora",
            Self::Mlm => "mlm.corpora",
        }
    }

    /// The family of tasks that it serves, if it serves one: its batches run through that family's
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

/// How the gradients of two objectives on the shared weights become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Merge {
    /// Their sum: both are accumulated in one vector.
    Sum,
    /// [`pcgrad`]: each is computed in a vector of its own.
    PcGrad,
}

/// A way of training: a row of the study.
///
/// With theta the shared weights of the encoder and phi_f the adapter of family f on its last
/// layers (MTPF-TPL, arXiv 2510.07566).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Strategy {
    /// The name in configurations and reports.
    pub name: &'static str,
    /// What it does, in a few words.
    pub description: &'static str,
    /// The objectives that are trained.
    pub objectives: &'static [ObjectiveKind],
    /// Whether theta is trained.
    pub trains_encoder: bool,
    /// Whether each family has its own adapter phi, which only that family's batches run through
    /// and train.
    pub family_adapters: bool,
    /// Whether each family has its own encoder, cross-stitched to the other's after every layer:
    /// two thetas, which no device holds ([`crate::network`]).
    pub family_encoders: bool,
    /// How the families' gradients on theta are merged.
    pub merge: Merge,
}

use ObjectiveKind::{Mlm, Ner, Tc};

impl Strategy {
    /// No pre-finetuning: the backbone as it is, which every other strategy has to beat.
    pub const NONE: Self = Self {
        name: "none",
        description: "no pre-finetuning",
        objectives: &[],
        trains_encoder: false,
        ..Self::JOINT
    };
    /// theta by the NER objective alone.
    pub const NER: Self = Self {
        name: "ner",
        description: "the NER objective alone",
        objectives: &[Ner],
        ..Self::JOINT
    };
    /// theta by the classification objective alone.
    pub const TC: Self = Self {
        name: "tc",
        description: "the classification objective alone",
        objectives: &[Tc],
        ..Self::JOINT
    };
    /// Naive multi-task training: theta by the weighted sum of both objectives.
    pub const JOINT: Self = Self {
        name: "joint",
        description: "both objectives, shared weights",
        objectives: &[Ner, Tc],
        trains_encoder: true,
        family_adapters: false,
        family_encoders: false,
        merge: Merge::Sum,
    };
    /// Joint, with conflicting gradients projected (PCGrad, arXiv 2001.06782).
    pub const PCGRAD: Self = Self {
        name: "pcgrad",
        description: "both objectives, conflicting gradients projected",
        merge: Merge::PcGrad,
        ..Self::JOINT
    };
    /// An encoder per family with trained mixing between the two (arXiv 1604.03539): two backbones,
    /// a reference only.
    pub const CROSS_STITCH: Self = Self {
        name: "cross-stitch",
        description: "an encoder per family, stitched layer by layer",
        family_encoders: true,
        ..Self::JOINT
    };
    /// Task-primary LoRAs: what a family wants for itself goes into its own adapter, and theta
    /// keeps what both agree on.
    pub const TPL: Self = Self {
        name: "tpl",
        description: "both objectives, a LoRA per family",
        family_adapters: true,
        ..Self::JOINT
    };
    /// The adapters of tpl on a frozen theta: an ablation.
    pub const ADAPTERS_ONLY: Self = Self {
        name: "adapters-only",
        description: "a LoRA per family, the encoder frozen",
        trains_encoder: false,
        family_adapters: true,
        ..Self::JOINT
    };

    /// The rows of the study, in its order.
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

    /// Pretraining by masked language modelling, which comes before any family and is no row of the
    /// study: the preset of `espalier pretrain`.
    pub const PRETRAIN: Self = Self {
        name: "mlm",
        description: "masked language modelling",
        objectives: &[Mlm],
        ..Self::JOINT
    };

    /// All that a configuration can name.
    fn known() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain([Self::PRETRAIN])
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name)
    }
}

/// No strategy has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy {name:?}; there are {known}")]
pub struct UnknownStrategy {
    /// The name.
    pub name: String,
    /// All names.
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

/// Gradient surgery (PCGrad, arXiv 2001.06782): the sum of a and b, each projected off the other as
/// it was, if their dot product is negative; otherwise their plain sum. `a` becomes the result.
///
/// ```text
/// a' + b' = a - (a.b / |b|^2) b + b - (a.b / |a|^2) a = (1 - a.b / |a|^2) a + (1 - a.b / |b|^2) b
/// ```
pub fn pcgrad(a: &mut [f32], b: &[f32]) {
    let (product, a_squared, b_squared) = (dot(a, b), sum_of_squares(a), sum_of_squares(b));
    // A gradient whose square underflows is nothing beside the other.
    let conflict = product < 0.0 && a_squared > 0.0 && b_squared > 0.0;
    let removed = |squared: f64| if conflict { product / squared } else { 0.0 };
    blend((1.0 - removed(a_squared)) as f32, a, (1.0 - removed(b_squared)) as f32, b);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_strategies() {
        for strategy in Strategy::known() {
            assert_eq!(strategy.name.parse::<Strategy>().unwrap(), strategy);
        }
        let message = "pcgrab".parse::<Strategy>().unwrap_err().to_string();
        let known = "none, ner, tc, joint, pcgrad, cross-stitch, tpl, adapters-only, mlm";
        assert_eq!(message, format!("unknown strategy \"pcgrab\"; there are {known}"));
    }

    fn merged(mut a: Vec<f32>, b: Vec<f32>) -> Vec<f32> {
        pcgrad(&mut a, &b);
        a
    }

    #[test]
    fn conflicting_gradients_by_hand() {
        // a.b = -1, |a|^2 = 1, |b|^2 = 2:
        // a' = (1, 0) + 1/2 (-1, 1) = (1/2, 1/2) and b' = (-1, 1) + (1, 0) = (0, 1).
        assert_eq!(merged(vec![1.0, 0.0], vec![-1.0, 1.0]), [0.5, 1.5]);
        // Opposite ones cancel: nothing is left of either.
        assert_eq!(merged(vec![2.0, -4.0], vec![-1.0, 2.0]), [0.0, 0.0]);
    }

    #[test]
    fn gradients_that_agree_are_added() {
        assert_eq!(merged(vec![1.0, 0.5], vec![3.0, -1.0]), [4.0, -0.5]);
        let perpendicular = merged(vec![1.0, 0.0], vec![0.0, 1.0]);
        assert_eq!(perpendicular, [1.0, 1.0], "at right angles nothing conflicts");
        assert_eq!(merged(vec![-1e-30, 0.0], vec![1e-3, 1.0]), [1e-3, 1.0], "it underflows");
    }
}
