//! Two encoders side by side, a column for each family, that exchange token vectors: a cross-stitch
//! network (Misra et al., arXiv 1604.03539). It breaks the rule of one backbone, and is there to be
//! compared with.
//!
//! With x_ner and x_tc [T, H] what layer l gives in either column, the layers above it (or, at the
//! end, the objectives) read
//!
//! ```text
//! [ x_ner' ]         [ x_ner ]
//! [        ]  =  S_l [       ]     S_l [2, 2]
//! [ x_tc'  ]         [ x_tc  ]
//! ```
//!
//! There is no such unit between the embeddings and the first layer: both columns start from the
//! same table, and a unit stands where weights of either column have made something of their own,
//! as in the paper.

mod network;
mod save;
mod stitches;

pub(crate) use network::{Stitched, StitchedActivations, StitchedGradients};
pub use stitches::Stitches;

use espalier_encoder::digest::hex;
use espalier_encoder::{Backbone, TextEncoder};
use sha2::{Digest, Sha256};

/// What stands beside the NER family's encoder.
#[derive(Clone, Debug)]
pub struct SecondColumn {
    /// The classification family's encoder.
    pub backbone: Backbone,
    /// The units between both.
    pub stitches: Stitches,
}

impl SecondColumn {
    /// The identity of both columns together, `first` being the NER family's: a SHA-256 over their
    /// fingerprints and the stitches. Adapters bear it, so that none is ever taken for one of a
    /// column alone.
    pub fn fingerprint(&self, first: &TextEncoder) -> String {
        let mut hash = Sha256::new();
        for column in [first.fingerprint(), self.backbone.fingerprint()] {
            hash.update(column);
        }
        for value in &self.stitches.values {
            hash.update(value.to_le_bytes());
        }
        format!("sha256:{}", hex(&hash.finalize()))
    }
}
