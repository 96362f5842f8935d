//! The runtime for C, and for whatever calls C.
//!
//! `include/espalier.h` declares what is here and is its manual; `examples/answer.c` uses all of
//! it. The rules are few:
//!
//! * Functions that can fail return an [`EspalierStatus`], and [`espalier_last_error`] then says
//!   what was wrong. NULL, text that is not UTF-8 and numbers out of range are refused, and no
//!   panic leaves a function.
//! * There are two handles, a runtime and the answers of one run. Each is freed by its own
//!   function; NULL may be freed.
//! * What [`espalier_answer`] and its neighbours give lies in the answers, uncopied, and lives as
//!   long as they do.
//! * Any number of threads may share a handle, as long as none frees it while another uses it.

mod answers;
mod arguments;
mod call;
mod error;
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
