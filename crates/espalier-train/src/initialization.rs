//! Initialization: the random numbers of fresh adapters, heads and encoders.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Numbers drawn uniformly from [-1, 1).
pub fn uniform(rng: &mut ChaCha8Rng) -> impl FnMut() -> f32 {
    || rng.random::<f32>() * 2.0 - 1.0
}

/// BERT's initialization: numbers drawn from a normal distribution with standard deviation 0.02,
/// truncated at two standard deviations.
pub fn normal(rng: &mut ChaCha8Rng) -> impl FnMut() -> f32 {
    const DEVIATION: f64 = 0.02;
    move || {
        loop {
            // Box-Muller transform (Annals of Mathematical Statistics 29, 1958). 1 - u is never
            // zero.
            let (u, v): (f64, f64) = rng.random();
            let z = (-2.0 * (1.0 - u).ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos();
            if z.abs() <= 2.0 {
                return (DEVIATION * z) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_data::sampling::generator;

    #[test]
    fn normal_numbers_are_truncated_at_two_standard_deviations() {
        let mut rng = generator(1, "test");
        let samples: Vec<f32> = std::iter::repeat_with(normal(&mut rng)).take(20_000).collect();
        assert!(samples.iter().all(|x| x.abs() <= 0.04));
        let mean = samples.iter().sum::<f32>() / 20_000.0;
        let deviation = (samples.iter().map(|x| x * x).sum::<f32>() / 20_000.0).sqrt();
        // Truncation reduces the standard deviation by a factor of 0.8796; four standard errors are
        // 2 %.
        assert!(
            mean.abs() < 6e-4 && (deviation / (0.02 * 0.8796) - 1.0).abs() < 0.02,
            "{mean} {deviation}"
        );
    }
}
