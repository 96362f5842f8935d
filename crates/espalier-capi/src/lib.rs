//! The runtime for C and for languages that call C.
//!
//! `include/espalier.h` declares these functions and is the manual for C programs;
//! `examples/answer.c` is a program that uses all of them.
//!
//! - Functions that can fail return an [`EspalierStatus`]; [`espalier_last_error`] then has the
//!   message. NULL, text that is not UTF-8 and indices out of range are errors. No panic leaves a
//!   function.
//! - There are two handles, a runtime and the answers of one run, each with a function that frees
//!   it. NULL may be freed.
//! - What [`espalier_answer`], [`espalier_entity`] and [`espalier_label`] return points into the
//!   answers and is valid as long as they are.
//! - Threads may share a handle, as long as none frees it while another uses it.
//!
//! ```
//! use espalier_capi::{EspalierStatus, espalier_open, espalier_runtime_free};
//! use std::ptr;
//!
//! let path = c"no/such/backbone";
//! let mut runtime = ptr::null_mut();
//! // SAFETY: a text that ends with a NUL, NULL, and memory for a pointer.
//! let status = unsafe { espalier_open(path.as_ptr(), ptr::null(), &mut runtime) };
//! assert_eq!(status, EspalierStatus::Refused);
//! // SAFETY: it is NULL, since opening failed.
//! unsafe { espalier_runtime_free(runtime) };
//! ```

mod answers;
mod arguments;
mod call;
mod runtime;

pub use answers::{
    EspalierAnswer, EspalierAnswers, EspalierEntity, EspalierKind, EspalierLabel, EspalierString,
    espalier_answer, espalier_answers_free, espalier_entity, espalier_label,
};
pub use call::{EspalierStatus, espalier_last_error};
pub use runtime::{
    EspalierRuntime, espalier_attach, espalier_detach, espalier_open, espalier_open_copied,
    espalier_replace, espalier_run, espalier_runtime_free,
};
