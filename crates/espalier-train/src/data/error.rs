//! What can be wrong with a data file, said with its path and line.

use std::io;
use std::path::PathBuf;

use espalier_encoder::tags::TagError;

/// An error of reading or sampling data. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file cannot be opened.
    #[error("{}: cannot be opened: {cause}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The file breaks off or its compressed data are damaged.
    #[error("{}:{line}: cannot be read on: {cause}; if the file was copied or downloaded, get it again", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The line that could not be read whole.
        line: usize,
        /// What the operating system or the decompressor says.
        cause: io::Error,
    },
    /// A line is longer than any record should be.
    #[error("{}:{line}: longer than {limit} bytes: put one JSON record on each line", path.display())]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The greatest length, bytes.
        limit: usize,
    },
    /// A line is not UTF-8 text.
    #[error("{}:{line}: byte {column} is not UTF-8: store the file as UTF-8, plain or compressed by gzip", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The first wrong byte of the line, from 1.
        column: usize,
    },
    /// A line is not JSON, or lacks a key, or a value has another type.
    #[error("{}:{line}: not the JSON record expected here: {problem} (column {column})", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The byte of the line, from 1.
        column: usize,
        /// What the JSON parser says.
        problem: String,
    },
    /// A record is well-formed, but its content is not valid.
    #[error("{}:{line}: {problem}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong with the record.
        problem: RecordError,
    },
    /// A corpus or split without a single record.
    #[error("{}: holds no records", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The training split of a task has no record.
    #[error("{}: task has no training examples: put one JSON record on each line", path.display())]
    NoTrainingExamples {
        /// The training file.
        path: PathBuf,
    },
    /// A task folder lacks a split that is needed.
    #[error(
        "{}: no {split}.jsonl or {split}.jsonl.gz here: a task folder holds train.jsonl and, optionally, dev.jsonl and test.jsonl",
        dir.display()
    )]
    MissingSplit {
        /// The folder.
        dir: PathBuf,
        /// The split looked for.
        split: String,
    },
    /// A label fraction outside (0, 1].
    #[error("label fraction {0} is out of range: give a number above 0 and at most 1 (0.1 for 10 %)")]
    Fraction(f64),
}

/// What is wrong with the content of one record.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// `tokens` is an empty list.
    #[error("\"tokens\" is empty: a sentence needs at least one word")]
    NoTokens,
    /// `tokens` and `tags` differ in length.
    #[error("{tokens} tokens but {tags} tags: every token needs one tag")]
    TagCount {
        /// Length of `tokens`.
        tokens: usize,
        /// Length of `tags`.
        tags: usize,
    },
    /// A tag is not BIO2.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// A span is empty, reversed or leaves the sentence.
    #[error("span {start}..{end} does not fit a sentence of {tokens} tokens: start < end <= {tokens}, end exclusive")]
    Span {
        /// First word.
        start: usize,
        /// Word after the last.
        end: usize,
        /// Length of the sentence.
        tokens: usize,
    },
    /// The text at a key is blank.
    #[error("\"{key}\" is blank: give it a text or leave the record out")]
    Blank {
        /// The key.
        key: &'static str,
    },
    /// The keys of a task's record say neither NER nor classification, or both.
    #[error(
        "cannot tell the kind of task: a record has either \"tokens\" and \"tags\" (NER) or \"text\" and \"label\" (classification)"
    )]
    UnknownKind,
    /// A task's record is of the other kind than those before it.
    #[error("a {found} record among {expected} records: a task is all NER or all classification")]
    MixedKinds {
        /// Kind of the task's first record.
        expected: &'static str,
        /// Kind of this record.
        found: &'static str,
    },
}
