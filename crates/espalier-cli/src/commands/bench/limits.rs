//! The peak of the machine: rates of matrix products and of memory, which no model can exceed.

use crate::output;
use espalier_encoder::Precision;
use espalier_kernels::gemm::{Kernel, Matrix, MatrixMut, Packed, Start};
use espalier_kernels::{Bf16, Element};
use rayon::prelude::*;
use serde::Serialize;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Time per measurement. The fastest run counts: slower ones were slowed down from outside.
const BUDGET: Duration = Duration::from_millis(400);
/// Rows m, outputs n and inputs k of the measured product: the second linear map of a feed-forward
/// block, from 1536 to 384.
const PRODUCT: [usize; 3] = [2048, 384, 1536];
/// Numbers in each array of the memory test: more than fit into any cache.
const NUMBERS: usize = 32 << 20;

#[derive(Serialize)]
struct Limits {
    threads: usize,
    products: Vec<Product>,
    read_gb_per_second: f64,
    copy_gb_per_second: f64,
}

#[derive(Serialize)]
struct Product {
    precision: &'static str,
    kernel: String,
    gflops: f64,
}

pub(super) fn run(json: bool) -> anyhow::Result<()> {
    let product = |precision: Precision| Product {
        precision: precision.name(),
        kernel: format!("{:?}", Kernel::best(precision)),
        gflops: product_rate(precision),
    };
    let (read, copy) = memory_rates();
    let limits = Limits {
        threads: rayon::current_num_threads(),
        products: Precision::ALL.into_iter().map(product).collect(),
        read_gb_per_second: read,
        copy_gb_per_second: copy,
    };
    if json {
        return output::json(&limits);
    }
    let [m, n, k] = PRODUCT;
    say!("{} threads, products of {m} x {k} by {k} x {n}", limits.threads)?;
    for Product { precision, kernel, gflops } in &limits.products {
        say!("{precision:<6}{kernel:<10}{gflops:>8.0} GFLOP/s")?;
    }
    say!("memory: {read:.1} GB/s read, {copy:.1} GB/s copied")?;
    Ok(())
}

/// GFLOP/s of products with packed weights.
pub(super) fn product_rate(precision: Precision) -> f64 {
    match precision {
        Precision::Bf16 => rate::<Bf16>(precision),
        _ => rate::<f32>(precision),
    }
}

fn rate<E: Element>(precision: Precision) -> f64 {
    let [m, n, k] = PRODUCT;
    let number = |i: usize| (i % 17) as f32 / 17.0 - 0.5;
    let x: Vec<E> = (0..m * k).map(|i| E::from_f32(number(i))).collect();
    let weight: Vec<f32> = (0..n * k).map(number).collect();
    let packed = Packed::new(precision, Matrix::new(&weight, n, k).t());
    let mut y = vec![0.0; m * n];
    let product = || {
        let y = MatrixMut::new(black_box(&mut y), m, n);
        packed.gemm(Matrix::new(&x, m, k), Start::Zero, y)
    };
    2.0 * (m * n * k) as f64 / fastest(product) / 1e9
}

/// GB/s of reading, and of copying (reads and writes together).
fn memory_rates() -> (f64, f64) {
    let bytes = (NUMBERS * size_of::<u64>()) as f64;
    let (from, mut to) = (vec![1u64; NUMBERS], vec![0u64; NUMBERS]);
    let block = NUMBERS / 64;
    let sum = || {
        from.par_chunks(block)
            .map(|block| block.iter().copied().fold(0, u64::wrapping_add))
            .sum::<u64>()
    };
    let read = fastest(|| {
        black_box(sum());
    });
    let copy = fastest(|| {
        to.par_chunks_mut(block)
            .zip(from.par_chunks(block))
            .for_each(|(to, from)| to.copy_from_slice(from));
    });
    (bytes / read / 1e9, 2.0 * bytes / copy / 1e9)
}

/// Seconds of the fastest run within the budget.
fn fastest(mut run: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed() < BUDGET {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}
