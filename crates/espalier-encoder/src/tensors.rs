//! Reading and writing safetensors files.

use crate::error::{EncoderError, Result};
use crate::files;
use espalier_kernels::Bf16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A safetensors file in memory. Its header is checked on parsing; its tensors are converted when
/// they are read.
pub struct TensorFile<'a> {
    path: PathBuf,
    tensors: SafeTensors<'a>,
}

impl<'a> TensorFile<'a> {
    /// Parses and checks the header of the file's `bytes`; `path` is named in errors.
    ///
    /// # Errors
    /// [`EncoderError::Safetensors`] when the file is truncated or malformed.
    pub fn parse(path: &Path, bytes: &'a [u8]) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
            EncoderError::Safetensors { path: path.to_path_buf(), reason: error.to_string() }
        })?;
        Ok(Self { path: path.to_path_buf(), tensors })
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names = self.tensors.names();
        names.sort_unstable();
        names
    }

    /// Shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.tensor(name).ok().map(|view| view.shape().to_vec())
    }

    /// Checks that a tensor is there with this shape and a supported dtype.
    ///
    /// # Errors
    /// [`EncoderError::MissingTensor`], [`EncoderError::TensorShape`] or
    /// [`EncoderError::TensorType`].
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<()> {
        self.view(name, shape).map(|_| ())
    }

    /// Converts a tensor of this shape to f32, into `to`.
    ///
    /// # Errors
    /// As [`TensorFile::expect`], and [`EncoderError::NotFinite`].
    ///
    /// # Panics
    /// If `to` has another number of elements than `shape`.
    pub fn read_into(&self, name: &str, shape: &[usize], to: &mut [f32]) -> Result<()> {
        let view = self.view(name, shape)?;
        assert_eq!(
            to.len(),
            shape.iter().product::<usize>(),
            "read_into: target does not fit the shape"
        );
        match view.dtype() {
            Dtype::F32 => convert(view.data(), to, |bytes: [u8; 4]| f32::from_le_bytes(bytes)),
            Dtype::BF16 => convert(view.data(), to, |bytes: [u8; 2]| {
                f32::from_bits((u16::from_le_bytes(bytes) as u32) << 16)
            }),
            _ => convert(view.data(), to, |bytes: [u8; 2]| f16_to_f32(u16::from_le_bytes(bytes))),
        }
        check_finite(&self.path, name, to, |value| value)
    }

    fn view(&self, name: &str, shape: &[usize]) -> Result<TensorView<'a>> {
        let path = || self.path.clone();
        let view = self
            .tensors
            .tensor(name)
            .map_err(|_| EncoderError::MissingTensor { path: path(), name: name.to_string() })?;
        if view.shape() != shape {
            let (found, expected) = (view.shape().to_vec(), shape.to_vec());
            return Err(EncoderError::TensorShape {
                path: path(),
                name: name.to_string(),
                found,
                expected,
            });
        }
        match view.dtype() {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => Ok(view),
            other => Err(EncoderError::TensorType {
                path: path(),
                name: name.to_string(),
                dtype: format!("{other:?}"),
            }),
        }
    }
}

/// Checks that a tensor holds neither infinities nor NaNs; `number` decodes an element.
pub(crate) fn check_finite<T: Copy>(
    path: &Path,
    name: &str,
    values: &[T],
    number: impl Fn(T) -> f32,
) -> Result<()> {
    // A whole block at a time: such a loop is vectorised, a search is not.
    let broken = |block: &&[T]| {
        block.iter().fold(false, |broken, &value| broken | !number(value).is_finite())
    };
    let mut suspects = values.chunks(1 << 10).filter(broken).flatten().map(|&value| number(value));
    match suspects.find(|value| !value.is_finite()) {
        Some(value) => {
            Err(EncoderError::NotFinite { path: path.to_path_buf(), name: name.to_string(), value })
        }
        None => Ok(()),
    }
}

fn convert<const N: usize>(bytes: &[u8], to: &mut [f32], from_bytes: impl Fn([u8; N]) -> f32) {
    for (to, bytes) in to.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *to = from_bytes(*bytes);
    }
}

/// IEEE 754 half to single precision, exactly.
fn f16_to_f32(half: u16) -> f32 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = ((half >> 10) & 0x1f, (half & 0x3ff) as f32);
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent as i32 - 15),
    }
}

/// The dtype of a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatType {
    /// Four bytes each.
    F32,
    /// Two bytes each.
    Bf16,
}

impl FloatType {
    /// bf16 if it represents all of `values` exactly, else f32.
    pub fn exact<'v>(values: impl IntoIterator<Item = &'v f32>) -> Self {
        let held = |&value: &f32| Bf16::from_f32(value).to_f32().to_bits() == value.to_bits();
        if values.into_iter().all(held) { Self::Bf16 } else { Self::F32 }
    }

    fn in_file(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::BF16,
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Bf16 => values
                .iter()
                .flat_map(|&value| Bf16::from_f32(value).to_bits().to_le_bytes())
                .collect(),
        }
    }
}

/// Writes tensors as one safetensors file, rounded to `dtype`; atomically.
///
/// # Errors
/// [`EncoderError::Io`] when the file cannot be written, [`EncoderError::Safetensors`] when a name
/// repeats.
///
/// # Panics
/// If a tensor's values do not fit its shape.
pub fn write_tensors<'t>(
    path: &Path,
    dtype: FloatType,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, &'t [f32])>,
) -> Result<()> {
    files::write_atomic(path, &tensor_bytes(path, dtype, tensors)?)
}

/// The bytes that [`write_tensors`] writes; `path` is named in errors.
pub(crate) fn tensor_bytes<'t>(
    path: &Path,
    dtype: FloatType,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, &'t [f32])>,
) -> Result<Vec<u8>> {
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, values)| {
            assert_eq!(
                values.len(),
                shape.iter().product::<usize>(),
                "write_tensors: {name} does not fit its shape"
            );
            (name, shape, dtype.bytes(values))
        })
        .collect();
    let fail = |error: safetensors::SafeTensorError| EncoderError::Safetensors {
        path: path.to_path_buf(),
        reason: error.to_string(),
    };
    let views = data
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(dtype.in_file(), shape.clone(), bytes)?))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(fail)?;
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(views, Some(metadata)).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::f16_to_f32;

    #[test]
    fn halves_convert_exactly() {
        // Bit patterns from the table of examples in IEEE 754-2008 binary16.
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
        ] {
            assert_eq!(f16_to_f32(bits), value);
        }
        assert!(f16_to_f32(0x7c00).is_infinite() && f16_to_f32(0x7e00).is_nan());
    }
}
