//! Views of matrices: where element (i, j) lies in a slice.

use crate::parallel::DisjointBlocks;

/// A read-only matrix: element (i, j) is `data[i * row_stride + j * col_stride]`, one of the
/// strides being 1.
///
/// ```
/// use espalier_kernels::gemm::Matrix;
///
/// let weight = [0.0f32; 6]; // [out, in] = [2, 3], as PyTorch stores it
/// let w_t = Matrix::new(&weight, 2, 3).t(); // [in, out], without a copy
/// assert_eq!((w_t.rows(), w_t.cols()), (3, 2));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T = f32> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// A dense matrix, row by row: `data` holds exactly `rows * cols` elements.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert_eq!(
            Some(data.len()),
            rows.checked_mul(cols),
            "Matrix::new: data is not {rows} x {cols}"
        );
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows start `row_stride` elements apart, such as a block of columns of a wider
    /// one.
    ///
    /// # Panics
    /// If the last row ends beyond `data`.
    pub fn strided(data: &'a [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(
            extent(rows, cols, row_stride) <= data.len(),
            "Matrix::strided: the last row ends beyond the data"
        );
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose, without a copy.
    pub fn t(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Distance from one row to the next, in elements.
    pub(super) fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Whether the elements of a row are neighbours.
    pub(super) fn is_row_major(&self) -> bool {
        self.col_stride == 1
    }

    /// The memory from element (i, j) on.
    pub(crate) fn from(&self, i: usize, j: usize) -> &'a [T] {
        &self.data[i * self.row_stride + j * self.col_stride..]
    }

    /// The block of `rows` x `cols` elements, neither zero, whose first element is (i, j).
    pub(super) fn block(&self, i: usize, j: usize, rows: usize, cols: usize) -> Self {
        debug_assert!(i + rows <= self.rows && j + cols <= self.cols);
        Self { data: self.from(i, j), rows, cols, ..*self }
    }
}

/// A matrix to be written, its columns contiguous: element (i, j) is `data[i * row_stride + j]`.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// A dense matrix, row by row: `data` holds exactly `rows * cols` elements.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(
            Some(data.len()),
            rows.checked_mul(cols),
            "MatrixMut::new: data is not {rows} x {cols}"
        );
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows start `row_stride` elements apart, such as a block of columns of a wider
    /// one.
    ///
    /// # Panics
    /// If rows overlap, or the last row ends beyond `data`.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(rows <= 1 || row_stride >= cols, "MatrixMut::strided: rows overlap");
        assert!(
            extent(rows, cols, row_stride) <= data.len(),
            "MatrixMut::strided: the last row ends beyond the data"
        );
        Self { data, rows, cols, row_stride }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The rows one after the other. The matrix must have columns.
    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let cols = self.cols;
        self.data
            .chunks_mut(self.row_stride.max(cols))
            .take(self.rows)
            .map(move |row| &mut row[..cols])
    }

    /// The matrix as tasks share it, each writing a block of its own.
    pub(super) fn into_blocks(self) -> DisjointBlocks<'a, f32> {
        // Only a matrix of one row may have a smaller stride, which then means nothing.
        DisjointBlocks::new(self.data, self.row_stride.max(self.cols))
    }
}

/// Number of elements from the first of a matrix to just after its last.
fn extent(rows: usize, cols: usize, row_stride: usize) -> usize {
    if rows == 0 || cols == 0 {
        return 0;
    }
    (rows - 1)
        .checked_mul(row_stride)
        .and_then(|e| e.checked_add(cols))
        .expect("a matrix larger than the memory")
}
