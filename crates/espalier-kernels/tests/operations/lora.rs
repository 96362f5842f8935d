//! Low-rank adaptation of a block of the columns of a wider map, forward and backward.

use crate::oracle;
use crate::support::*;
use espalier_kernels::gemm::{Matrix, Packed};
use espalier_kernels::linear::{Store, linear};
use espalier_kernels::lora::{LoraActivations, LoraPair, LoraPairMut, PackedPair};
use espalier_kernels::{Bf16, Precision, processor, round_through_bf16};
use proptest::prelude::*;
use std::ops::Range;

const SCALE: f32 = 1.75;

/// A map W [outer, in], and a pair that adapts the outputs `block` of it.
struct Case<E> {
    rows: usize,
    inputs: usize,
    outer: usize,
    rank: usize,
    block: Range<usize>,
    x: Vec<E>,        // [T, in]
    dy: Vec<E>,       // [T, outer]
    weight: Vec<f32>, // [outer, in]
    a: Vec<f32>,      // [r, in]
    b: Vec<f32>,      // [block, r]
}

/// Results of forward and backward.
struct Passes<E> {
    y: Vec<E>,        // [T, outer]
    down: Vec<f32>,   // [T, r]
    d_down: Vec<f32>, // [T, r]
    dx: Vec<E>,       // [T, in]
}

impl<E: Stored> Case<E> {
    /// `around`: number of columns left and right of the block.
    fn random(
        [rows, inputs, outputs, rank]: [usize; 4],
        around: (usize, usize),
        seed: u64,
    ) -> Self {
        let mut random = Random::new(seed);
        let outer = around.0 + outputs + around.1;
        Self {
            x: stored(&random.vec(rows * inputs)),
            dy: stored(&random.vec(rows * outer)),
            weight: rounded::<E>(&random.vec(outer * inputs)),
            a: rounded::<E>(&random.vec(rank * inputs)),
            b: rounded::<E>(&random.vec(outputs * rank)),
            block: around.0..around.0 + outputs,
            rows,
            inputs,
            outer,
            rank,
        }
    }

    fn pair(&self) -> LoraPair<'_> {
        LoraPair { a: &self.a, b: &self.b, rank: self.rank, scale: SCALE }
    }

    /// The block's columns of dy, in place.
    fn dy_of_block(&self) -> Matrix<'_, E> {
        let from = self.block.start.min(self.dy.len()); // without rows there is no first column
        Matrix::strided(&self.dy[from..], self.rows, self.block.len(), self.outer)
    }

    fn run(&self, packed: &PackedPair) -> Passes<E> {
        let (rows, nan) = (self.rows, |n| vec![E::from_f32(f32::NAN); n]);
        let mut down = vec![f32::NAN; rows * self.rank];
        packed.down(&self.x, &mut down);
        let weight = Matrix::new(&self.weight, self.outer, self.inputs);
        let mut y = nan(rows * self.outer);
        let update = packed.update(0..rows, self.block.clone(), &down);
        linear(&self.x, &Packed::new(E::PRECISION, weight.t()), None, &[update], Store(&mut y));

        let mut d_down = vec![f32::NAN; rows * self.rank];
        packed.down_gradient(self.pair(), self.dy_of_block(), &mut d_down);
        let mut dx = nan(rows * self.inputs);
        let update = packed.update_back(self.pair(), &d_down);
        linear(&self.dy, &Packed::new(E::PRECISION, weight), None, &[update], Store(&mut dx));
        Passes { y, down, d_down, dx }
    }

    /// y in f64.
    fn adapted(&self, x: &[f64], a: &[f64], b: &[f64]) -> Vec<f64> {
        let mut y = oracle::linear(x, &wide(&self.weight), &vec![0.0; self.outer]);
        let added = oracle::lora(x, a, b, self.rank, SCALE.into());
        for (row, added) in y.chunks_mut(self.outer).zip(added.chunks(self.block.len())) {
            row[self.block.clone()].iter_mut().zip(added).for_each(|(y, added)| *y += added);
        }
        y
    }

    /// The block's columns of a matrix as wide as dy.
    fn block_of(&self, wider: &[f64]) -> Vec<f64> {
        wider.chunks(self.outer).flat_map(|row| row[self.block.clone()].to_vec()).collect()
    }

    fn check(&self) {
        let packed = PackedPair::new(E::PRECISION, self.pair());
        assert_eq!(packed.rank(), self.rank);
        let Passes { y, down, d_down, dx } = self.run(&packed);
        let (x, a, b, dy) = (wide(&self.x), wide(&self.a), wide(&self.b), wide(&self.dy));
        let project = |x: &[f64], a: &[f64]| oracle::linear(x, a, &vec![0.0; self.rank]);
        assert_close("down", &down, &project(&x, &a));
        assert_close("y", &y, &self.adapted(&x, &a, &b)); // the other columns too: not adapted
        assert_close("dx", &dx, &gradient(&x, |x| oracle::dot(&self.adapted(x, &a, &b), &dy)));

        // The loss as a function of `down`. Gradients are products of values as the activations'
        // type stores them, `down` and `d_down` included.
        let dy = self.block_of(&dy);
        let scaled = |down: &[f64], b: &[f64]| {
            oracle::linear(down, b, &vec![0.0; self.block.len()])
                .iter()
                .map(|y| f64::from(SCALE) * y)
                .collect::<Vec<_>>()
        };
        let of_down = |down: &[f64], b: &[f64]| oracle::dot(&scaled(down, b), &dy);
        assert_close("d_down", &d_down, &gradient(&wide(&down), |down| of_down(down, &b)));
        let [held, d_held] = [&down, &d_down].map(|x| wide(&stored::<E>(x)));
        let mut random = Random::new(1);
        let (start_a, start_b) = (random.vec(a.len()), random.vec(b.len()));
        let (mut da, mut db) = (start_a.clone(), start_b.clone());
        let dy = self.dy_of_block();
        let activations = LoraActivations { x: &self.x, dy, down: &down, d_down: &d_down };
        LoraPairMut { a: &mut da, b: &mut db }.accumulate(SCALE, activations);
        let want_a = gradient(&a, |a| oracle::dot(&project(&x, a), &d_held));
        assert_close("dA", &da, &plus(&start_a, &want_a));
        assert_close("dB", &db, &plus(&start_b, &gradient(&b, |b| of_down(&held, b))));
    }
}

fn check_both(shape: [usize; 4], around: (usize, usize), seed: u64) {
    Case::<f32>::random(shape, around, seed).check();
    Case::<Bf16>::random(shape, around, seed).check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn matches_the_oracle(
        rows in 1usize..12, inputs in 1usize..20, outputs in 1usize..20, rank in 1usize..9,
        around in (0usize..20, 0usize..20), seed: u64,
    ) {
        check_both([rows, inputs, outputs, rank], around, seed);
    }
}

#[test]
fn lora_small() {
    check_both([2, 3, 2, 1], (1, 2), 1);
}

/// The bits of all results.
fn bits_of<E: Stored>(case: &Case<E>, packed: &PackedPair) -> Vec<u32> {
    let Passes { y, down, d_down, dx } = case.run(packed);
    [bits(&y), bits(&down), bits(&d_down), bits(&dx)].concat()
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn packing_again_is_packing_anew() {
    fn check<E: Stored>() {
        let [one, other] = [2, 3].map(|seed| Case::<E>::random([4, 17, 19, 3], (5, 0), seed));
        let mut packed = PackedPair::new(E::PRECISION, LoraPair { scale: 0.5, ..one.pair() });
        bits_of(&one, &packed); // packs what only backward reads, too
        packed.pack(other.pair());
        assert_eq!(
            bits_of(&other, &packed),
            bits_of(&other, &PackedPair::new(E::PRECISION, other.pair()))
        );
    }
    check::<f32>();
    check::<Bf16>();
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn pairs_of_quantised_maps_are_of_the_faster_precision() {
    let mut case = Case::<f32>::random([4, 17, 19, 3], (5, 0), 4);
    round_through_bf16(&mut case.b);
    let faster = if processor().fast_bf16 { Precision::Bf16 } else { Precision::F32 };
    let [bytes, faster] =
        [Precision::Int8, faster].map(|precision| PackedPair::new(precision, case.pair()));
    assert_eq!(bits_of(&case, &bytes), bits_of(&case, &faster));
}

/// A batch of two tasks, each with its own pair: rows 0..3 and 3..8.
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn rows_of_one_batch_may_have_different_pairs() {
    let [one, other] = [5, 6].map(|seed| Case::<f32>::random([8, 7, 50, 4], (10, 3), seed));
    let weight = Packed::new(Precision::F32, Matrix::new(&one.weight, one.outer, one.inputs).t());
    let pairs = [&one, &other].map(|case| PackedPair::new(Precision::F32, case.pair()));
    let x_of = |rows: Range<usize>| &one.x[rows.start * one.inputs..rows.end * one.inputs];
    let run = |rows: Range<usize>, parts: &[(&PackedPair, Range<usize>)]| {
        let mut downs: Vec<_> =
            parts.iter().map(|(_, part)| vec![f32::NAN; part.len() * one.rank]).collect();
        let mut updates = Vec::new();
        for ((pair, part), down) in parts.iter().zip(&mut downs) {
            pair.down(x_of(part.clone()), down);
            updates.push(pair.update(
                part.start - rows.start..part.end - rows.start,
                one.block.clone(),
                down,
            ));
        }
        let mut y = vec![f32::NAN; rows.len() * one.outer];
        linear(x_of(rows), &weight, None, &updates, Store(&mut y));
        y
    };
    let together = run(0..8, &[(&pairs[0], 0..3), (&pairs[1], 3..8)]);
    let separate = [run(0..3, &[(&pairs[0], 0..3)]), run(3..8, &[(&pairs[1], 3..8)])].concat();
    assert_eq!(bits(&together), bits(&separate));
    assert_ne!(bits(&together), bits(&run(0..8, &[(&pairs[0], 0..8)])), "pairs differ");
}
