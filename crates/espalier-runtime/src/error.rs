//! What can go wrong with a runtime.

use espalier_encoder::EncoderError;

/// A backbone or an adapter that cannot be opened, an adapter that cannot be attached, or a request
/// that cannot be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A backbone or an adapter cannot be opened.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// There is an adapter of this name already.
    #[error(
        "an adapter {name:?} is attached already; replace or detach it, or choose another name"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// There is no adapter of this name.
    #[error(
        "no adapter {name:?} is attached; attach it, or ask for one of those attached: {attached}"
    )]
    UnknownAdapter {
        /// The name.
        name: String,
        /// The names of the attached adapters, separated by commas.
        attached: String,
    },
    /// The weights are finite, but so large that the answer is not.
    #[error(
        "the answer of {name:?} is no finite number: its weights or the backbone's are too large; \
         train it again"
    )]
    NotFinite {
        /// The adapter's name, or `the backbone`.
        name: String,
    },
    /// An adapter in memory was trained on another backbone.
    #[error(
        "adapter {name:?} was trained on the backbone {expected}, not on {found}; use that \
         backbone, or train the adapter again on this one"
    )]
    WrongBackbone {
        /// The name that it was to have.
        name: String,
        /// Fingerprint in the adapter's card.
        expected: String,
        /// Fingerprint of the runtime's backbone.
        found: String,
    },
    /// An adapter in memory whose parts do not fit each other or the backbone.
    #[error(
        "adapter {name:?} cannot be attached: {reason}; make it for an encoder of the backbone's \
         shape, with one class per label"
    )]
    InvalidAdapter {
        /// The name that it was to have.
        name: String,
        /// What does not fit.
        reason: String,
    },
}
