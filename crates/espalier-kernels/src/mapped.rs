//! Files whose numbers are used in place: mapped into memory, page by page as they are touched; or
//! copied into memory.

use crate::dtype::Bf16;
use memmap2::{Mmap, MmapMut};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

/// Number types whose values may be any bits, in the byte order of files (little-endian).
pub trait Plain: sealed::Plain {}

impl<T: sealed::Plain> Plain for T {}

mod sealed {
    /// # Safety
    /// Every pattern of bits is a value, and there is no padding.
    pub unsafe trait Plain: Copy + Send + Sync + 'static {}
}

// SAFETY: bytes have no invalid patterns.
unsafe impl sealed::Plain for u8 {}
// SAFETY: as above.
unsafe impl sealed::Plain for i8 {}
// SAFETY: as above.
unsafe impl sealed::Plain for u32 {}
// SAFETY: every pattern of 32 bits is a number, an infinity or a NaN.
unsafe impl sealed::Plain for f32 {}
// SAFETY: a `Bf16` is sixteen bits without invariants.
unsafe impl sealed::Plain for Bf16 {}

/// A file's bytes, mapped read-only or copied.
///
/// To replace a mapped file, write a new one and rename it, as this project's own writers do: the
/// mapping then keeps the old one. A file that is written to in place while it is mapped changes
/// the numbers that are read from it, and one that is made shorter ends the process with SIGBUS
/// when a page beyond its new end is touched. A copy is safe from both.
///
/// ```
/// use espalier_kernels::mapped::Mapped;
///
/// # fn main() -> std::io::Result<()> {
/// let path = std::env::temp_dir().join(format!("mapped-{}", std::process::id()));
/// std::fs::write(&path, [1.0f32, 2.0].map(f32::to_le_bytes).concat())?;
/// let file = Mapped::open(&path)?;
/// let numbers = file.view::<f32>(4..8).expect("four bytes at a multiple of four");
/// assert_eq!(*numbers, [2.0]);
/// assert!(file.view::<f32>(2..6).is_none(), "not aligned");
/// # std::fs::remove_file(&path)
/// # }
/// ```
pub struct Mapped {
    map: Mmap,
    /// Whether the pages are a copy, which cannot be read from the file again.
    copied: bool,
}

impl Mapped {
    /// Maps a file.
    ///
    /// # Errors
    /// The system's error if the file cannot be opened or mapped.
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only and private to `Mapped`, and all that is ever read from
        // it are `Plain` numbers, so that a change of the file by others (see above) cannot break
        // an invariant of a type. Rust asks for more: that nobody changes the bytes while they are
        // borrowed. The system cannot promise that; the file's owner has to.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Arc::new(Self { map, copied: false }))
    }

    /// Copies a file into memory, where nobody else can change it.
    ///
    /// # Errors
    /// The system's error if the file cannot be opened or read, or there is no memory for it.
    pub fn copy(path: &Path) -> io::Result<Arc<Self>> {
        let mut file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut map = MmapMut::map_anon(length)?;
        file.read_exact(&mut map)?;
        Ok(Arc::new(Self { map: map.make_read_only()?, copied: true }))
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The numbers in a range of bytes, in place. `None` if the range is not one of this file's, is
    /// not aligned for such numbers or is not a multiple of their size, or if the machine is not
    /// little-endian.
    pub fn view<T: Plain>(self: &Arc<Self>, range: Range<usize>) -> Option<View<T>> {
        let bytes = self.map.get(range)?;
        let first = bytes.as_ptr().cast::<T>();
        let readable = cfg!(target_endian = "little") || size_of::<T>() == 1;
        let fits = first.is_aligned() && bytes.len().is_multiple_of(size_of::<T>());
        let len = bytes.len() / size_of::<T>();
        (readable && fits).then(|| View { file: self.clone(), first, len, numbers: PhantomData })
    }

    /// Tells the system that the pages of a range need not stay in memory: they are read again when
    /// they are touched. Those of a copy stay.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if !self.copied {
            // An error only means that no memory is saved. SAFETY: the pages are clean ones of a
            // file mapped read-only: they come back as they were.
            let _ = unsafe {
                self.map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {} bytes", self.map.len(), if self.copied { "copied" } else { "mapped" })
    }
}

/// Numbers in a mapped file, which stays mapped as long as there is a view of it.
pub struct View<T> {
    file: Arc<Mapped>,
    first: *const T,
    len: usize,
    numbers: PhantomData<T>,
}

// SAFETY: a view is a shared borrow of plain numbers, which are `Send` and `Sync`.
unsafe impl<T: Plain> Send for View<T> {}
// SAFETY: as above.
unsafe impl<T: Plain> Sync for View<T> {}

impl<T: Plain> Deref for View<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `Mapped::view` has checked that so many aligned numbers lie in the mapping, which
        // `file` keeps alive; any bits are such a number.
        unsafe { std::slice::from_raw_parts(self.first, self.len) }
    }
}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        Self { file: self.file.clone(), ..*self }
    }
}

impl<T> fmt::Debug for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} of {:?}", self.len, self.file)
    }
}
