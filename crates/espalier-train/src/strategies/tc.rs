//! theta by the classification objective alone: what a family gains by itself.

use super::Definition;
use espalier_encoder::Family;

pub(super) struct Tc;

impl Definition for Tc {
    fn name(&self) -> &'static str {
        "tc"
    }

    fn words(&self) -> &'static str {
        "the classification objective alone"
    }

    fn families(&self) -> &'static [Family] {
        &[Family::Tc]
    }
}
