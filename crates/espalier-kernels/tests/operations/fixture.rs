//! Tensors that PyTorch made: fixtures/parity.safetensors, written by
//! scripts/make_parity_fixtures.py.

use espalier_testing::fixtures::fixture;
use espalier_testing::tensors;

/// A tensor of the fixture; f32 ones are widened.
pub fn tensor(name: &str) -> Vec<f64> {
    tensors::read(&fixture("parity.safetensors"))[name].f64s()
}

pub fn tensor_f32(name: &str) -> Vec<f32> {
    tensor(name).iter().map(|&v| v as f32).collect()
}
