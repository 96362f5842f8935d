//! Tensors that PyTorch made: fixtures/parity.safetensors, written by
//! scripts/make_parity_fixtures.py.

use safetensors::{Dtype, SafeTensors};

/// A tensor of the fixture; f32 ones are widened.
pub fn tensor(name: &str) -> Vec<f64> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/parity.safetensors");
    let bytes = std::fs::read(path).expect("the fixture");
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let view = tensors.tensor(name).expect(name);
    match view.dtype() {
        Dtype::F32 => {
            view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b) as f64).collect()
        }
        Dtype::F64 => view.data().as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
        other => panic!("{name} is {other:?}"),
    }
}

pub fn tensor_f32(name: &str) -> Vec<f32> {
    tensor(name).iter().map(|&v| v as f32).collect()
}
