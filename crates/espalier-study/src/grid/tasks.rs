//! A task of a study: three splits of limited size.

use super::config::Limits;
use super::error::Result;
use espalier_data::{DataError, Examples, Task, fraction, fraction_indices};
use espalier_encoder::{Family, digest};
use std::collections::BTreeSet;
use std::path::Path;

/// The part of the training examples that takes the place of a missing dev split.
const DEV_SHARE: f64 = 0.1;
/// The seed of everything that is sampled once for the whole study.
const SEED: u64 = 0;

/// A task with the splits that the study uses.
pub(super) struct StudyTask {
    pub(super) name: String,
    /// The SHA-256 of all examples, before they are sampled.
    pub(super) content: String,
    pub(super) train: Examples,
    pub(super) dev: Examples,
    pub(super) test: Examples,
}

impl StudyTask {
    /// Opens the folder of a task.
    pub(super) fn open(folder: &Path, limits: &Limits) -> Result<Self> {
        let task = Task::open(folder)?;
        let test = task.test.ok_or_else(|| missing(folder, "test"))?;
        let content = content(&[Some(&task.train), task.dev.as_ref(), Some(&test)]);
        let (train, dev) = match task.dev {
            Some(dev) => (task.train, dev),
            None => hold_out(&task.train, limits.dev)?,
        };
        Ok(Self {
            name: task.name,
            content,
            train: at_most(train, limits.train)?,
            dev: at_most(dev, limits.dev)?,
            test: at_most(test, limits.test)?,
        })
    }

    pub(super) fn family(&self) -> Family {
        self.train.family()
    }

    /// The training examples of a fraction and a seed, at least `min_train` of them.
    pub(super) fn subset(&self, f: f64, min_train: usize, seed: u64) -> Result<Vec<usize>> {
        let f = self.effective(f, min_train);
        Ok(fraction_indices(&self.train, f, seed)?)
    }

    /// The fraction that has at least `min_train` examples.
    pub(super) fn effective(&self, f: f64, min_train: usize) -> f64 {
        f.max(min_train as f64 / self.train.len() as f64).min(1.0)
    }
}

fn missing(folder: &Path, split: &str) -> DataError {
    DataError::MissingSplit { dir: folder.to_owned(), split: split.to_owned() }
}

/// Splits off a dev set. Every class that has two examples keeps one to train on.
fn hold_out(train: &Examples, most: usize) -> Result<(Examples, Examples)> {
    let share = DEV_SHARE.min(most as f64 / train.len() as f64);
    let kept = fraction_indices(train, 1.0 - share, SEED)?;
    let in_train: BTreeSet<usize> = kept.iter().copied().collect();
    let held: Vec<usize> = (0..train.len()).filter(|index| !in_train.contains(index)).collect();
    match held.is_empty() {
        true => Ok((train.clone(), train.clone())), // too few to split
        false => Ok((train.select(&kept), train.select(&held))),
    }
}

fn at_most(examples: Examples, most: usize) -> Result<Examples> {
    match examples.len() <= most {
        true => Ok(examples),
        false => Ok(fraction(&examples, most as f64 / examples.len() as f64, SEED)?),
    }
}

/// The SHA-256 of the examples of all splits.
fn content(splits: &[Option<&Examples>]) -> String {
    let mut text = String::new();
    for split in splits {
        text.push_str("split\n");
        match split {
            Some(Examples::Ner(rows)) => rows.iter().for_each(|row| {
                let entities = row.entities.iter();
                let spans = entities.map(|e| format!("{}-{}:{:?} ", e.start, e.end, e.label));
                text.push_str(&format!("{:?} {}\n", row.text, spans.collect::<String>()));
            }),
            Some(Examples::Classification(rows)) => {
                rows.iter().for_each(|row| {
                    text.push_str(&format!("{:?} {:?}\n", row.text, row.label));
                });
            }
            None => {}
        }
    }
    digest::sha256(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(rows: usize, dev: bool) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let row = |i: usize| format!("{{\"text\": \"t{i}\", \"label\": \"l{}\"}}\n", i % 3);
        let lines = |range: std::ops::Range<usize>| range.map(row).collect::<String>();
        std::fs::write(directory.path().join("train.jsonl"), lines(0..rows)).unwrap();
        std::fs::write(directory.path().join("test.jsonl"), lines(900..930)).unwrap();
        if dev {
            std::fs::write(directory.path().join("dev.jsonl"), lines(500..520)).unwrap();
        }
        directory
    }

    fn texts(examples: &Examples) -> BTreeSet<String> {
        examples.texts().into_iter().map(String::from).collect()
    }

    #[test]
    fn a_task_without_dev_gives_a_tenth_of_its_training_examples() {
        let task = StudyTask::open(folder(300, false).path(), &Limits::default()).unwrap();
        assert_eq!((task.train.len(), task.dev.len(), task.test.len()), (270, 30, 30));
        assert!(texts(&task.train).is_disjoint(&texts(&task.dev)));
    }

    #[test]
    fn splits_are_sampled_down_to_their_limits() {
        let mut limits = Limits::default();
        (limits.train, limits.dev, limits.test) = (60, 9, 12);
        let task = StudyTask::open(folder(300, true).path(), &limits).unwrap();
        // 7, 7 and 6 of three classes on dev: 4, 4 and 3 are the ceilings of nine twentieths.
        assert_eq!((task.train.len(), task.dev.len(), task.test.len()), (60, 11, 12));
        // The content is that of the files, whatever is used of them.
        let whole = StudyTask::open(folder(300, true).path(), &Limits::default()).unwrap();
        assert_eq!(task.content, whole.content);
        let other = StudyTask::open(folder(301, true).path(), &Limits::default()).unwrap();
        assert_ne!(other.content, whole.content);
    }

    #[test]
    fn a_fraction_has_the_least_number_of_examples_and_is_part_of_a_larger_one() {
        let task = StudyTask::open(folder(300, true).path(), &Limits::default()).unwrap();
        let small = task.subset(0.01, 50, 7).unwrap();
        let large = task.subset(0.5, 50, 7).unwrap();
        assert!((50..=53).contains(&small.len()) && large.len() == 150, "{}", small.len());
        assert!(small.iter().all(|index| large.contains(index)));
        assert_ne!(small, task.subset(0.01, 50, 8).unwrap());
        assert_eq!(task.subset(0.01, 1000, 7).unwrap().len(), 300);
    }

    #[test]
    fn a_task_without_test_is_refused_by_name() {
        let directory = folder(9, false);
        std::fs::remove_file(directory.path().join("test.jsonl")).unwrap();
        let error = StudyTask::open(directory.path(), &Limits::default()).err().unwrap();
        assert!(error.to_string().contains("no test.jsonl"), "{error}");
    }
}
