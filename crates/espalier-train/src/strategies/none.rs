//! No pre-finetuning: what every other strategy has to beat.

use super::Definition;
use crate::objectives::Objective;

pub(super) struct Raw;

impl Definition for Raw {
    fn name(&self) -> &'static str {
        "none"
    }

    fn words(&self) -> &'static str {
        "no pre-finetuning"
    }

    fn objectives(&self) -> &'static [Objective] {
        &[]
    }

    fn trains_theta(&self) -> bool {
        false
    }
}
