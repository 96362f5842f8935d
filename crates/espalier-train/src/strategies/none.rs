//! No pre-finetuning: what every other strategy has to beat.

use super::Definition;
use espalier_encoder::Family;

pub(super) struct Raw;

impl Definition for Raw {
    fn name(&self) -> &'static str {
        "none"
    }

    fn words(&self) -> &'static str {
        "no pre-finetuning"
    }

    fn families(&self) -> &'static [Family] {
        &[]
    }

    fn trains_theta(&self) -> bool {
        false
    }
}
