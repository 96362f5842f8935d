//! Either kind of backbone.

use super::{Backbone, PackedBackbone, TextEncoder};
use crate::compute::Compute;
use crate::error::{EncoderError, Result};
use crate::files;
use espalier_kernels::Precision;
use espalier_kernels::mapped::Mapped;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// A backbone from a directory or from a packed file, for programs that take both.
///
/// ```
/// use espalier_encoder::AnyBackbone;
///
/// # fn main() -> Result<(), espalier_encoder::EncoderError> {
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let backbone = AnyBackbone::open(path.as_ref())?;
/// assert_eq!(backbone.encoder.width(), 32);
/// let trainable = backbone.into_trainable()?; // fails for a packed file
/// assert!(!trainable.weights().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub enum AnyBackbone {
    /// From a directory.
    Trainable(Backbone),
    /// From a packed file.
    Packed(PackedBackbone),
}

impl AnyBackbone {
    /// Opens a directory as [`Backbone::open`], or a packed file as [`PackedBackbone::open`].
    ///
    /// # Errors
    /// As these.
    pub fn open(path: &Path) -> Result<Self> {
        Self::load(path, Mapped::open)
    }

    /// As [`AnyBackbone::open`], but a packed file is opened as [`PackedBackbone::open_copied`].
    ///
    /// # Errors
    /// As [`AnyBackbone::open`].
    pub fn open_copied(path: &Path) -> Result<Self> {
        Self::load(path, Mapped::copy)
    }

    fn load(path: &Path, load: fn(&Path) -> io::Result<Arc<Mapped>>) -> Result<Self> {
        files::exists(path)?;
        match path.is_dir() {
            true => Backbone::from_directory(path).map(Self::Trainable),
            false => PackedBackbone::load(path, load).map(Self::Packed),
        }
    }

    /// The backbone from a directory, which can be trained, saved and packed.
    ///
    /// # Errors
    /// [`EncoderError::InferenceOnly`] for a packed file.
    pub fn as_trainable(&self) -> Result<&Backbone> {
        match self {
            Self::Trainable(backbone) => Ok(backbone),
            Self::Packed(packed) => Err(inference_only(packed)),
        }
    }

    /// As [`AnyBackbone::as_trainable`], by value.
    ///
    /// # Errors
    /// [`EncoderError::InferenceOnly`] for a packed file.
    pub fn into_trainable(self) -> Result<Backbone> {
        match self {
            Self::Trainable(backbone) => Ok(backbone),
            Self::Packed(packed) => Err(inference_only(&packed)),
        }
    }

    /// The same model, computing in another precision.
    ///
    /// # Errors
    /// As [`PackedBackbone::with_precision`].
    pub fn with_precision(self, precision: Precision) -> Result<Self> {
        Ok(match self {
            Self::Trainable(backbone) => Self::Trainable(backbone.with_precision(precision)),
            Self::Packed(packed) => Self::Packed(packed.with_precision(precision)?),
        })
    }

    /// As [`AnyBackbone::with_precision`].
    ///
    /// # Errors
    /// As [`PackedBackbone::with_compute`].
    pub fn with_compute(self, compute: Compute) -> Result<Self> {
        Ok(match self {
            Self::Trainable(backbone) => Self::Trainable(backbone.with_compute(compute)),
            Self::Packed(packed) => Self::Packed(packed.with_compute(compute)?),
        })
    }
}

fn inference_only(packed: &PackedBackbone) -> EncoderError {
    EncoderError::InferenceOnly { path: packed.path().to_path_buf() }
}

impl Deref for AnyBackbone {
    type Target = TextEncoder;

    fn deref(&self) -> &TextEncoder {
        match self {
            Self::Trainable(backbone) => backbone,
            Self::Packed(packed) => packed,
        }
    }
}

impl AsRef<TextEncoder> for AnyBackbone {
    fn as_ref(&self) -> &TextEncoder {
        self
    }
}

impl From<Backbone> for AnyBackbone {
    fn from(backbone: Backbone) -> Self {
        Self::Trainable(backbone)
    }
}

impl From<PackedBackbone> for AnyBackbone {
    fn from(packed: PackedBackbone) -> Self {
        Self::Packed(packed)
    }
}

impl From<AnyBackbone> for TextEncoder {
    fn from(backbone: AnyBackbone) -> Self {
        match backbone {
            AnyBackbone::Trainable(backbone) => backbone.into(),
            AnyBackbone::Packed(packed) => packed.into(),
        }
    }
}
