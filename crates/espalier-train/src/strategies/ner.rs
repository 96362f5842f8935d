//! theta by the NER objective alone: what a family gains by itself.

use super::Definition;
use crate::objectives::Objective;

pub(super) struct Ner;

impl Definition for Ner {
    fn name(&self) -> &'static str {
        "ner"
    }

    fn words(&self) -> &'static str {
        "the NER objective alone"
    }

    fn objectives(&self) -> &'static [Objective] {
        &[Objective::Ner]
    }
}
