//! A backbone in a packed file.

use super::text_encoder::{TextEncoder, Weights};
use crate::bundle::Bundle;
use crate::compute::Compute;
use crate::error::{EncoderError, Result};
use crate::files;
use espalier_kernels::Precision;
use espalier_kernels::mapped::Mapped;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A backbone that was opened from the one file that [`Backbone::pack`](super::Backbone::pack)
/// writes. It is for inference: its matrices are packed when a model is first asked for, and its
/// word embeddings are read in place.
#[derive(Clone, Debug)]
pub struct PackedBackbone {
    text_encoder: TextEncoder,
    bundle: Arc<Bundle>,
}

impl PackedBackbone {
    /// Maps a packed file into memory and checks all of it.
    ///
    /// The file stays mapped and must not be written to meanwhile, only replaced by another of its
    /// name: see [`espalier_kernels::mapped::Mapped`]. For files that somebody may write to there
    /// is [`PackedBackbone::open_copied`].
    ///
    /// # Errors
    /// [`EncoderError`] naming the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_by(path, Mapped::open)
    }

    /// [`PackedBackbone::open`], but the file is copied into memory, all of it, and may change
    /// afterwards.
    ///
    /// # Errors
    /// As [`PackedBackbone::open`].
    pub fn open_copied(path: &Path) -> Result<Self> {
        Self::open_by(path, Mapped::copy)
    }

    pub(super) fn open_by(
        path: &Path,
        bytes: fn(&Path) -> io::Result<Arc<Mapped>>,
    ) -> Result<Self> {
        files::exists(path)?;
        let opened = Bundle::open(path, bytes)?;
        let bundle = Arc::new(opened.bundle);
        let text_encoder = TextEncoder {
            encoder: Arc::new(opened.encoder),
            tokenizer: Arc::new(opened.tokenizer),
            text_vectors: opened.text_vectors,
            precision: bundle.dtype,
            weights: Weights::File(bundle.clone()),
            fingerprint: opened.fingerprint,
            packed: OnceLock::new(),
        };
        Ok(Self { text_encoder, bundle })
    }

    /// The file that it was opened from.
    pub fn path(&self) -> &Path {
        &self.bundle.path
    }

    /// The same model, computing in another precision. Weights can be multiplied in the precision
    /// that they are stored in, bf16 in f32 too, and f32 in any precision.
    ///
    /// # Errors
    /// [`EncoderError::UnsupportedPrecision`] for a precision that they cannot be multiplied in.
    pub fn with_precision(self, precision: Precision) -> Result<Self> {
        if !self.bundle.computes_in(precision) {
            let (path, stored) = (self.bundle.path.clone(), self.bundle.dtype);
            return Err(EncoderError::UnsupportedPrecision { path, stored, asked: precision });
        }
        Ok(Self { text_encoder: self.text_encoder.with_precision(precision), ..self })
    }

    /// [`PackedBackbone::with_precision`] by a setting; [`Compute::Auto`] leaves a file of bf16 or
    /// bytes at what it stores.
    ///
    /// # Errors
    /// As [`PackedBackbone::with_precision`].
    pub fn with_compute(self, compute: Compute) -> Result<Self> {
        match compute {
            Compute::Auto if self.precision() != Precision::F32 => Ok(self),
            compute => self.with_precision(compute.precision()),
        }
    }
}

impl Deref for PackedBackbone {
    type Target = TextEncoder;

    fn deref(&self) -> &TextEncoder {
        &self.text_encoder
    }
}

impl AsRef<TextEncoder> for PackedBackbone {
    fn as_ref(&self) -> &TextEncoder {
        self
    }
}

impl From<PackedBackbone> for TextEncoder {
    fn from(backbone: PackedBackbone) -> Self {
        backbone.text_encoder
    }
}
