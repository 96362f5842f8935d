//! Cross-stitch networks (arXiv 1604.03539): an encoder for each family, and trained mixing between
//! the two.

use super::Definition;

pub(super) struct CrossStitch;

impl Definition for CrossStitch {
    fn name(&self) -> &'static str {
        "cross-stitch"
    }

    fn words(&self) -> &'static str {
        "an encoder per family, stitched layer by layer"
    }

    fn has_family_columns(&self) -> bool {
        true
    }
}
