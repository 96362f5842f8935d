//! The 2 x 2 matrices that mix the hidden states of two encoders.

use espalier_encoder::Family;
use espalier_kernels::optimizer::{blend, dot};

/// A 2 x 2 matrix for each layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Stitches {
    /// S, [L, 2, 2]: what the NER encoder gets of itself and of the classification encoder, then what
    /// the latter gets of both.
    pub values: Vec<f32>,
}

impl Stitches {
    /// The same for every layer: each encoder keeps `own` of itself and gets `other` of the other
    /// one.
    pub fn new(layers: usize, own: f32, other: f32) -> Self {
        Self { values: [own, other, other, own].repeat(layers) }
    }

    /// Whether there is a unit for each of `layers` layers.
    pub fn fits(&self, layers: usize) -> bool {
        self.values.len() == 4 * layers
    }

    /// The unit above `layer`, as seen from a family's encoder: that encoder comes first.
    pub(super) fn unit(&self, layer: usize, family: Family) -> [[f32; 2]; 2] {
        let mut unit = [[0.0; 2]; 2];
        for (to, from) in PLACES {
            unit[to][from] = self.values[place(layer, family, to, from)];
        }
        unit
    }
}

/// Where a unit has its numbers.
const PLACES: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

/// The place in [`Stitches::values`] of what encoder `to` gets of encoder `from`, the family's own
/// encoder being 0.
fn place(layer: usize, family: Family, to: usize, from: usize) -> usize {
    let first = usize::from(family == Family::Tc);
    4 * layer + 2 * (to ^ first) + (from ^ first)
}

/// S x: the two mixtures of x, each [T, H].
pub(super) fn mix(unit: [[f32; 2]; 2], x: [&[f32]; 2]) -> [Vec<f32>; 2] {
    unit.map(|[a, b]| {
        let mut mixed = x[0].to_vec();
        blend(a, &mut mixed, b, x[1]);
        mixed
    })
}

/// S^T d: the gradients at x, from those at its mixtures.
pub(super) fn unmix([[a, b], [c, d]]: [[f32; 2]; 2], gradients: [&[f32]; 2]) -> [Vec<f32>; 2] {
    mix([[a, c], [b, d]], gradients)
}

/// Adds d x^T, the gradient of the unit above `layer`, to `gradients` [L, 2, 2].
pub(super) fn accumulate(
    gradients: &mut [f32],
    layer: usize,
    family: Family,
    d: [&[f32]; 2],
    x: [&[f32]; 2],
) {
    for (to, from) in PLACES {
        gradients[place(layer, family, to, from)] += dot(d[to], x[from]) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_by_hand_from_both_sides() {
        let stitches = Stitches { values: [[0.0; 4], [1.0, 2.0, 3.0, 4.0]].concat() };
        assert!(stitches.fits(2) && !stitches.fits(1));
        let (ner, tc): (&[f32], &[f32]) = (&[1.0, 10.0], &[5.0, -1.0]);
        let of_ner = mix(stitches.unit(1, Family::Ner), [ner, tc]);
        assert_eq!(of_ner, [vec![1.0 + 10.0, 10.0 - 2.0], vec![3.0 + 20.0, 30.0 - 4.0]]);
        let [own, other] = mix(stitches.unit(1, Family::Tc), [tc, ner]);
        assert_eq!(
            [other, own],
            of_ner,
            "the classification family sees the same with the encoders swapped"
        );

        // d = (1, 0), (0, 1): S^T d is (1, 3), (2, 4), and d x^T is ((1, 5), (10, -1)).
        let d: [&[f32]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
        assert_eq!(unmix(stitches.unit(1, Family::Ner), d), [vec![1.0, 3.0], vec![2.0, 4.0]]);
        let mut gradients = vec![0.0; 8];
        accumulate(&mut gradients, 1, Family::Ner, d, [ner, tc]);
        assert_eq!(gradients, [0.0, 0.0, 0.0, 0.0, 1.0, 5.0, 10.0, -1.0]);
        accumulate(&mut gradients, 1, Family::Tc, [d[1], d[0]], [tc, ner]);
        assert_eq!(gradients[4..], [2.0, 10.0, 20.0, -2.0]);
    }
}
