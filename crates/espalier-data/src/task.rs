//! A downstream task: a folder with a train split and, optionally, a dev and a test split.

use std::collections::BTreeMap;
use std::path::Path;

use espalier_encoder::text::first_few;

use crate::error::DataError;
use crate::records::examples::Examples;
use crate::records::read_examples::read_examples_of;
use crate::splits::find_split;

/// A task with its splits, all of one family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Name of the folder.
    pub name: String,
    /// The examples to train on, at least one.
    pub train: Examples,
    /// The examples to choose settings by, if the task has such a split.
    pub dev: Option<Examples>,
    /// The examples to report scores on, if the task has such a split.
    pub test: Option<Examples>,
}

impl Task {
    /// Opens a task folder. Each split is a file of its name with the extension of any format, such
    /// as `train.jsonl` or `test.conll.gz`; `validation`, `valid` and `val` are other names of
    /// `dev`.
    ///
    /// # Errors
    /// No train split; a split without records; the first line that cannot be read, is not valid,
    /// or is of another family than the training examples.
    ///
    /// # Examples
    /// ```
    /// use espalier_data::Task;
    ///
    /// let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples");
    /// let task = Task::open(format!("{samples}/tasks/banking77").as_ref())?;
    /// assert_eq!(task.name, "banking77");
    /// assert_eq!(task.labels().len(), 77);
    /// assert!(task.dev.is_none() && task.test.is_some());
    /// # Ok::<(), espalier_data::DataError>(())
    /// ```
    pub fn open(dir: &Path) -> Result<Task, DataError> {
        let path = find_split(dir, "train")?.ok_or_else(|| missing(dir, "train"))?;
        let train = read_examples_of(&path, None).map_err(|error| match error {
            DataError::Empty { path } => DataError::NoTrainingExamples { path },
            other => other,
        })?;
        let optional = |split| {
            let path = find_split(dir, split)?;
            path.map(|path| read_examples_of(&path, Some(train.family()))).transpose()
        };
        let (dev, test) = (optional("dev")?, optional("test")?);
        Ok(Task { name: folder_name(dir), train, dev, test })
    }

    /// Opens one split of a task folder, such as `"test"`, and no other.
    ///
    /// # Errors
    /// As [`open`](Self::open), for this split.
    pub fn open_split(dir: &Path, split: &str) -> Result<Examples, DataError> {
        let path = find_split(dir, split)?.ok_or_else(|| missing(dir, split))?;
        read_examples_of(&path, None)
    }

    /// The labels of the train split, sorted: entity labels for NER, classes for classification.
    pub fn labels(&self) -> Vec<String> {
        self.train.label_counts().into_keys().collect()
    }

    /// What one should know before trusting scores on this task, one sentence each: labels that
    /// train has once, labels that only dev or test have, test examples that are also in train.
    pub fn warnings(&self) -> Vec<String> {
        let counts = self.train.label_counts();
        let mut warnings = Vec::new();
        let mut warn = |what: String| warnings.push(format!("{}: {what}", self.name));
        let once = counts.iter().filter(|&(_, &count)| count == 1);
        let once: Vec<&str> = once.map(|(label, _)| label.as_str()).collect();
        if !once.is_empty() {
            warn(format!("seen only once in train: {}", first_few(once)));
        }
        for (split, examples) in [("dev", &self.dev), ("test", &self.test)] {
            let Some(examples) = examples else { continue };
            let unknown = labels_beyond(examples, &counts);
            if !unknown.is_empty() {
                warn(format!("in {split} but never in train: {}", first_few(unknown)));
            }
        }
        if let Some(test) = &self.test {
            let shared = test.count_shared_with(&self.train);
            if shared > 0 {
                warn(format!("{shared} of {} test examples are also in train", test.len()));
            }
        }
        warnings
    }
}

/// The labels that occur in `examples` and not in `known`.
fn labels_beyond(examples: &Examples, known: &BTreeMap<String, usize>) -> Vec<String> {
    examples.label_counts().into_keys().filter(|label| !known.contains_key(label)).collect()
}

fn missing(dir: &Path, split: &str) -> DataError {
    DataError::MissingSplit { dir: dir.to_owned(), split: split.to_owned() }
}

fn folder_name(dir: &Path) -> String {
    // `.` and `..` have no name of their own.
    let resolved = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let named = if dir.file_name().is_some() { dir } else { &resolved };
    named.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(text: &str, label: &str) -> String {
        format!("{{\"text\":\"{text}\",\"label\":\"{label}\"}}\n")
    }

    const NER: &str = "{\"tokens\":[\"Ada\"],\"tags\":[\"B-person\"]}\n";

    /// Opens a folder `colours` with the given files; messages are without the folder's parent.
    fn open(files: &[(&str, String)]) -> Result<Task, String> {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("colours");
        fs::create_dir(&dir).unwrap();
        for (name, content) in files {
            fs::write(dir.join(name), content).unwrap();
        }
        Task::open(&dir).map_err(|error| {
            error.to_string().replace(&format!("{}/", parent.path().display()), "")
        })
    }

    #[test]
    fn opens_the_splits_that_are_there() {
        let train =
            ("train.jsonl", text("sky", "blue") + &text("rose", "red") + &text("blood", "red"));
        let task = open(std::slice::from_ref(&train)).unwrap();
        assert_eq!(
            (task.name.as_str(), task.train.len(), &task.dev, &task.test),
            ("colours", 3, &None, &None)
        );
        assert_eq!(task.labels(), ["blue", "red"]);
        // The content, not the name, says whether a file is compressed.
        let task = open(&[
            train,
            ("dev.jsonl.gz", text("sea", "blue")),
            ("test.jsonl", text("fire", "red")),
        ])
        .unwrap();
        assert_eq!((task.dev.unwrap().len(), task.test.unwrap().len()), (1, 1));
    }

    #[test]
    fn splits_may_have_any_format_and_dev_other_names() {
        let task = open(&[
            ("train.csv", "text,label\nsky,blue\n".into()),
            ("validation.tsv", "text\tlabel\nrose\tred\n".into()),
            ("test.jsonl", text("sea", "blue")),
            ("notes.txt", "not a split".into()),
        ]);
        let task = task.unwrap();
        assert_eq!(
            (task.train.len(), task.dev.unwrap().len(), task.test.unwrap().len()),
            (1, 1, 1)
        );
    }

    #[test]
    fn ner_labels_are_entity_labels() {
        assert_eq!(open(&[("train.jsonl", NER.into())]).unwrap().labels(), ["person"]);
    }

    #[test]
    fn a_folder_without_train_says_which_file_is_expected() {
        let expected = "colours: no train.jsonl here, nor with .csv, .tsv, .conll or .parquet: a \
                        task folder holds train.jsonl and, optionally, dev.jsonl and test.jsonl";
        assert_eq!(open(&[("test.jsonl", text("a", "b"))]).unwrap_err(), expected);
        let error = Task::open(Path::new("no/such/colours")).unwrap_err();
        assert_eq!(error.to_string(), format!("no/such/{expected}"));
    }

    #[test]
    fn a_file_in_place_of_the_folder_names_the_file_expected() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Task::open(file.path()).unwrap_err().to_string();
        assert!(error.contains("train.jsonl"), "{error}");
    }

    #[test]
    fn empty_splits_are_refused() {
        let error = open(&[("train.jsonl", "\n".into())]).unwrap_err();
        assert_eq!(
            error,
            "colours/train.jsonl: task has no training examples: put one record on each line"
        );
        let error =
            open(&[("train.jsonl", text("a", "b")), ("test.jsonl", String::new())]).unwrap_err();
        assert_eq!(error, "colours/test.jsonl: holds no records");
    }

    #[test]
    fn splits_of_another_family_are_refused() {
        let error =
            open(&[("train.jsonl", text("a", "b")), ("test.jsonl", NER.into())]).unwrap_err();
        assert!(
            error.starts_with("colours/test.jsonl:1: a NER record among classification records"),
            "{error}"
        );
    }

    #[test]
    fn warnings_list_a_few_labels() {
        let many = |prefix: &str| {
            (0..20_000).map(|i| text(&format!("t{i}"), &format!("{prefix}{i}"))).collect()
        };
        let warnings =
            open(&[("train.jsonl", many("l")), ("test.jsonl", many("m"))]).unwrap().warnings();
        assert!(warnings[0].ends_with(
            "l0, l1, l10, l100, l1000, l10000, l10001, l10002, l10003, l10004 and 19990 more"
        ));
        assert!(
            warnings.len() == 3 && warnings.iter().all(|warning| warning.len() < 200),
            "{warnings:?}"
        );
    }

    #[test]
    fn one_split_opens_without_the_others() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("test.jsonl"), NER).unwrap();
        fs::write(dir.path().join("train.jsonl"), "not JSON").unwrap();
        assert_eq!(Task::open_split(dir.path(), "test").unwrap().len(), 1);
        let error = Task::open_split(dir.path(), "dev").unwrap_err().to_string();
        assert!(error.contains("no dev.jsonl here"), "{error}");
    }

    #[test]
    fn warns_about_weak_data() {
        let task = open(&[
            ("train.jsonl", text("sky", "blue") + &text("rose", "red") + &text("blood", "red")),
            ("dev.jsonl", text("grass", "green")),
            ("test.jsonl", text("rose", "red") + &text("coal", "black") + &text("snow", "white")),
        ]);
        let expected = [
            "colours: seen only once in train: blue",
            "colours: in dev but never in train: green",
            "colours: in test but never in train: black, white",
            "colours: 1 of 3 test examples are also in train",
        ];
        assert_eq!(task.unwrap().warnings(), expected);
    }

    #[test]
    fn does_not_warn_about_good_data() {
        let task =
            open(&[("train.jsonl", NER.repeat(2)), ("test.jsonl", NER.replace("Ada", "Bob"))])
                .unwrap();
        assert_eq!(task.warnings(), Vec::<String>::new());
        let task = open(&[("train.jsonl", NER.repeat(2)), ("test.jsonl", NER.into())]).unwrap();
        assert_eq!(task.warnings(), ["colours: 1 of 1 test examples are also in train"]);
    }
}
