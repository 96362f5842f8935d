//! Measures `gemm` on the shapes of a MiniLM-sized encoder (H = 384, FFN = 1536) against the peak of the registers.
//!
//! `cargo run --release -p espalier-kernels --example gemm_rate [portable|avx2|avx512|neon]`

use espalier_kernels::gemm::{Kernel, Matrix, MatrixMut, Start, gemm_with};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Time to spend on one shape. The best run counts: what slows others down is the machine, not the code.
const BUDGET: Duration = Duration::from_millis(400);

/// Which operands come transposed, named as BLAS does.
#[derive(Clone, Copy)]
enum Layout {
    /// x W, both row by row.
    NN,
    /// x W^T, W stored [n, k].
    NT,
    /// dy^T x, dy stored [k, m].
    TN,
}

const SHAPES: [(&str, Layout, [usize; 3]); 17] = [
    ("queries, keys, values", Layout::NT, [2048, 1152, 384]),
    ("attention output", Layout::NT, [2048, 384, 384]),
    ("FFN up", Layout::NT, [2048, 1536, 384]),
    ("FFN down", Layout::NT, [2048, 384, 1536]),
    ("FFN up, dx", Layout::NN, [2048, 384, 1536]),
    ("FFN down, dx", Layout::NN, [2048, 1536, 384]),
    ("FFN up, dW", Layout::TN, [1536, 384, 2048]),
    ("attention output, dW", Layout::TN, [384, 384, 2048]),
    ("LoRA x A^T", Layout::NT, [2048, 8, 384]),
    ("LoRA down B^T", Layout::NT, [2048, 1536, 8]),
    ("LoRA dB", Layout::TN, [1536, 8, 2048]),
    ("LoRA dA", Layout::TN, [8, 384, 2048]),
    ("one text, queries, keys, values", Layout::NT, [16, 1152, 384]),
    ("one text, attention output", Layout::NT, [16, 384, 384]),
    ("one text, FFN up", Layout::NT, [16, 1536, 384]),
    ("one text, FFN down", Layout::NT, [16, 384, 1536]),
    ("one row", Layout::NT, [1, 384, 384]),
];

fn main() {
    let wanted = std::env::args().nth(1);
    let kernel = match &wanted {
        None => Kernel::best(),
        Some(name) => *Kernel::available()
            .iter()
            .find(|kernel| format!("{kernel:?}").eq_ignore_ascii_case(name))
            .unwrap_or_else(|| panic!("this machine has {:?}, not {name}", Kernel::available())),
    };
    let threads = rayon::current_num_threads();
    let peak = peak();
    println!("kernel {kernel:?}, {threads} threads; registers alone: {peak:.0} GFLOP/s\n");
    println!("{:<32}{:>6}{:>6}{:>6}{:>12}{:>10}{:>9}", "", "m", "n", "k", "us", "GFLOP/s", "of peak");
    for (name, layout, [m, n, k]) in SHAPES {
        let seconds = time(kernel, layout, m, n, k);
        let rate = 2.0 * (m * n * k) as f64 / seconds / 1e9;
        println!("{name:<32}{m:>6}{n:>6}{k:>6}{:>12.1}{rate:>10.1}{:>8.0} %", seconds * 1e6, rate / peak * 100.0);
    }
}

/// Seconds of the fastest product of this shape.
fn time(kernel: Kernel, layout: Layout, m: usize, n: usize, k: usize) -> f64 {
    let ramp = |len: usize| -> Vec<f32> { (0..len).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect() };
    let (a, b, mut c) = (ramp(m * k), ramp(k * n), vec![0.0; m * n]);
    let (a, b) = match layout {
        Layout::NN => (Matrix::new(&a, m, k), Matrix::new(&b, k, n)),
        Layout::NT => (Matrix::new(&a, m, k), Matrix::new(&b, n, k).t()),
        Layout::TN => (Matrix::new(&a, k, m).t(), Matrix::new(&b, k, n)),
    };
    let start = if matches!(layout, Layout::TN) { Start::Accumulate } else { Start::Zero };
    fastest(|| gemm_with(kernel, 1.0, a, b, start, MatrixMut::new(black_box(&mut c), m, n)))
}

/// Seconds of the fastest of the runs that fit the budget.
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

/// GFLOP/s of all threads together when multiply-adds never leave the registers.
fn peak() -> f64 {
    const STEPS: usize = 2_000_000;
    let threads = rayon::current_num_threads();
    let mut operations = 0;
    let seconds = fastest(|| {
        operations = (0..threads).into_par_iter().with_max_len(1).map(|_| multiply_add(STEPS)).sum();
    });
    operations as f64 / seconds / 1e9
}

/// Independent chains of multiply-adds: enough to cover the latency of the instruction.
const CHAINS: usize = 12;

/// Runs `steps` rounds of multiply-adds with the widest vectors there are, and tells how many operations those were.
#[cfg(target_arch = "x86_64")]
fn multiply_add(steps: usize) -> usize {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    fn avx512(steps: usize) {
        let (scale, shift) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(1e-3)));
        let mut sums = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, scale, shift);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    fn avx2(steps: usize) {
        let (scale, shift) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(1e-3)));
        let mut sums = [_mm256_setzero_ps(); CHAINS];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, scale, shift);
            }
        }
        black_box(sums);
    }

    let lanes = if is_x86_feature_detected!("avx512f") {
        // SAFETY: AVX-512F was just detected.
        unsafe { avx512(steps) };
        16
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: AVX2 and FMA were just detected.
        unsafe { avx2(steps) };
        8
    } else {
        return multiply_add_plain(steps);
    };
    2 * CHAINS * lanes * steps
}

#[cfg(not(target_arch = "x86_64"))]
fn multiply_add(steps: usize) -> usize {
    multiply_add_plain(steps)
}

/// The same in plain Rust, for the four lanes that most machines have.
fn multiply_add_plain(steps: usize) -> usize {
    const LANES: usize = 4;
    let (scale, shift) = (black_box(0.999f32), black_box(1e-3f32));
    let mut sums = [[0.0f32; LANES]; CHAINS];
    for _ in 0..steps {
        sums = sums.map(|sum| sum.map(|lane| lane * scale + shift));
    }
    black_box(sums);
    2 * CHAINS * LANES * steps
}
