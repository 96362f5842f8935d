//! Where weights start: the random numbers of fresh adapters, heads and encoders.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Numbers from [-1, 1), as initialisers want them.
pub fn uniform(rng: &mut ChaCha8Rng) -> impl FnMut() -> f32 {
    || rng.random::<f32>() * 2.0 - 1.0
}

/// Numbers as BERT's weights begin: normal with a standard deviation of 0.02, none beyond two of
/// those.
pub fn normal(rng: &mut ChaCha8Rng) -> impl FnMut() -> f32 {
    const DEVIATION: f64 = 0.02;
    move || {
        loop {
            // Box and Muller's transform (Annals of Mathematical Statistics 29, 1958); 1 - u is
            // never zero.
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
    fn weights_begin_as_those_of_bert() {
        let mut rng = generator(1, "test");
        let drawn: Vec<f32> = std::iter::repeat_with(normal(&mut rng)).take(20_000).collect();
        assert!(drawn.iter().all(|x| x.abs() <= 0.04));
        let mean = drawn.iter().sum::<f32>() / 20_000.0;
        let deviation = (drawn.iter().map(|x| x * x).sum::<f32>() / 20_000.0).sqrt();
        // Cut at two standard deviations, the normal distribution has 0.8796 of its own; four
        // standard errors are 2 %.
        assert!(
            mean.abs() < 6e-4 && (deviation / (0.02 * 0.8796) - 1.0).abs() < 0.02,
            "{mean} {deviation}"
        );
    }
}
