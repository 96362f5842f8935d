//! Reading what C passes. What can be checked is checked; the rest is the caller's word, hence
//! `unsafe`.

use crate::error::CallError;
use std::ffi::{CStr, c_char};
use std::fmt::Display;
use std::mem::MaybeUninit;
use std::slice;

/// What a pointer points at.
///
/// # Safety
/// The pointer is NULL, or points at a `T` that nobody changes or frees during the call.
pub(crate) unsafe fn reference<'a, T>(
    pointer: *const T,
    argument: impl Display,
) -> Result<&'a T, CallError> {
    // SAFETY: the caller's word.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(argument))
}

/// The place for a result.
///
/// # Safety
/// The pointer is NULL, or points at room for a `T` that nobody else uses during the call.
pub(crate) unsafe fn place<'a, T>(
    pointer: *mut T,
    argument: impl Display,
) -> Result<&'a mut MaybeUninit<T>, CallError> {
    // SAFETY: the caller's word. The room may be uninitialised.
    unsafe { pointer.cast::<MaybeUninit<T>>().as_mut() }.ok_or_else(|| null(argument))
}

/// A text.
///
/// # Safety
/// The pointer is NULL, or points at bytes that end with a NUL and that nobody changes or frees
/// during the call.
pub(crate) unsafe fn text<'a>(
    pointer: *const c_char,
    argument: impl Display,
) -> Result<&'a str, CallError> {
    // SAFETY: the caller's word.
    unsafe { optional_text(pointer, &argument) }?.ok_or_else(|| null(argument))
}

/// A text, or nothing for NULL.
///
/// # Safety
/// As for [`text`].
pub(crate) unsafe fn optional_text<'a>(
    pointer: *const c_char,
    argument: impl Display,
) -> Result<Option<&'a str>, CallError> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's word, and not NULL.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| CallError::NotUtf8 { argument: argument.to_string() })
}

/// An array of pointers; NULL will do for an empty one.
///
/// # Safety
/// The pointer is NULL, or points at `count` pointers that nobody changes or frees during the call.
pub(crate) unsafe fn array<'a>(
    pointer: *const *const c_char,
    count: usize,
    argument: &str,
) -> Result<&'a [*const c_char], CallError> {
    if count == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(null(argument));
    }
    // More than half the address space is no array but, say, a negative number.
    if count > isize::MAX as usize / size_of::<*const c_char>() {
        return Err(CallError::TooMany { argument: argument.to_string(), count });
    }
    // SAFETY: the caller's word, not NULL, and no longer than an object can be.
    Ok(unsafe { slice::from_raw_parts(pointer, count) })
}

/// Frees a handle; NULL is none.
///
/// # Safety
/// The pointer is NULL, or came from `Box::into_raw` and is not used afterwards.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: the caller's word.
        drop(unsafe { Box::from_raw(handle) });
    }
}

fn null(argument: impl Display) -> CallError {
    CallError::Null { argument: argument.to_string() }
}
