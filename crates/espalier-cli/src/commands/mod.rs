//! The subcommands, one file each, and checks of where they may write.

pub mod bench;
pub mod conflict;
pub mod data;
pub mod demo;
pub mod doctor;
pub mod encode;
pub mod evaluate;
pub mod fetch;
pub mod fill_mask;
pub mod finetune;
pub mod pack;
pub mod predict;
pub mod prefinetune;
pub mod pretrain;
pub mod quantize;
pub mod study;
pub mod teach;
pub mod tokenizer;
pub mod training;

use espalier_encoder::files;
use std::ffi::OsStr;
use std::path::Path;

/// Refuses an output that would overwrite the input: the file `input`, or a file in the directory
/// `input`.
fn not_among(output: &Path, input: &Path) -> anyhow::Result<()> {
    if let (Ok(place), Ok(input)) = (output.canonicalize(), input.canonicalize())
        && (place == input || place.parent() == Some(&input))
    {
        anyhow::bail!("{} is one of the input files; choose another output", output.display());
    }
    Ok(())
}

/// Refuses to write into a directory with other files: it must not exist, be empty, or have only
/// the files `complete` and temporary files that killed processes left of the files `partial`.
/// `what` says what those files are.
fn only_ours(
    directory: &Path,
    complete: &[&str],
    partial: &[&str],
    what: &str,
) -> anyhow::Result<()> {
    let is_ours = |name: &OsStr| {
        complete.iter().any(|own| name == *own)
            || partial.iter().any(|own| files::is_partial_file(name, own.as_ref()))
    };
    if let Some(found) = files::unknown_entry(directory, is_ours)? {
        let directory = directory.display();
        anyhow::bail!(
            "{directory} is neither empty nor {what}: it holds {found}; choose another directory, \
             one that is empty or does not exist yet"
        );
    }
    Ok(())
}
