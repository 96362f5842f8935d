//! The frozen encoder that adapters are trained on.

use crate::error::Result;
use crate::network::{Network, SecondEncoder};
use crate::trainer::Prefinetuned;
use espalier_encoder::{Adapter, Family, Lora, TextEncoder};
use std::path::Path;

/// The encoder that adapters are trained on: a backbone or, with cross-stitch, an encoder for each
/// family.
#[derive(Clone, Copy, Debug)]
pub struct FrozenEncoder<'a> {
    backbone: &'a TextEncoder,
    second: Option<&'a SecondEncoder>,
}

impl<'a> FrozenEncoder<'a> {
    /// A backbone, with the second encoder of cross-stitch if there is one.
    pub fn new(backbone: &'a TextEncoder, second: Option<&'a SecondEncoder>) -> Self {
        Self { backbone, second }
    }

    /// The identity that adapters are bound to: the backbone's, or that of both encoders together.
    pub fn fingerprint(&self) -> String {
        match self.second {
            None => self.backbone.fingerprint().to_string(),
            Some(second) => second.fingerprint(self.backbone),
        }
    }

    /// Opens an adapter that was trained on it.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub fn open_adapter(&self, directory: &Path) -> Result<Adapter> {
        Ok(Adapter::open_for(directory, &self.backbone.encoder.config, &self.fingerprint())?)
    }

    /// The encoder that a family reads.
    pub(super) fn backbone(&self, family: Family) -> &'a TextEncoder {
        match (self.second, family) {
            (Some(second), Family::Tc) => &second.backbone,
            _ => self.backbone,
        }
    }

    /// The network that a family's texts run through, with an adapter or without.
    pub(super) fn network<'n>(&self, family: Family, adapter: Option<&'n Lora>) -> Network<'n>
    where
        'a: 'n,
    {
        let own = self.backbone(family).model(adapter);
        match self.second {
            None => Network::Single(own),
            Some(second) => second.network(own, self.backbone, family),
        }
    }

    pub(super) fn trainable(&self) -> Result<()> {
        Ok(self.backbone.trainable()?)
    }
}

impl<'a, E: AsRef<TextEncoder>> From<&'a E> for FrozenEncoder<'a> {
    fn from(encoder: &'a E) -> Self {
        Self::new(encoder.as_ref(), None)
    }
}

impl<'a> From<&'a Prefinetuned> for FrozenEncoder<'a> {
    fn from(trained: &'a Prefinetuned) -> Self {
        Self::new(&trained.backbone, trained.second.as_ref())
    }
}
