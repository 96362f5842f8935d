//! Random streams stay as they are, whatever becomes of the crates that draw them: a run goes on
//! under a newer version of espalier as it began. The numbers were recorded with rand 0.9.5 and
//! rand_chacha 0.9.0.

use espalier_data::sampling::generator;
use rand::seq::SliceRandom;
use rand::seq::index::sample;
use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;

fn stream() -> ChaCha8Rng {
    generator(7, "streams")
}

fn first<const N: usize, T>(mut draw: impl FnMut(&mut ChaCha8Rng) -> T) -> [T; N] {
    let mut rng = stream();
    std::array::from_fn(|_| draw(&mut rng))
}

/// The next number after a sample of eight, which tells how much was drawn for it.
const AFTER_EIGHT: u64 = 9_038_851_153_223_300_601;

#[test]
fn words() {
    let words = [15_363_453_678_374_658_108, 5_927_254_448_534_721_979, 13_873_441_212_582_224_193];
    assert_eq!(first(|rng| rng.next_u64()), words);
}

#[test]
fn floats() {
    let single = [1_060_024_480, 1_062_548_979, 1_052_018_730, 1_050_969_004];
    assert_eq!(first(|rng| rng.random::<f32>().to_bits()), single);
    let double = [4_605_676_905_911_670_292, 4_599_459_954_340_303_108, 4_604_949_360_762_357_580];
    assert_eq!(first(|rng| rng.random::<f64>().to_bits()), double);
    let (u, v): (f64, f64) = stream().random();
    assert_eq!([u.to_bits(), v.to_bits()], double[..2]);
}

#[test]
fn ranges() {
    let tokens = [20827, 25420, 10762, 9807, 6703, 22955, 4329, 15198];
    assert_eq!(first(|rng| rng.random_range(0..30522u32)), tokens);
    // A range that an exact draw rejects from now and then.
    let wide = [
        2_047_147_793,
        1_057_804_178,
        658_922_420,
        425_563_618,
        2_689_508_552,
        996_725_322,
        19_357_369,
    ];
    assert_eq!(first(|rng| rng.random_range(0..3_000_000_000u32)), wide);
    assert_eq!(
        first(|rng| rng.random_range(0..1000usize)),
        [682, 832, 352, 321, 219, 752, 141, 497]
    );
}

#[test]
fn shuffles() {
    let mut rng = stream();
    let mut order: Vec<usize> = (0..12).collect();
    order.shuffle(&mut rng);
    assert_eq!(order, [9, 2, 10, 3, 6, 7, 8, 0, 11, 1, 5, 4]);
    assert_eq!(rng.next_u64(), 6_504_347_658_309_989_304);
}

#[test]
fn samples() {
    // Each size is drawn by an algorithm of its own.
    for (total, count, begin, after) in [
        (100, 8, [63, 78, 33, 30, 21, 73, 14, 49], AFTER_EIGHT),
        (1000, 8, [677, 827, 350, 320, 218, 750, 141, 497], AFTER_EIGHT),
        (100_000, 8, [68233, 83280, 35258, 32130, 21963, 75206, 14185, 49796], AFTER_EIGHT),
        (
            100_000,
            200,
            [68238, 83285, 35260, 32131, 21964, 75208, 14185, 49796],
            200_376_364_097_040_670,
        ),
    ] {
        let mut rng = stream();
        assert_eq!(sample(&mut rng, total, count).into_vec()[..8], begin, "{count} of {total}");
        assert_eq!(rng.next_u64(), after, "{count} of {total}");
    }
}
