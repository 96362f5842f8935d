//! Whether the threads that compute are there: not in a process that was forked.

use crate::error::{EncoderError, Result};
use espalier_kernels::pool_is_alive;

/// Checks that the threads that compute are there. What is handed to them in a process that was
/// forked without them never ends.
///
/// # Errors
/// [`EncoderError::Forked`].
pub fn check_threads() -> Result<()> {
    if pool_is_alive() { Ok(()) } else { Err(EncoderError::Forked) }
}
