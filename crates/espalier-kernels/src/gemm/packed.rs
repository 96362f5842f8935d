//! A right operand that is packed once and used often.

use super::driver::{Epilogue, multiply};
use super::kernels::Kernel;
use super::left::with_left;
use super::matrix::{Matrix, MatrixMut};
use super::panels::{PanelShape, fill_padding, pack};
use super::quantize::{ColumnScales, Dequantize, GROUP, quantize_weights, with_quantized};
use super::{Update, WriteUpdate};
use crate::buffers::{AlignedBuffer, as_i8_mut, with_u32};
use crate::dtype::{Element, Precision};
use crate::parallel::{DisjointBlocks, for_each_chunk};
use crate::simd::simd;
use crate::stored::Rows;
use crate::transpose::{SQUARE, transpose};

/// A matrix B [k, n], such as a weight, in the form in which the fastest kernel of a precision
/// reads it.
///
/// ```
/// use espalier_kernels::Precision;
/// use espalier_kernels::gemm::{Matrix, MatrixMut, Packed, Start};
///
/// let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // W [out, in] = [2, 3], as PyTorch stores it
/// let packed = Packed::new(Precision::F32, Matrix::new(&weight, 2, 3).t()); // W^T [3, 2]
/// let (x, mut y) = ([1.0f32, 0.0, -1.0], [0.0; 2]);
/// packed.gemm(Matrix::new(&x, 1, 3), Start::Zero, MatrixMut::new(&mut y, 1, 2)); // x W^T
/// assert_eq!(y, [-2.0, -2.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Packed {
    kernel: Kernel,
    precision: Precision,
    k: usize,
    n: usize,
    panels: AlignedBuffer,
    /// One each per column, for bytes.
    columns: ColumnScales,
}

impl Packed {
    /// Packs B for the fastest kernel that the machine has for this precision.
    ///
    /// # Panics
    /// If the precision is [`Precision::Int8`] and the columns of B are not contiguous in memory:
    /// they are for a weight [n, k] seen through [`Matrix::t`].
    pub fn new<T: Element>(precision: Precision, b: Matrix<T>) -> Self {
        Self::with_kernel(Kernel::best_for(precision, b.cols()), precision, b)
    }

    /// Packs B = W^T for a stored weight W [n, k].
    ///
    /// # Panics
    /// If W does not consist of rows of `k` > 0 numbers, or is stored in bytes but the precision is
    /// another one.
    pub fn of_rows(precision: Precision, weight: Rows, k: usize) -> Self {
        match weight {
            Rows::F32(weight) => Self::new(precision, Matrix::new(weight, weight.len() / k, k).t()),
            Rows::Bf16(weight) => {
                Self::new(precision, Matrix::new(weight, weight.len() / k, k).t())
            }
            Rows::Int8 { bytes, scales } => {
                assert_eq!(precision, Precision::Int8, "Packed: bytes are multiplied as bytes");
                let columns = Matrix::new(bytes, scales.len(), k);
                let mut packed = Self::empty(Kernel::best_for(precision, scales.len()), precision);
                packed.resize(k, scales.len());
                packed.pack_bytes(&|column, to| {
                    to.copy_from_slice(&columns.from(column, 0)[..k]);
                    scales[column]
                });
                packed
            }
        }
    }

    /// [`Packed::new`] for a kernel of the caller's choice: lets tests reach every kernel.
    ///
    /// # Panics
    /// As [`Packed::new`], or when the machine cannot run the kernel.
    #[doc(hidden)]
    pub fn with_kernel<T: Element>(kernel: Kernel, precision: Precision, b: Matrix<T>) -> Self {
        let mut packed = Self::empty(kernel, precision);
        packed.pack(b);
        packed
    }

    fn empty(kernel: Kernel, precision: Precision) -> Self {
        let _ = kernel.code(precision); // checks that the machine has it
        Self {
            kernel,
            precision,
            k: 0,
            n: 0,
            panels: AlignedBuffer::default(),
            columns: ColumnScales::default(),
        }
    }

    /// Packs other values, of the same shape or not, into the same memory.
    ///
    /// # Panics
    /// As [`Packed::new`].
    pub fn pack<T: Element>(&mut self, b: Matrix<T>) {
        self.resize(b.rows(), b.cols());
        if self.precision != Precision::Int8 {
            return pack(self.precision, b, self.shape(), self.panels.as_mut_slice());
        }
        let columns = b.t();
        assert!(columns.is_row_major(), "Packed: bytes are made of weights [n, k]");
        self.pack_bytes(&|column, bytes| {
            quantize_weights(&columns.from(column, 0)[..columns.cols()], bytes)
        });
    }

    fn resize(&mut self, k: usize, n: usize) {
        (self.k, self.n) = (k, n);
        self.panels.resize(self.shape().len());
    }

    /// Rows of B.
    pub fn rows(&self) -> usize {
        self.k
    }

    /// Columns of B.
    pub fn columns(&self) -> usize {
        self.n
    }

    /// What its products are computed in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes of memory that the packed matrix takes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.panels.as_slice())
            + self.columns.scales.len() * (size_of::<f32>() + size_of::<i32>())
    }

    fn shape(&self) -> PanelShape {
        PanelShape::new(self.kernel.code(self.precision), self.precision, self.k, self.n)
    }

    /// Packs columns of bytes: `column` writes the `k` bytes of one and returns its scale.
    fn pack_bytes(&mut self, column: &(dyn Fn(usize, &mut [i8]) -> f32 + Sync)) {
        let (shape, k) = (self.shape(), self.k);
        self.columns.scales.resize(self.n, 0.0);
        self.columns.sums.resize(self.n, 0);
        let scales = DisjointBlocks::new(&mut self.columns.scales, shape.width);
        let sums = DisjointBlocks::new(&mut self.columns.sums, shape.width);
        for_each_chunk(self.panels.as_mut_slice(), shape.width * shape.steps, &|index, panel| {
            fill_padding(Precision::Int8, k, shape, index..index + 1, panel);
            let (first, columns, width) = shape.place(index);
            // SAFETY: only this task writes this panel's scales and sums.
            let (scales, sums) =
                unsafe { (scales.row(index, 0, columns), sums.row(index, 0, columns)) };
            let used = k.div_ceil(GROUP);
            with_u32(SQUARE * used.max(1), |lanes| {
                for c in (0..columns).step_by(SQUARE) {
                    let count = SQUARE.min(columns - c);
                    for (i, lanes) in lanes.chunks_exact_mut(used.max(1)).enumerate().take(count) {
                        let (bytes, padding) = as_i8_mut(lanes).split_at_mut(k);
                        padding.fill(0);
                        scales[c + i] = column(first + c + i, bytes);
                        sums[c + i] = sum(bytes);
                    }
                    transpose(lanes, used, (count, used), &mut panel[c..], width);
                }
            });
        });
    }

    /// C = start + alpha * A B, for A [m, k], C [m, n].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn gemm<'u, T: Element>(&self, a: Matrix<T>, update: impl Into<Update<'u>>, c: MatrixMut) {
        let update = update.into();
        assert_eq!((a.rows(), self.n), (c.rows(), c.cols()), "gemm: A B and C differ in shape");
        update.check(&c);
        self.multiply(a, &WriteUpdate { update, c: &c.into_blocks() });
    }

    /// A B, tile by tile to the epilogue.
    ///
    /// # Panics
    /// If A has another number of columns than B has rows.
    pub(crate) fn multiply<T: Element>(&self, a: Matrix<T>, epilogue: &dyn Epilogue) {
        assert_eq!(a.cols(), self.k, "A and the packed matrix differ in their inner dimension");
        let (code, shape, panels) =
            (self.kernel.code(self.precision), self.shape(), self.panels.as_slice());
        if self.precision != Precision::Int8 {
            // SAFETY: `Kernel::code` has checked the instructions; `with_left` makes rows of the
            // kernel's lanes.
            return with_left(self.precision, code, a, |left| unsafe {
                multiply(code, left, shape, panels, epilogue)
            });
        }
        with_quantized(a, shape.steps, |left, rows| {
            let dequantize =
                Dequantize { rows, columns: &self.columns, offset: code.offset, next: epilogue };
            // SAFETY: as above; `with_quantized` makes rows of `steps` lanes.
            unsafe { multiply(code, left, shape, panels, &dequantize) };
        });
    }
}

simd! {
    fn sum(bytes: &[i8]) -> i32 {
        bytes.iter().map(|&byte| i32::from(byte)).sum()
    }
}
