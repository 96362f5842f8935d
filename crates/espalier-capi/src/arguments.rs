//! Arguments from C. What can be checked is checked; the rest is up to the caller, hence `unsafe`.

use crate::call::CallError;
use std::ffi::{CStr, c_char};
use std::fmt::Display;
use std::mem::MaybeUninit;
use std::slice;

/// A reference from a pointer.
///
/// # Safety
/// The pointer is NULL, or points at a `T` that nobody changes or frees during the call.
pub(crate) unsafe fn reference<'a, T>(
    pointer: *const T,
    argument: impl Display,
) -> Result<&'a T, CallError> {
    // SAFETY: this function's contract.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(argument))
}

/// The memory for a result.
///
/// # Safety
/// The pointer is NULL, or points at memory for a `T` that nobody else uses during the call.
pub(crate) unsafe fn output<'a, T>(
    pointer: *mut T,
    argument: impl Display,
) -> Result<&'a mut MaybeUninit<T>, CallError> {
    // SAFETY: this function's contract. The memory may be uninitialised.
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
    // SAFETY: this function's contract.
    unsafe { optional_text(pointer, &argument) }?.ok_or_else(|| null(argument))
}

/// A text, or `None` for NULL.
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
    // SAFETY: this function's contract, and not NULL.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| CallError::NotUtf8 { argument: argument.to_string() })
}

/// An array of pointers, which may be NULL if it is empty.
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
    // More than half of the address space cannot be an array; it may be a negative number.
    if count > isize::MAX as usize / size_of::<*const c_char>() {
        return Err(CallError::TooMany { argument: argument.to_string(), count });
    }
    // SAFETY: this function's contract, not NULL, and not larger than an object can be.
    Ok(unsafe { slice::from_raw_parts(pointer, count) })
}

/// Frees a handle. NULL is allowed.
///
/// # Safety
/// The pointer is NULL, or came from `Box::into_raw` and is not used afterwards.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: this function's contract.
        drop(unsafe { Box::from_raw(handle) });
    }
}

fn null(argument: impl Display) -> CallError {
    CallError::Null { argument: argument.to_string() }
}
