//! Panics of other libraries, made errors of ours.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is expected, and nobody is to be told.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, a call of a library that panics on some files that are damaged or made to deceive.
/// Such a panic gives nothing, and its message, which says nothing to people, is not printed;
/// panics of other threads are.
///
/// What `work` borrows must not be used after a panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !EXPECTED.get() {
                usual(panic);
            }
        }));
    });
    let before = EXPECTED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_nothing() {
        assert_eq!(caught(|| 1), Some(1));
        assert_eq!(caught(|| caught(|| -> u8 { panic!("inner") }).is_none()), Some(true));
        assert_eq!(caught(|| -> u8 { panic!("outer") }), None);
        assert!(!EXPECTED.get());
    }
}
