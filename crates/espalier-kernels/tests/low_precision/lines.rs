//! Matrices and their shapes: a line is a row of activations, or the weights of one output.

use espalier_testing::random::Random;
use proptest::prelude::*;

/// m, n and k: at and next to the ends of tiles, vectors and registers, and anywhere else.
pub fn shapes() -> impl Strategy<Value = [usize; 3]> {
    let m = prop::sample::select(&[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33]);
    let n = prop::sample::select(&[1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 96, 97]);
    let k = prop::sample::select(&[1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 65, 127, 128, 129]);
    [
        prop_oneof![m, 1usize..40].boxed(),
        prop_oneof![n, 1usize..110].boxed(),
        prop_oneof![k, 1usize..150].boxed(),
    ]
}

/// A matrix [count, length] of lines of random kinds.
pub fn lines(count: usize, length: usize, random: &mut Random) -> Vec<f32> {
    let kinds = random.below(count, 8);
    kinds.into_iter().flat_map(|kind| line(kind, length, random)).collect()
}

fn line(kind: u32, length: usize, random: &mut Random) -> Vec<f32> {
    let mut line = random.vec(length);
    match kind {
        0 => line.fill(0.0),
        1 => line = vec![line[0]; length],
        2 => line[random.below(1, length)[0] as usize] *= 1e4, // an outlier
        3 => line.iter_mut().for_each(|x| *x = x.abs()),
        4 => line.iter_mut().for_each(|x| *x = -x.abs()),
        5 => return random.spread(length, 1e-6),
        _ => {}
    }
    line
}
