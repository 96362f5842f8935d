//! Errors of data files, with path and line.

mod record;

pub use record::RecordError;
pub(crate) use record::task_name;

use std::io;
use std::path::PathBuf;

/// An error of reading or sampling data. Lines and rows count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be opened.
    #[error("{}: cannot be opened: {cause}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// Reading failed: the file is truncated, or its compressed data are damaged.
    #[error(
        "{}:{line}: cannot be read any further: {cause}; if the file was copied or downloaded, \
         get it again",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The line that could not be read to its end.
        line: usize,
        /// What the operating system or the decompressor says.
        cause: io::Error,
    },
    /// A line is longer than any record should be.
    #[error("{}:{line}: longer than {limit} bytes: put one record on each line", path.display())]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The greatest length, bytes.
        limit: usize,
    },
    /// There is nothing but blank lines and comments for longer than any file needs.
    #[error(
        "{}:{line}: no record in {limit} bytes before this line: is it the right file?",
        path.display()
    )]
    NothingThere {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The most that is skipped, bytes.
        limit: usize,
    },
    /// A pipe or a device where a task's file should be.
    #[error(
        "{}: not a file: a task folder holds files, and nothing else is read from it",
        path.display()
    )]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A line is not UTF-8 text.
    #[error(
        "{}:{line}: byte {column} is not UTF-8: store the file as UTF-8, plain or compressed by \
         gzip or zstd",
        path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The first wrong byte of the line, from 1.
        column: usize,
    },
    /// A line is not JSON.
    #[error(
        "{}:{line}: not the JSON record expected here: {problem} (column {column})",
        path.display()
    )]
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
        /// The line that the record begins on; in Parquet its row.
        line: usize,
        /// What is wrong with the record.
        problem: RecordError,
    },
    /// A row in memory is not valid.
    #[error("row {row}: {problem}")]
    Row {
        /// Its number, from 1.
        row: usize,
        /// What is wrong with it.
        problem: RecordError,
    },
    /// There are no rows in memory to make examples of.
    #[error("no examples: give at least one row")]
    NoRows,
    /// A file is not Parquet, or its data are damaged or of an unsupported type.
    #[error("{}: cannot be read as Parquet: {problem}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet reader says.
        problem: String,
    },
    /// Records cannot be kept in temporary files.
    #[error(
        "{}: the corpora cannot be kept here while they are used: {cause}; set TMPDIR to a folder \
         with space for them",
        dir.display()
    )]
    Spool {
        /// The folder for temporary files.
        dir: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// Pairs come from more sources than are supported.
    #[error(
        "{}: more than {limit} sources: \"source\" should name the data set that a pair is from, \
         not the single text",
        path.display()
    )]
    Sources {
        /// The file with the first source too many.
        path: PathBuf,
        /// The greatest number.
        limit: usize,
    },
    /// A run cannot be resumed on other corpora than it began with.
    #[error(
        "the corpora are not those that the run began with ({found} records, not {expected}): \
         start it anew, or give it the same files"
    )]
    OtherCorpus {
        /// Number of records then.
        expected: u64,
        /// Number of records now.
        found: u64,
    },
    /// A corpus or split without a single record.
    #[error("{}: holds no records", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The training split of a task has no record.
    #[error("{}: task has no training examples: put one record on each line", path.display())]
    NoTrainingExamples {
        /// The training file.
        path: PathBuf,
    },
    /// A task folder lacks a split that is needed.
    #[error(
        "{}: no {split}.jsonl here, nor with .csv, .tsv, .conll or .parquet: a task folder holds \
         train.jsonl and, optionally, dev.jsonl and test.jsonl",
        dir.display()
    )]
    MissingSplit {
        /// The folder.
        dir: PathBuf,
        /// The split looked for.
        split: String,
    },
    /// A task folder has two files of one split.
    #[error(
        "{}: both {first} and {second} are here: which one is the split? Move the other away",
        dir.display()
    )]
    TwoSplits {
        /// The folder.
        dir: PathBuf,
        /// One file's name.
        first: String,
        /// The other's.
        second: String,
    },
    /// A label fraction outside (0, 1].
    #[error(
        "label fraction {0} is out of range: give a number above 0 and at most 1 (0.1 for 10 %)"
    )]
    Fraction(f64),
}
