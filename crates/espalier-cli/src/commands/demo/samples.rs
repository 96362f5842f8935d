//! The sample corpora and tasks (samples/README.md says where they come from), carried inside the
//! program.

use espalier_encoder::{Result, files};
use std::path::Path;

/// The tasks: two of named entities, two of classification.
pub const TASKS: [&str; 4] = ["wikigold", "restaurant8k", "banking77", "clinc150"];

macro_rules! sample {
    ($path:literal) => {
        ($path, include_bytes!(concat!("../../../../../samples/", $path)).as_slice())
    };
}

const FILES: [(&str, &[u8]); 12] = [
    sample!("LICENSES.md"),
    sample!("README.md"),
    sample!("corpora/concepts.jsonl.gz"),
    sample!("corpora/pairs.jsonl.gz"),
    sample!("tasks/wikigold/train.jsonl"),
    sample!("tasks/wikigold/test.jsonl.gz"),
    sample!("tasks/restaurant8k/train.jsonl"),
    sample!("tasks/restaurant8k/test.jsonl.gz"),
    sample!("tasks/banking77/train.jsonl"),
    sample!("tasks/banking77/test.jsonl.gz"),
    sample!("tasks/clinc150/train.jsonl"),
    sample!("tasks/clinc150/test.jsonl.gz"),
];

/// Whether they are in a directory, or were on the way there.
pub fn are_in(directory: &Path) -> bool {
    directory.join(FILES[0].0).exists()
}

/// Writes the samples, so that every command can be tried on them.
///
/// # Errors
/// When a file cannot be written.
pub fn write(directory: &Path) -> Result<()> {
    FILES.iter().try_for_each(|(path, bytes)| files::write_atomic(&directory.join(path), bytes))
}
