//! Means over seeds, and how far they can be trusted.

use serde::Serialize;

/// Mean of n values with the half-width of its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half-width of the 95 % interval by Student's t; `None` for fewer than two values.
    pub half_width: Option<f64>,
    /// n.
    pub n: usize,
}

/// 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom (tables); beyond, the normal's is close enough.
const T: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

impl Mean {
    /// Of these values; of none, NaN.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let half_width = (n > 1).then(|| {
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
            T.get(n - 2).unwrap_or(&1.96) * (variance / n as f64).sqrt()
        });
        Self { mean, half_width, n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_of_three_values() {
        // 1, 2, 3: mean 2, standard deviation 1, t(2) = 4.303, so 4.303 / sqrt 3 = 2.484.
        let mean = Mean::of(&[1.0, 2.0, 3.0]);
        assert_eq!(mean.mean, 2.0);
        assert!((mean.half_width.unwrap() - 2.4844).abs() < 1e-4);
        assert_eq!(Mean::of(&[5.0]).half_width, None);
    }
}
