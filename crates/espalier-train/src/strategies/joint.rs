//! Naive multi-task training: theta by the weighted sum of both objectives.

use super::Definition;

pub(super) struct Joint;

impl Definition for Joint {
    fn name(&self) -> &'static str {
        "joint"
    }

    fn words(&self) -> &'static str {
        "both objectives, shared weights"
    }
}
