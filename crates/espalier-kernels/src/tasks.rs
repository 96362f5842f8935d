//! Work shared out among the threads of the pool.
//!
//! What is to be done is called through a pointer, so that the machinery of sharing out is compiled
//! once, not for every caller and every type of number: it would be a large part of the library for
//! devices.

use rayon::prelude::*;

/// Runs `task` for each number below `count`. A thread takes at most `together` neighbouring
/// numbers at a time, and fewer where threads wait for work.
pub(crate) fn each(count: usize, together: usize, task: &(dyn Fn(usize) + Sync)) {
    match count {
        1 => task(0),
        _ => (0..count).into_par_iter().with_max_len(together).for_each(task),
    }
}

/// Hands `task` each piece of `size` elements, of which the last may be shorter, with its number.
pub(crate) fn each_piece<T: Send>(
    data: &mut [T],
    size: usize,
    task: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    data.par_chunks_mut(size.max(1)).enumerate().for_each(|(index, piece)| task(index, piece));
}
