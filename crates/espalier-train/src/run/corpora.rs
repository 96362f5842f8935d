//! What a run knows its corpora by: enough to see that one has changed, without reading it twice.

use super::error::{Result, RunError, io};
use crate::config::PrefinetuneConfig;
use crate::strategy::ObjectiveKind;
use espalier_encoder::digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes at either end of a file that are looked at.
const EDGE: u64 = 1 << 20;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Corpus {
    /// The file's name. Its directory may change: data move.
    name: String,
    bytes: u64,
    /// SHA-256 of the first and the last MiB.
    edges: String,
}

/// The corpora of each objective, in the order of the configuration.
pub(super) type Corpora = BTreeMap<ObjectiveKind, Vec<Corpus>>;

/// The corpora that a configuration's strategy trains on.
pub(super) fn corpora(config: &PrefinetuneConfig) -> Result<Corpora> {
    let of = |&objective: &ObjectiveKind| {
        Ok((
            objective,
            config
                .corpora(objective)
                .iter()
                .map(|file| corpus(&file.path))
                .collect::<Result<_>>()?,
        ))
    };
    config.strategy.objectives.iter().map(of).collect()
}

fn corpus(path: &Path) -> Result<Corpus> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (bytes, edges) = edges(path).map_err(io(path))?;
    Ok(Corpus { name, bytes, edges })
}

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

/// Checks that the corpora are what they were.
pub(super) fn check(then: &Corpora, now: &Corpora) -> Result<()> {
    for objective in ObjectiveKind::ALL {
        let files = |corpora: &Corpora| corpora.get(&objective).cloned().unwrap_or_default();
        let (then, now) = (files(then), files(now));
        let describe = |corpus: Option<&Corpus>| match corpus {
            Some(Corpus { name, bytes, edges }) => {
                format!("{name} of {bytes} bytes ({})", &edges[..edges.len().min(8)])
            }
            None => "no further corpus".into(),
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
    fn a_change_at_either_end_or_of_the_length_shows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("corpus.jsonl");
        let mut text = vec![b'x'; 3 * EDGE as usize];
        let mut of = |change: Option<usize>, length: usize| {
            change.into_iter().for_each(|at| text[at] ^= 1);
            std::fs::write(&path, &text[..length]).unwrap();
            change.into_iter().for_each(|at| text[at] ^= 1);
            Corpora::from([(ObjectiveKind::Tc, vec![corpus(&path).unwrap()])])
        };
        let whole = 3 * EDGE as usize;
        let then = of(None, whole);
        check(&then, &of(None, whole)).unwrap();
        for (change, length) in
            [(Some(0), whole), (Some(whole - 1), whole), (None, whole - 1), (None, 10)]
        {
            let message = check(&then, &of(change, length)).unwrap_err().to_string();
            assert!(
                message
                    .starts_with("tc.corpora: the run started with corpus.jsonl of 3145728 bytes"),
                "{message}"
            );
        }
        let message = check(&then, &Corpora::new()).unwrap_err().to_string();
        assert!(message.contains("no further corpus"), "{message}");
    }
}
