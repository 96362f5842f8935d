//! Safetensors files as tests want them: any type, any name, easy to change.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// The tensors of a file by name.
pub type RawTensors = BTreeMap<String, RawTensor>;

/// A tensor as its file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The elements, little-endian.
    pub bytes: Vec<u8>,
}

impl RawTensor {
    /// A tensor of these f32 values.
    pub fn f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// A tensor of zeros of any type.
    pub fn zeros(dtype: Dtype, shape: &[usize]) -> Self {
        let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        Self { dtype, shape: shape.to_vec(), bytes: vec![0; bytes] }
    }

    /// The values of an f32 tensor.
    pub fn f32s(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        self.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    /// The values of an f64 tensor, or of an f32 tensor, widened.
    pub fn f64s(&self) -> Vec<f64> {
        match self.dtype {
            Dtype::F64 => self.bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            _ => self.f32s().into_iter().map(f64::from).collect(),
        }
    }

    /// The values of an i64 tensor.
    pub fn i64s(&self) -> Vec<i64> {
        assert_eq!(self.dtype, Dtype::I64);
        self.bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
    }
}

/// All tensors of a file.
pub fn read(path: &Path) -> RawTensors {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let raw = |view: TensorView| RawTensor {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    file.tensors().into_iter().map(|(name, view)| (name, raw(view))).collect()
}

/// Writes a file of these tensors, without metadata.
pub fn write(path: &Path, tensors: &RawTensors) {
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (name, view.unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Changes a file in place.
pub fn edit(path: &Path, edit: impl FnOnce(&mut RawTensors)) {
    let mut tensors = read(path);
    edit(&mut tensors);
    write(path, &tensors);
}
