//! theta by the NER objective alone: what a family gains by itself.

use super::Definition;
use espalier_encoder::Family;

pub(super) struct Ner;

impl Definition for Ner {
    fn name(&self) -> &'static str {
        "ner"
    }

    fn words(&self) -> &'static str {
        "the NER objective alone"
    }

    fn families(&self) -> &'static [Family] {
        &[Family::Ner]
    }
}
