//! The stitches: 2 x 2 matrices that mix the hidden states of two encoders.

use espalier_encoder::Family;
use espalier_kernels::optimizer::{blend, dot};

/// A 2 x 2 matrix for each layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Stitches {
    /// S, [L, 2, 2]. S_l[i, j] is the weight of encoder j in the mixture for encoder i, where 0 is
    /// the NER encoder and 1 the classification encoder.
    pub values: Vec<f32>,
}

impl Stitches {
    /// The same matrix for every layer: weight `own` for an encoder's own hidden states, and
    /// `other` for those of the other encoder.
    pub fn new(layers: usize, own: f32, other: f32) -> Self {
        Self { values: [own, other, other, own].repeat(layers) }
    }

    /// Whether the number of matrices is `layers`.
    pub fn fits(&self, layers: usize) -> bool {
        self.values.len() == 4 * layers
    }

    /// The matrix after `layer`, with rows and columns ordered for a family: its own encoder is 0.
    pub(super) fn matrix(&self, layer: usize, family: Family) -> [[f32; 2]; 2] {
        let mut matrix = [[0.0; 2]; 2];
        for (to, from) in ENTRIES {
            matrix[to][from] = self.values[index(layer, family, to, from)];
        }
        matrix
    }
}

/// The row and column of each entry of a matrix.
const ENTRIES: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

/// The index in [`Stitches::values`] of the weight of encoder `from` in the mixture for encoder
/// `to`, where 0 is the family's own encoder.
fn index(layer: usize, family: Family, to: usize, from: usize) -> usize {
    let first = usize::from(family == Family::Tc);
    4 * layer + 2 * (to ^ first) + (from ^ first)
}

/// S x: the two mixtures of x, each [T, H].
pub(super) fn mix(matrix: [[f32; 2]; 2], x: [&[f32]; 2]) -> [Vec<f32>; 2] {
    matrix.map(|[a, b]| {
        let mut mixed = x[0].to_vec();
        blend(a, &mut mixed, b, x[1]);
        mixed
    })
}

/// S^T d: the gradients with respect to x, from `d` with respect to its mixtures.
pub(super) fn mix_backward(
    [[s00, s01], [s10, s11]]: [[f32; 2]; 2],
    d: [&[f32]; 2],
) -> [Vec<f32>; 2] {
    mix([[s00, s10], [s01, s11]], d)
}

/// Adds d x^T, the gradient of the matrix after `layer`, to `gradients` [L, 2, 2].
pub(super) fn add_gradient(
    gradients: &mut [f32],
    layer: usize,
    family: Family,
    d: [&[f32]; 2],
    x: [&[f32]; 2],
) {
    for (to, from) in ENTRIES {
        gradients[index(layer, family, to, from)] += dot(d[to], x[from]) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_and_its_gradients_match_a_calculation_by_hand() {
        let stitches = Stitches { values: [[0.0; 4], [1.0, 2.0, 3.0, 4.0]].concat() };
        assert!(stitches.fits(2) && !stitches.fits(1));
        let (ner, tc): (&[f32], &[f32]) = (&[1.0, 10.0], &[5.0, -1.0]);
        let for_ner = mix(stitches.matrix(1, Family::Ner), [ner, tc]);
        assert_eq!(for_ner, [vec![1.0 + 10.0, 10.0 - 2.0], vec![3.0 + 20.0, 30.0 - 4.0]]);
        let [own, other] = mix(stitches.matrix(1, Family::Tc), [tc, ner]);
        assert_eq!([other, own], for_ner, "for classification the two encoders are swapped");

        // d = (1, 0), (0, 1): S^T d is (1, 3), (2, 4), and d x^T is ((1, 5), (10, -1)).
        let d: [&[f32]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
        let d_x = mix_backward(stitches.matrix(1, Family::Ner), d);
        assert_eq!(d_x, [vec![1.0, 3.0], vec![2.0, 4.0]]);
        let mut gradients = vec![0.0; 8];
        add_gradient(&mut gradients, 1, Family::Ner, d, [ner, tc]);
        assert_eq!(gradients, [0.0, 0.0, 0.0, 0.0, 1.0, 5.0, 10.0, -1.0]);
        add_gradient(&mut gradients, 1, Family::Tc, [d[1], d[0]], [tc, ner]);
        assert_eq!(gradients[4..], [2.0, 10.0, 20.0, -2.0]);
    }
}
