use espalier_data::DataError;
use espalier_encoder::EncoderError;
use espalier_runtime::RuntimeError;
use espalier_train::TrainError;
use espalier_train::run::RunError;
use espalier_train::strategy::UnknownStrategy;

/// Result of this crate's fallible functions, and handy for `main`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error of espalier's crates, so that one `?` serves for all of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A backbone cannot be found or downloaded.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] espalier_hub::HubError),
    /// A backbone or an adapter cannot be loaded, saved or used.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// A corpus or a task cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Training cannot start or must stop.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A strategy has another name.
    #[error(transparent)]
    UnknownStrategy(#[from] UnknownStrategy),
    /// A run in a directory cannot start, resume or finish.
    #[error(transparent)]
    Run(#[from] RunError),
    /// An adapter cannot be attached, or texts cannot be answered.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}
