//! What tpl gives when theta may not move: an ablation.

use super::Definition;

pub(super) struct AdaptersOnly;

impl Definition for AdaptersOnly {
    fn name(&self) -> &'static str {
        "adapters-only"
    }

    fn words(&self) -> &'static str {
        "a LoRA per family, the encoder frozen"
    }

    fn trains_theta(&self) -> bool {
        false
    }

    fn has_family_adapters(&self) -> bool {
        true
    }
}
