//! Products of packed weights, in every precision and by every kernel that the machine can run: how
//! far they may be from the exact ones, and what must agree bit for bit.

mod bytes;
mod floats;
mod lines;
mod promises;

use espalier_kernels::gemm::{Kernel, Matrix, MatrixMut, Packed, Start};
use espalier_kernels::{Element, Precision};

/// Every precision with each of its kernels.
fn kernels() -> impl Iterator<Item = (Precision, Kernel)> {
    let of =
        |precision| Kernel::available(precision).iter().map(move |&kernel| (precision, kernel));
    Precision::ALL.into_iter().flat_map(of)
}

/// A B; elements that are not written stay NaN.
fn product<E: Element>(a: Matrix<E>, b: &Packed) -> Vec<f32> {
    let (m, n) = (a.rows(), b.columns());
    let mut c = vec![f32::NAN; m * n];
    b.gemm(a, Start::Zero, MatrixMut::new(&mut c, m, n));
    c
}
