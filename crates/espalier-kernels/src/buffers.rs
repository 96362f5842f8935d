//! Scratch memory: buffers that a thread keeps between calls, so that in the steady state nothing
//! is allocated; and the same memory seen as other number types.

use std::cell::RefCell;
use std::ops::Range;

/// A cache line, in units of 32 bits.
const CACHE_LINE: usize = 16;

/// A buffer in units of 32 bits that starts at a cache line.
#[derive(Default)]
pub(crate) struct AlignedBuffer {
    /// The contents, preceded by as many unused units as it takes to reach a cache line.
    data: Vec<u32>,
    len: usize,
}

impl AlignedBuffer {
    /// Makes the buffer `len` units long, with arbitrary contents. Its memory never shrinks.
    pub(crate) fn resize(&mut self, len: usize) {
        if self.data.len() < len + CACHE_LINE {
            // The system hands out zeroed pages anyway: each is first touched by the thread that
            // fills it.
            self.data = vec![0; len + CACHE_LINE];
        }
        self.len = len;
    }

    /// Where the contents are in `data`.
    fn range(&self) -> Range<usize> {
        // `align_offset` may fail only where a program runs without addresses (Miri).
        let start = self.data.as_ptr().align_offset(CACHE_LINE * size_of::<u32>()).min(CACHE_LINE);
        start..start + self.len
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        &self.data[self.range()]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u32] {
        let range = self.range();
        &mut self.data[range]
    }
}

impl Clone for AlignedBuffer {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.resize(self.len);
        copy.as_mut_slice().copy_from_slice(self.as_slice());
        copy
    }
}

impl std::fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} bytes", self.len * size_of::<u32>())
    }
}

thread_local! {
    static POOL: RefCell<Vec<AlignedBuffer>> = const { RefCell::new(Vec::new()) };
}

/// Lends `f` a buffer of `len` units with arbitrary contents.
///
/// A thread that waits for others inside `f` may be given another task that borrows a buffer too:
/// that task gets another one.
pub(crate) fn with_u32<R>(len: usize, f: impl FnOnce(&mut [u32]) -> R) -> R {
    let mut buffer = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.resize(len);
    let result = f(buffer.as_mut_slice());
    POOL.with_borrow_mut(|pool| pool.push(buffer));
    result
}

/// Lends `f` a buffer of `len` numbers with arbitrary contents.
pub(crate) fn with_f32<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    with_u32(len, |buffer| f(as_f32_mut(buffer)))
}

/// Lends `f` one slice of numbers with arbitrary contents for each of `lengths`.
pub(crate) fn with_slices<const N: usize, R>(
    lengths: [usize; N],
    f: impl FnOnce([&mut [f32]; N]) -> R,
) -> R {
    with_f32(lengths.iter().sum(), |mut rest| {
        f(lengths.map(|length| {
            let (slice, tail) = std::mem::take(&mut rest).split_at_mut(length);
            rest = tail;
            slice
        }))
    })
}

/// Lends `f` one slice of zeros for each of `lengths`.
pub(crate) fn with_zeros<const N: usize, R>(
    lengths: [usize; N],
    f: impl FnOnce([&mut [f32]; N]) -> R,
) -> R {
    with_slices(lengths, |mut slices| {
        slices.iter_mut().for_each(|slice| slice.fill(0.0));
        f(slices)
    })
}

/// The same memory as f32.
pub(crate) fn as_f32_mut(units: &mut [u32]) -> &mut [f32] {
    // SAFETY: u32 and f32 have the same size and alignment, and all bits are valid for both.
    unsafe { std::slice::from_raw_parts_mut(units.as_mut_ptr().cast(), units.len()) }
}

/// The same memory as bytes.
pub(crate) fn as_u8_mut(units: &mut [u32]) -> &mut [u8] {
    // SAFETY: a u32 is four bytes, and all bits are valid for both.
    unsafe { std::slice::from_raw_parts_mut(units.as_mut_ptr().cast(), units.len() * 4) }
}

/// The same memory as signed bytes.
pub(crate) fn as_i8_mut(units: &mut [u32]) -> &mut [i8] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(units.as_mut_ptr().cast(), units.len() * 4) }
}

/// The same memory as u32.
pub(crate) fn as_u32(numbers: &[f32]) -> &[u32] {
    // SAFETY: f32 and u32 have the same size and alignment, and all bits are valid for both.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), numbers.len()) }
}

/// The same memory as u32.
pub(crate) fn as_u32_mut(numbers: &mut [f32]) -> &mut [u32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), numbers.len()) }
}
