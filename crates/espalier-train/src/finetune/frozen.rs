//! What adapters are trained on.

use super::network::Network;
use crate::columns::{SecondColumn, Stitched};
use crate::error::Result;
use crate::prefinetune::Prefinetuned;
use espalier_encoder::{Adapter, Family, Lora, TextEncoder};
use std::path::Path;

/// The encoder under adapters, which stays as it is: a backbone, or two columns of which each
/// family reads its own.
#[derive(Clone, Copy, Debug)]
pub struct Frozen<'a> {
    backbone: &'a TextEncoder,
    second: Option<&'a SecondColumn>,
}

impl<'a> Frozen<'a> {
    /// A backbone, with a second column beside it if there is one.
    pub fn new(backbone: &'a TextEncoder, second: Option<&'a SecondColumn>) -> Self {
        Self { backbone, second }
    }

    /// The identity that adapters bear: the backbone's, or that of both columns together.
    pub fn fingerprint(&self) -> String {
        match self.second {
            None => self.backbone.fingerprint().to_string(),
            Some(second) => second.fingerprint(self.backbone),
        }
    }

    /// Reads an adapter that was trained on it.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub fn open_adapter(&self, directory: &Path) -> Result<Adapter> {
        Ok(Adapter::open_for(directory, &self.backbone.encoder.config, &self.fingerprint())?)
    }

    /// What a family reads.
    pub(super) fn backbone(&self, family: Family) -> &'a TextEncoder {
        match (self.second, family) {
            (Some(second), Family::Tc) => &second.backbone,
            _ => self.backbone,
        }
    }

    /// What a family's texts run through, with an adapter on what the family reads or without.
    pub(super) fn network<'n>(&self, family: Family, adapter: Option<&'n Lora>) -> Network<'n>
    where
        'a: 'n,
    {
        let own = self.backbone(family).model(adapter);
        let Some(second) = self.second else { return Network::Single(own) };
        let other = match family {
            Family::Ner => &second.backbone,
            Family::Tc => self.backbone,
        };
        Network::Stitched(Stitched {
            columns: [own, other.model(None)],
            stitches: &second.stitches,
            family,
        })
    }

    pub(super) fn trainable(&self) -> Result<()> {
        Ok(self.backbone.trainable()?)
    }
}

impl<'a, E: AsRef<TextEncoder>> From<&'a E> for Frozen<'a> {
    fn from(encoder: &'a E) -> Self {
        Self::new(encoder.as_ref(), None)
    }
}

impl<'a> From<&'a Prefinetuned> for Frozen<'a> {
    fn from(trained: &'a Prefinetuned) -> Self {
        Self::new(&trained.backbone, trained.second.as_ref())
    }
}
