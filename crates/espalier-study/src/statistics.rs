//! Means over seeds and their confidence intervals.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Mean of n values with the half-width of its 95 % confidence interval: the 97.5 % quantile of
/// Student's t with n - 1 degrees of freedom, times the standard error of the mean.
///
/// ```
/// use espalier_study::statistics::Mean;
///
/// let mean = Mean::of(&[1.0, 2.0, 3.0]);
/// assert_eq!((mean.mean, mean.n), (2.0, 3));
/// assert!((mean.half_width.unwrap() - 2.484).abs() < 1e-3); // 4.303 / sqrt 3
/// assert_eq!(Mean::of(&[5.0]).half_width, None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half-width of the 95 % interval; `None` for fewer than two values.
    pub half_width: Option<f64>,
    /// n.
    pub n: usize,
}

impl Mean {
    /// The mean of these values; NaN if there are none.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let half_width = n.checked_sub(1).and_then(quantile).map(|quantile| {
            let variance =
                values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
            quantile * (variance / n as f64).sqrt()
        });
        Self { mean, half_width, n }
    }
}

/// The 97.5 % quantile of Student's t; `None` without a degree of freedom.
fn quantile(degrees: usize) -> Option<f64> {
    Some(StudentsT::new(0.0, 1.0, degrees as f64).ok()?.inverse_cdf(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2: upper critical values of
        // Student's t, 0.975.
        let table = [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (4, 2.776),
            (5, 2.571),
            (6, 2.447),
            (7, 2.365),
            (8, 2.306),
            (9, 2.262),
            (10, 2.228),
            (11, 2.201),
            (14, 2.145),
            (20, 2.086),
            (30, 2.042),
            (60, 2.000),
            (100, 1.984),
        ];
        for (degrees, expected) in table {
            let quantile = quantile(degrees).unwrap();
            assert!((quantile - expected).abs() <= 5.1e-4, "{degrees}: {quantile}");
        }
        // In closed form: tan(0.475 pi), and 0.95 sqrt(2 / (1 - 0.95^2)).
        let cauchy = (0.475 * std::f64::consts::PI).tan();
        assert!((quantile(1).unwrap() - cauchy).abs() < 1e-9);
        assert!((quantile(2).unwrap() - 0.95 * (2.0f64 / 0.0975).sqrt()).abs() < 1e-9);
        // Towards the normal's, 1.95996.
        assert!((quantile(10_000).unwrap() - 1.9602).abs() < 1e-4);
        assert_eq!(quantile(0), None);
    }

    #[test]
    fn interval_of_twelve_values() {
        // 1 to 12: standard deviation sqrt 13, t(11) = 2.200985 where the normal has 1.96.
        let values: Vec<f64> = (1..=12).map(f64::from).collect();
        let expected = 2.200_985 * (13.0f64 / 12.0).sqrt();
        assert!((Mean::of(&values).half_width.unwrap() - expected).abs() < 1e-5);
    }

    #[test]
    fn interval_of_three_values() {
        // 1, 2, 3: mean 2, standard deviation 1, t(2) = 4.302653, so 4.302653 / sqrt 3 = 2.48414.
        let mean = Mean::of(&[1.0, 2.0, 3.0]);
        assert_eq!(mean.mean, 2.0);
        assert!((mean.half_width.unwrap() - 2.48414).abs() < 1e-5);
        assert_eq!(Mean::of(&[5.0]).half_width, None);
    }
}
