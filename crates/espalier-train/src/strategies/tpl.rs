//! Task-primary LoRAs (MTPF-TPL, arXiv 2510.07566): what a family wants for itself goes into its
//! own adapter, and theta keeps what both agree on.

use super::Definition;

pub(super) struct Tpl;

impl Definition for Tpl {
    fn name(&self) -> &'static str {
        "tpl"
    }

    fn words(&self) -> &'static str {
        "both objectives, a LoRA per family"
    }

    fn has_family_adapters(&self) -> bool {
        true
    }
}
