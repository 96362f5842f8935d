//! A backbone from a packed file.

use super::text_encoder::{TextEncoder, Weights};
use crate::compute::Compute;
use crate::error::{EncoderError, Result};
use crate::files;
use crate::packed_file::{self, MappedWeights};
use espalier_kernels::Precision;
use espalier_kernels::mapped::Mapped;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A backbone from a file that [`Backbone::pack`](super::Backbone::pack) wrote, for inference.
///
/// Its word embeddings are used in place; its other matrices are read when a model is first asked
/// for. It dereferences to [`TextEncoder`], and is `Send + Sync`: threads may share it.
#[derive(Clone)]
pub struct PackedBackbone {
    text_encoder: TextEncoder,
    weights: Arc<MappedWeights>,
}

impl fmt::Debug for PackedBackbone {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut shown = f.debug_struct("PackedBackbone");
        shown.field("text_encoder", &self.text_encoder).finish_non_exhaustive()
    }
}

impl PackedBackbone {
    /// Maps a packed file into memory and checks all of it.
    /// [`Backbone::pack`](super::Backbone::pack) has an example.
    ///
    /// The file stays mapped. Meanwhile it must not be written to, only replaced by another file of
    /// its name: see [`Mapped`]. [`PackedBackbone::open_copied`] has no such condition.
    ///
    /// # Errors
    /// [`EncoderError`] naming the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self> {
        Self::load(path, Mapped::open)
    }

    /// As [`PackedBackbone::open`], but copies the whole file into memory. It may change
    /// afterwards.
    ///
    /// # Errors
    /// As [`PackedBackbone::open`].
    pub fn open_copied(path: &Path) -> Result<Self> {
        Self::load(path, Mapped::copy)
    }

    pub(super) fn load(path: &Path, load: fn(&Path) -> io::Result<Arc<Mapped>>) -> Result<Self> {
        files::exists(path)?;
        let opened = packed_file::open(path, load)?;
        let weights = Arc::new(opened.weights);
        let text_encoder = TextEncoder {
            encoder: Arc::new(opened.encoder),
            tokenizer: Arc::new(opened.tokenizer),
            text_vectors: opened.text_vectors,
            precision: weights.dtype,
            weights: Weights::Mapped(weights.clone()),
            fingerprint: opened.fingerprint,
            packed: OnceLock::new(),
        };
        Ok(Self { text_encoder, weights })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.weights.path
    }

    /// The same model, computing in another precision. Weights can be multiplied in the precision
    /// in which they are stored, those in bf16 also in f32, and those in f32 in any.
    ///
    /// # Errors
    /// [`EncoderError::UnsupportedPrecision`] for any other precision.
    pub fn with_precision(self, precision: Precision) -> Result<Self> {
        if !self.weights.computes_in(precision) {
            let (path, stored) = (self.weights.path.clone(), self.weights.dtype);
            return Err(EncoderError::UnsupportedPrecision { path, stored, asked: precision });
        }
        Ok(Self { text_encoder: self.text_encoder.with_precision(precision), ..self })
    }

    /// As [`PackedBackbone::with_precision`]. [`Compute::Auto`] is the precision in which weights
    /// are stored, unless that is f32.
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
