//! What all functions have in common: a status and a message for every error, and no panic that
//! leaves a function.

use espalier_runtime::RuntimeError;
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EspalierStatus {
    /// Success.
    Ok = 0,
    /// An argument was NULL, not UTF-8, out of range or unknown.
    InvalidArgument = 1,
    /// A file or directory could not be opened, an adapter does not fit or there is none of that
    /// name, or the process was forked without its threads.
    Refused = 2,
    /// A bug in espalier. Nothing was done; the handles can still be used.
    Panic = 3,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{argument} is NULL; only the arguments that espalier.h says so of may be")]
    Null { argument: String },
    #[error("{argument} is not UTF-8; convert it before the call")]
    NotUtf8 { argument: String },
    #[error("{argument} cannot have {count} elements; give the number of pointers in the array")]
    TooMany { argument: String, count: usize },
    #[error(
        "precision {given:?} is unknown; {choices}, or NULL for f32, or what a packed file stores"
    )]
    Precision { given: String, choices: String },
    #[error("there is no {what} {index}, as there are {count}; count from 0")]
    OutOfRange { what: &'static str, index: usize, count: usize },
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Runs the body of a function, and stores the message if it fails.
pub(crate) fn call(body: impl FnOnce() -> Result<(), CallError>) -> EspalierStatus {
    // Unwind safe: a runtime stays consistent when a thread panics in it, answers never change, and
    // the caller's memory is written last.
    let (status, message) = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return EspalierStatus::Ok,
        Ok(Err(CallError::Runtime(error))) => (EspalierStatus::Refused, error.to_string()),
        Ok(Err(error)) => (EspalierStatus::InvalidArgument, error.to_string()),
        Err(payload) => {
            (EspalierStatus::Panic, format!("a bug in espalier: {}", panic_message(&*payload)))
        }
    };
    // The message may quote a file, which may contain a NUL, which would end the message.
    let message = CString::new(message.replace('\0', "\u{fffd}")).unwrap_or_default();
    // At the end of a thread its variables are destroyed already; then there is only the status.
    let _ = LAST_ERROR.try_with(|last| last.replace(message));
    status
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

/// The message of the last call of this thread that failed; empty if none has.
///
/// The text ends with a NUL and is valid until the next call of this thread that fails.
#[unsafe(no_mangle)]
pub extern "C" fn espalier_last_error() -> *const c_char {
    let mut message = c"".as_ptr();
    call(|| {
        message = LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(message);
        Ok(())
    });
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn last_error() -> String {
        // SAFETY: no call fails in this thread while the text is read.
        unsafe { CStr::from_ptr(espalier_last_error()) }.to_str().unwrap().to_string()
    }

    #[test]
    fn panics_become_a_status_and_a_message() {
        assert_eq!(last_error(), "");
        assert_eq!(call(|| panic!("of {} kinds", 2)), EspalierStatus::Panic);
        assert_eq!(last_error(), "a bug in espalier: of 2 kinds");
        assert_eq!(call(|| panic!("plain")), EspalierStatus::Panic);
        assert_eq!(last_error(), "a bug in espalier: plain");
    }

    #[test]
    fn each_thread_has_its_own_message_and_successes_keep_it() {
        let fail = |argument: &str| call(|| Err(CallError::Null { argument: argument.into() }));
        assert_eq!(fail("here\0there"), EspalierStatus::InvalidArgument);
        std::thread::spawn(move || {
            assert_eq!(
                (last_error().as_str(), fail("elsewhere")),
                ("", EspalierStatus::InvalidArgument)
            )
        })
        .join()
        .unwrap();
        assert_eq!(call(|| Ok(())), EspalierStatus::Ok);
        assert!(last_error().starts_with("here\u{fffd}there is NULL"), "{}", last_error());
    }
}
