//! `results.jsonl`: a line for each result of a study.
//!
//! Several processes may add lines to one file. A line is written under a lock and synced; the rest
//! of a line whose writer was killed is removed before the next one is added.

use super::error::{Result, StudyError, io};
use espalier_encoder::Family;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A line of `results.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Record {
    /// A cell's scores.
    Cell(CellRecord),
    /// A pre-finetuned encoder.
    Encoder(EncoderRecord),
    /// The dev scores of a candidate of tuning.
    Tuning(TuningRecord),
}

/// The result of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CellRecord {
    /// Its address.
    pub address: String,
    /// The name of the backbone.
    pub backbone: String,
    /// The name of the row.
    pub row: String,
    /// The seed of pre-finetuning.
    pub prefinetune_seed: u64,
    /// The address of the encoder.
    pub encoder: String,
    /// The name of the task.
    pub task: String,
    /// The family of the task.
    pub family: Family,
    /// The fraction of the training examples that the study asks for.
    pub fraction: f64,
    /// The number of training examples.
    pub train: usize,
    /// The number of test examples.
    pub test: usize,
    /// The seed of fine-tuning.
    pub seed: u64,
    /// The scores on dev, by learning rate; empty if there was only one to choose from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dev: BTreeMap<String, f64>,
    /// The learning rate of the adapter that was scored on test.
    pub learning_rate: f32,
    /// The score on test, 0 to 1: strict F1 or accuracy.
    pub score: f64,
    /// Lenient F1 or macro F1.
    pub second_score: f64,
    /// The time of training and scoring, in seconds.
    pub seconds: f64,
    /// The processor and this program's version.
    pub machine: String,
}

/// A pre-finetuned encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EncoderRecord {
    /// Its address.
    pub address: String,
    /// The name of the backbone.
    pub backbone: String,
    /// The name of the row.
    pub row: String,
    /// The seed of pre-finetuning.
    pub seed: u64,
    /// The settings that tuning chose.
    pub chosen: Vec<String>,
    /// The steps done.
    pub steps: usize,
    /// The losses on held-out examples at the end.
    pub validation: BTreeMap<String, f64>,
    /// The time of pre-finetuning in seconds; of a run that was resumed, of its last part.
    pub seconds: f64,
    /// The fingerprint of the weights.
    pub fingerprint: String,
    /// The processor and this program's version.
    pub machine: String,
}

/// The dev scores of a candidate of tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TuningRecord {
    /// The address of the encoder, and the number of the candidate.
    pub address: String,
    /// The name of the backbone.
    pub backbone: String,
    /// The name of the row.
    pub row: String,
    /// The settings.
    pub candidate: Vec<String>,
    /// The score on dev of each task.
    pub dev: BTreeMap<String, f64>,
    /// The mean of both families' means.
    pub mean: f64,
    /// The time of training and scoring, in seconds.
    pub seconds: f64,
}

impl Record {
    /// The address of the result.
    pub fn address(&self) -> &str {
        match self {
            Self::Cell(cell) => &cell.address,
            Self::Encoder(encoder) => &encoder.address,
            Self::Tuning(tuning) => &tuning.address,
        }
    }
}

/// The results of a study, a file that grows.
#[derive(Clone, Debug)]
pub struct Results {
    path: PathBuf,
}

impl Results {
    /// The results in a study's directory.
    pub fn of(directory: &Path) -> Self {
        Self { path: directory.join("results.jsonl") }
    }

    /// All results, by address. The first line with an address counts.
    ///
    /// # Errors
    /// [`StudyError::Io`], and [`StudyError::Damaged`] for a whole line that is no result. The rest
    /// of a line at the end of the file, whose writer was killed, is ignored.
    pub fn read(&self) -> Result<BTreeMap<String, Record>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io(&self.path)(error)),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut records = BTreeMap::new();
        for (number, line) in whole.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let record: Record =
                serde_json::from_str(line).map_err(|error| StudyError::Damaged {
                    path: self.path.clone(),
                    line: number + 1,
                    problem: error.to_string(),
                })?;
            records.entry(record.address().to_string()).or_insert(record);
        }
        Ok(records)
    }

    /// Adds a result and syncs the file. Waits while another process adds one.
    ///
    /// # Errors
    /// [`StudyError::Io`].
    pub fn append(&self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_vec(record).map_err(|error| io(&self.path)(error.into()))?;
        line.push(b'\n');
        let append = || -> std::io::Result<()> {
            let options = OpenOptions::new().read(true).append(true).create(true).clone();
            let mut file = options.open(&self.path)?;
            file.lock()?; // until the file is closed
            let end = whole_lines(&mut file)?;
            file.set_len(end)?;
            file.write_all(&line)?;
            file.sync_data()
        };
        append().map_err(io(&self.path))
    }
}

/// The number of bytes up to the end of the last whole line.
fn whole_lines(file: &mut File) -> std::io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut byte = [0];
    while end > 0 {
        file.seek(SeekFrom::Start(end - 1))?;
        file.read_exact(&mut byte)?;
        if byte == [b'\n'] {
            break;
        }
        end -= 1;
    }
    Ok(end)
}

/// Adds the results of other studies' directories to those of `into`. Returns the number of results
/// added.
///
/// # Errors
/// Those of [`Results::read`] and [`Results::append`].
pub fn merge(from: &[PathBuf], into: &Path) -> Result<usize> {
    std::fs::create_dir_all(into).map_err(io(into))?;
    let results = Results::of(into);
    let mut known = results.read()?;
    let before = known.len();
    for directory in from {
        let other = Results::of(directory);
        if !other.path.exists() {
            let cause = std::io::ErrorKind::NotFound.into();
            return Err(StudyError::Io { path: other.path, cause });
        }
        for (address, record) in other.read()? {
            if let Entry::Vacant(entry) = known.entry(address) {
                results.append(entry.insert(record))?;
            }
        }
    }
    Ok(known.len() - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(address: &str) -> Record {
        Record::Tuning(TuningRecord {
            address: address.into(),
            backbone: "tiny \u{1f642}".into(),
            row: "tpl".into(),
            candidate: vec!["ner.weight=1".into()],
            dev: BTreeMap::from([("cities".into(), 0.5)]),
            mean: 0.5,
            seconds: 1.0,
        })
    }

    fn addresses(directory: &Path) -> Vec<String> {
        Results::of(directory).read().unwrap().into_keys().collect()
    }

    #[test]
    fn what_is_appended_is_read_and_the_first_of_an_address_counts() {
        let directory = tempfile::tempdir().unwrap();
        let results = Results::of(directory.path());
        assert!(results.read().unwrap().is_empty());
        results.append(&record("b")).unwrap();
        results.append(&record("a")).unwrap();
        let Record::Tuning(mut second) = record("a") else { panic!() };
        second.mean = 0.9;
        results.append(&Record::Tuning(second)).unwrap();
        assert_eq!(results.read().unwrap()["a"], record("a"));
        assert_eq!(addresses(directory.path()), ["a", "b"]);
    }

    #[test]
    fn a_torn_line_is_ignored_and_then_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let results = Results::of(directory.path());
        results.append(&record("a")).unwrap();
        let whole = std::fs::read(&results.path).unwrap();
        // Every length to which a killed writer may have got, also within a character.
        for length in 1..whole.len() - 1 {
            let torn = [&whole[..], &whole[..length]].concat();
            if std::str::from_utf8(&torn).is_err() {
                continue; // tested below
            }
            std::fs::write(&results.path, &torn).unwrap();
            assert_eq!(addresses(directory.path()), ["a"], "{length}");
        }
        std::fs::write(&results.path, [&whole[..], &whole[..40]].concat()).unwrap();
        results.append(&record("b")).unwrap();
        assert_eq!(addresses(directory.path()), ["a", "b"]);
        // Nothing but a torn line.
        std::fs::write(&results.path, &whole[..10]).unwrap();
        results.append(&record("c")).unwrap();
        assert_eq!(addresses(directory.path()), ["c"]);
    }

    #[test]
    fn a_line_that_is_no_result_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let results = Results::of(directory.path());
        results.append(&record("a")).unwrap();
        let text = std::fs::read_to_string(&results.path).unwrap() + "{\"kind\": \"film\"}\n";
        std::fs::write(&results.path, text).unwrap();
        let error = results.read().unwrap_err().to_string();
        assert!(error.contains("results.jsonl:2: not a result"), "{error}");
    }

    #[test]
    fn processes_that_append_at_once_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let results = Results::of(directory.path());
                scope.spawn(move || {
                    (0..25).for_each(|i| results.append(&record(&format!("{writer} {i}"))).unwrap())
                });
            }
        });
        assert_eq!(addresses(directory.path()).len(), 100);
    }

    #[test]
    fn merging_adds_what_is_missing() {
        let (a, b, all) = (tempfile::tempdir(), tempfile::tempdir(), tempfile::tempdir());
        let (a, b, all) = (a.unwrap(), b.unwrap(), all.unwrap());
        Results::of(a.path()).append(&record("1")).unwrap();
        Results::of(b.path()).append(&record("1")).unwrap();
        Results::of(b.path()).append(&record("2")).unwrap();
        let from = [a.path().to_path_buf(), b.path().to_path_buf()];
        assert_eq!(merge(&from, all.path()).unwrap(), 2);
        assert_eq!(merge(&from, all.path()).unwrap(), 0);
        assert_eq!(addresses(all.path()), ["1", "2"]);
        let missing = all.path().join("missing");
        assert!(merge(&[missing], all.path()).unwrap_err().to_string().contains("missing"));
    }
}
