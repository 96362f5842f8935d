//! Working memory: buffers that a thread keeps between calls, so that the steady state allocates
//! nothing.

use std::cell::RefCell;
use std::ops::Range;

/// Words of a cache line.
const LINE: usize = 16;

/// A run of 32-bit words that starts at a cache line.
#[derive(Default)]
pub(crate) struct Words {
    /// The words, after as many as it takes to reach a cache line.
    data: Vec<u32>,
    len: usize,
}

impl Words {
    /// Fits the buffer to `len` words, whose contents are arbitrary. It never shrinks.
    pub(crate) fn resize(&mut self, len: usize) {
        if self.data.len() < len + LINE {
            // The system hands out zeros anyway: each page is first touched by the thread that
            // fills it.
            self.data = vec![0; len + LINE];
        }
        self.len = len;
    }

    /// Where the words are in `data`.
    fn range(&self) -> Range<usize> {
        // Not found only where a program runs without addresses.
        let start = self.data.as_ptr().align_offset(LINE * size_of::<u32>()).min(LINE);
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

impl Clone for Words {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.resize(self.len);
        copy.as_mut_slice().copy_from_slice(self.as_slice());
        copy
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} words", self.len)
    }
}

thread_local! {
    static POOL: RefCell<Vec<Words>> = const { RefCell::new(Vec::new()) };
}

/// Lends `f` a buffer of `len` words with arbitrary contents.
///
/// A thread that waits for others inside `f` may be given another task that borrows a buffer as
/// well: it gets another one.
pub(crate) fn with_words<R>(len: usize, f: impl FnOnce(&mut [u32]) -> R) -> R {
    let mut words = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
    words.resize(len);
    let result = f(words.as_mut_slice());
    POOL.with_borrow_mut(|pool| pool.push(words));
    result
}

/// Lends `f` a buffer of `len` numbers with arbitrary contents.
pub(crate) fn with_floats<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    with_words(len, |words| f(as_floats_mut(words)))
}

/// The same memory as numbers.
pub(crate) fn as_floats_mut(words: &mut [u32]) -> &mut [f32] {
    // SAFETY: u32 and f32 have the same size and alignment, and all bits are valid for both.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
}

/// The same memory as bytes.
pub(crate) fn as_bytes_mut(words: &mut [u32]) -> &mut [u8] {
    // SAFETY: a word is four bytes, and all bits are valid for both.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 4) }
}

/// The same memory as signed bytes.
pub(crate) fn as_signed_bytes_mut(words: &mut [u32]) -> &mut [i8] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 4) }
}

/// The same memory as words.
pub(crate) fn as_words(floats: &[f32]) -> &[u32] {
    // SAFETY: f32 and u32 have the same size and alignment, and all bits are valid for both.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), floats.len()) }
}

/// The same memory as words.
pub(crate) fn as_words_mut(floats: &mut [f32]) -> &mut [u32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}

/// Lends `f` one slice of numbers with arbitrary contents per requested length.
pub(crate) fn with_parts<const N: usize, R>(
    lengths: [usize; N],
    f: impl FnOnce([&mut [f32]; N]) -> R,
) -> R {
    with_floats(lengths.iter().sum(), |mut rest| {
        f(lengths.map(|length| {
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(length);
            rest = tail;
            part
        }))
    })
}

/// Lends `f` one zeroed slice of numbers per requested length.
pub(crate) fn with_zeros<const N: usize, R>(
    lengths: [usize; N],
    f: impl FnOnce([&mut [f32]; N]) -> R,
) -> R {
    with_parts(lengths, |mut parts| {
        parts.iter_mut().for_each(|part| part.fill(0.0));
        f(parts)
    })
}
