//! theta by masked language modelling alone: how an encoder comes about, or gets used to the texts
//! of a domain.

use super::Definition;
use crate::objectives::Objective;

pub(super) struct Mlm;

impl Definition for Mlm {
    fn name(&self) -> &'static str {
        "mlm"
    }

    fn words(&self) -> &'static str {
        "masked language modelling"
    }

    fn objectives(&self) -> &'static [Objective] {
        &[Objective::Mlm]
    }
}
