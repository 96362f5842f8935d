//! Gradient surgery for conflicting gradients.

use espalier_kernels::optimizer::{blend, dot, sum_of_squares};

/// PCGrad (arXiv 2001.06782): if the dot product of two gradients is negative, each is projected
/// onto the plane orthogonal to the other, and the projections are added. Otherwise the gradients
/// themselves are added. Both projections use the original gradients. `a` is overwritten with the
/// result.
///
/// ```text
/// a' + b' = a - (a.b / |b|^2) b + b - (a.b / |a|^2) a = (1 - a.b / |a|^2) a + (1 - a.b / |b|^2) b
/// ```
///
/// ```
/// use espalier_train::strategy::pcgrad;
///
/// // a.b = -1, |a|^2 = 1, |b|^2 = 2: the factors are 1 + 1 = 2 and 1 + 1/2 = 3/2.
/// let mut a = [1.0, 0.0];
/// pcgrad(&mut a, &[-1.0, 1.0]);
/// assert_eq!(a, [0.5, 1.5]); // 2 (1, 0) + 3/2 (-1, 1)
///
/// // No conflict: the sum.
/// let mut a = [1.0, 0.0];
/// pcgrad(&mut a, &[1.0, 1.0]);
/// assert_eq!(a, [2.0, 1.0]);
/// ```
pub fn pcgrad(a: &mut [f32], b: &[f32]) {
    let (product, a_squared, b_squared) = (dot(a, b), sum_of_squares(a), sum_of_squares(b));
    // A gradient whose squared norm underflows to zero is negligible: nothing to project.
    let conflict = product < 0.0 && a_squared > 0.0 && b_squared > 0.0;
    let removed = |squared: f64| if conflict { product / squared } else { 0.0 };
    blend((1.0 - removed(a_squared)) as f32, a, (1.0 - removed(b_squared)) as f32, b);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(mut a: Vec<f32>, b: Vec<f32>) -> Vec<f32> {
        pcgrad(&mut a, &b);
        a
    }

    #[test]
    fn conflicting_gradients_are_projected() {
        // a.b = -1, |a|^2 = 1, |b|^2 = 2:
        // a' = (1, 0) + 1/2 (-1, 1) = (1/2, 1/2) and b' = (-1, 1) + (1, 0) = (0, 1).
        assert_eq!(merged(vec![1.0, 0.0], vec![-1.0, 1.0]), [0.5, 1.5]);
        // Opposite directions cancel completely.
        assert_eq!(merged(vec![2.0, -4.0], vec![-1.0, 2.0]), [0.0, 0.0]);
    }

    #[test]
    fn gradients_without_conflict_are_added() {
        assert_eq!(merged(vec![1.0, 0.5], vec![3.0, -1.0]), [4.0, -0.5]);
        let orthogonal = merged(vec![1.0, 0.0], vec![0.0, 1.0]);
        assert_eq!(orthogonal, [1.0, 1.0], "orthogonal gradients do not conflict");
        assert_eq!(merged(vec![-1e-30, 0.0], vec![1e-3, 1.0]), [1e-3, 1.0], "it underflows");
    }
}
