//! Checksums of the corpora of a run. They show that a file has changed without reading all of it.

use super::error::{Result, RunError, io};
use crate::config::PrefinetuneConfig;
use crate::strategy::ObjectiveKind;
use espalier_encoder::digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The number of bytes at each end of a file that the checksum includes.
const EDGE: u64 = 1 << 20;

/// The checksum of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CorpusChecksum {
    /// The name of the file, without its directory, because data may move.
    name: String,
    /// The length of the file.
    bytes: u64,
    /// SHA-256 of the first and the last MiB.
    edges: String,
}

/// The checksums of each objective's corpora, in the order of the configuration.
pub(super) type CorpusChecksums = BTreeMap<ObjectiveKind, Vec<CorpusChecksum>>;

/// The checksums of all corpora of the strategy's objectives.
pub(super) fn checksums(config: &PrefinetuneConfig) -> Result<CorpusChecksums> {
    let of_objective = |&objective: &ObjectiveKind| {
        let files = config.corpora(objective).iter();
        Ok((objective, files.map(|file| checksum(&file.path)).collect::<Result<_>>()?))
    };
    config.strategy.objectives.iter().map(of_objective).collect()
}

fn checksum(path: &Path) -> Result<CorpusChecksum> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (bytes, edges) = edges(path).map_err(io(path))?;
    Ok(CorpusChecksum { name, bytes, edges })
}

/// The length of a file, and the SHA-256 of its first and last MiB.
fn edges(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut ends = Vec::new();
    file.by_ref().take(EDGE).read_to_end(&mut ends)?;
    if bytes > EDGE {
        file.seek(SeekFrom::Start(bytes.saturating_sub(EDGE).max(EDGE)))?;
        file.take(EDGE).read_to_end(&mut ends)?;
    }
    Ok((bytes, digest::sha256(&ends)))
}

/// Checks that the corpora are still the same.
pub(super) fn check(then: &CorpusChecksums, now: &CorpusChecksums) -> Result<()> {
    for objective in ObjectiveKind::ALL {
        let files =
            |checksums: &CorpusChecksums| checksums.get(&objective).cloned().unwrap_or_default();
        let (then, now) = (files(then), files(now));
        let describe = |corpus: Option<&CorpusChecksum>| match corpus {
            Some(CorpusChecksum { name, bytes, edges }) => {
                format!("{name} of {bytes} bytes ({})", &edges[..edges.len().min(8)])
            }
            None => "no further corpus".into(), // the lists differ in length
        };
        let changed = (0..then.len().max(now.len())).find(|&at| then.get(at) != now.get(at));
        if let Some(at) = changed {
            let (then, now) = (describe(then.get(at)), describe(now.get(at)));
            return Err(RunError::OtherCorpus { key: objective.corpora_key(), then, now });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_at_both_ends_and_of_the_length_are_detected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("corpus.jsonl");
        let mut text = vec![b'x'; 3 * EDGE as usize];
        let mut of = |change: Option<usize>, length: usize| {
            change.into_iter().for_each(|at| text[at] ^= 1);
            std::fs::write(&path, &text[..length]).unwrap();
            change.into_iter().for_each(|at| text[at] ^= 1);
            CorpusChecksums::from([(ObjectiveKind::Tc, vec![checksum(&path).unwrap()])])
        };
        let full = 3 * EDGE as usize;
        let then = of(None, full);
        check(&then, &of(None, full)).unwrap();
        for (change, length) in
            [(Some(0), full), (Some(full - 1), full), (None, full - 1), (None, 10)]
        {
            let message = check(&then, &of(change, length)).unwrap_err().to_string();
            assert!(
                message
                    .starts_with("tc.corpora: the run started with corpus.jsonl of 3145728 bytes"),
                "{message}"
            );
        }
        let message = check(&then, &CorpusChecksums::new()).unwrap_err().to_string();
        assert!(message.contains("no further corpus"), "{message}");
    }
}
