//! Gradient surgery (PCGrad, arXiv 2001.06782): where the families' gradients on theta point
//! against each other, each gives up its part along the other.

use super::{Combine, Definition};
use espalier_kernels::optimizer::{blend, dot, sum_of_squares};

pub(super) struct PcGrad;

impl Definition for PcGrad {
    fn name(&self) -> &'static str {
        "pcgrad"
    }

    fn words(&self) -> &'static str {
        "both objectives, conflicting gradients projected"
    }

    fn combine(&self) -> Option<Combine> {
        Some(surgery)
    }
}

/// The sum of a and b, each projected off the other as it was, if their dot product is negative:
///
/// ```text
/// a' + b' = a - (a.b / |b|^2) b + b - (a.b / |a|^2) a = (1 - a.b / |a|^2) a + (1 - a.b / |b|^2) b
/// ```
///
/// Otherwise their plain sum.
fn surgery(a: &mut [f32], b: &[f32]) {
    let (product, a_squared, b_squared) = (dot(a, b), sum_of_squares(a), sum_of_squares(b));
    // A gradient whose square underflows is nothing beside the other.
    let conflict = product < 0.0 && a_squared > 0.0 && b_squared > 0.0;
    let removed = |squared: f64| if conflict { product / squared } else { 0.0 };
    blend((1.0 - removed(a_squared)) as f32, a, (1.0 - removed(b_squared)) as f32, b);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(mut a: Vec<f32>, b: Vec<f32>) -> Vec<f32> {
        surgery(&mut a, &b);
        a
    }

    #[test]
    fn conflicting_gradients_by_hand() {
        // a.b = -1, |a|^2 = 1, |b|^2 = 2: a' = (1, 0) + 1/2 (-1, 1) = (1/2, 1/2) and b' = (-1, 1) +
        // (1, 0) = (0, 1).
        assert_eq!(combined(vec![1.0, 0.0], vec![-1.0, 1.0]), [0.5, 1.5]);
        // Opposite ones cancel: nothing is left of either.
        assert_eq!(combined(vec![2.0, -4.0], vec![-1.0, 2.0]), [0.0, 0.0]);
    }

    #[test]
    fn gradients_that_agree_are_added() {
        assert_eq!(combined(vec![1.0, 0.5], vec![3.0, -1.0]), [4.0, -0.5]);
        assert_eq!(
            combined(vec![1.0, 0.0], vec![0.0, 1.0]),
            [1.0, 1.0],
            "at right angles nothing conflicts"
        );
        assert_eq!(
            combined(vec![-1e-30, 0.0], vec![1e-3, 1.0]),
            [1e-3, 1.0],
            "its square underflows"
        );
    }
}
