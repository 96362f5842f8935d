//! Memory that packed panels lie in: one buffer per thread, kept between calls and aligned to cache lines.

use std::cell::RefCell;

const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

thread_local! {
    static BUFFER: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Lends `f` this thread's buffer, at least `len` elements long, with whatever an earlier call left in it.
pub(super) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    BUFFER.with_borrow_mut(|lines| {
        let needed = len.div_ceil(LINE);
        if lines.len() < needed {
            lines.resize(needed, Line([0.0; LINE]));
        }
        // SAFETY: a `Line` is exactly LINE floats without padding, so the vector's elements are `lines.len() * LINE`
        // initialised floats; they are borrowed mutably as long as `lines` is.
        f(unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LINE) })
    })
}
