//! theta by the classification objective alone: what a family gains by itself.

use super::Definition;
use crate::objectives::Objective;

pub(super) struct Tc;

impl Definition for Tc {
    fn name(&self) -> &'static str {
        "tc"
    }

    fn words(&self) -> &'static str {
        "the classification objective alone"
    }

    fn objectives(&self) -> &'static [Objective] {
        &[Objective::Tc]
    }
}
