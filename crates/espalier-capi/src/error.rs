use espalier_runtime::RuntimeError;

/// Why a call was refused.
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
