//! What can be wrong with a data file, said with its path and line.

use std::io;
use std::path::PathBuf;

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
    #[error("{}:{line}: no record in {limit} bytes before this line: is it the right file?", path.display())]
    NothingThere {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The most that is passed over, bytes.
        limit: usize,
    },
    /// A pipe or a device where a task's file should be.
    #[error("{}: not a file: a task folder holds files, and nothing else is read from it", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A line is not UTF-8 text.
    #[error("{}:{line}: byte {column} is not UTF-8: store the file as UTF-8, plain or compressed by gzip or zstd", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The first wrong byte of the line, from 1.
        column: usize,
    },
    /// A line is not JSON.
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
        /// The line that the record begins on; in Parquet its row.
        line: usize,
        /// What is wrong with the record.
        problem: RecordError,
    },
    /// A file is not Parquet, or its data are damaged or of a kind that is not read.
    #[error("{}: cannot be read as Parquet: {problem}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet reader says.
        problem: String,
    },
    /// Records cannot be kept on disk for the time of a run.
    #[error("{}: the corpora cannot be kept here while they are used: {cause}; set TMPDIR to a folder with space for them", dir.display())]
    Spool {
        /// The folder for temporary files.
        dir: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// Texts come from more sources than can be told apart.
    #[error("{}: more than {limit} sources: \"source\" should name the data set that a pair is from, not the single text", path.display())]
    Sources {
        /// The file that has the last of them.
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
        "{}: no {split}.jsonl here, nor with .csv, .tsv, .conll or .parquet: a task folder holds train.jsonl and, optionally, dev.jsonl and test.jsonl",
        dir.display()
    )]
    MissingSplit {
        /// The folder.
        dir: PathBuf,
        /// The split looked for.
        split: String,
    },
    /// A task folder has a split twice.
    #[error("{}: both {first} and {second} are here: which one is the split? Move the other away", dir.display())]
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
    /// A tag is of no scheme.
    #[error(
        "tag {tag:?} is of no scheme known here: tags are \"O\" and, before a label, \"B-\" and \
         \"I-\" (IOB), with \"E-\" and \"S-\" (IOBES) or \"L-\" and \"U-\" (BILOU)"
    )]
    Tag {
        /// The text found.
        tag: String,
    },
    /// Tags are numbers, whose names are elsewhere.
    #[error(
        "tags are numbers: write them as text, such as \"B-person\"; only whoever made the file \
         knows which is which"
    )]
    NumericTags,
    /// Tags of two schemes in one file.
    #[error(
        "a mixture of tag schemes: {tag:?} closes entities here ({scheme}), but {other}; write \
         the file in one scheme"
    )]
    MixedSchemes {
        /// A tag of the scheme that closes entities.
        tag: String,
        /// Its scheme.
        scheme: &'static str,
        /// What does not fit.
        other: String,
    },
    /// A span is empty, reversed or leaves the sentence.
    #[error(
        "span {start}..{end} does not fit a sentence of {tokens} tokens: start < end <= {tokens}, \
         end exclusive"
    )]
    Span {
        /// First word.
        start: usize,
        /// Word after the last.
        end: usize,
        /// Length of the sentence.
        tokens: usize,
    },
    /// A span of characters is empty, reversed or leaves the text.
    #[error(
        "span {start}..{end} does not fit a text of {chars} characters: start < end <= {chars}, \
         end exclusive"
    )]
    CharacterSpan {
        /// First character.
        start: usize,
        /// Character after the last.
        end: usize,
        /// Length of the text.
        chars: usize,
    },
    /// A span of characters that are all white space.
    #[error("span {start}..{end} holds no word: it covers white space only")]
    NoWord {
        /// First character.
        start: usize,
        /// Character after the last.
        end: usize,
    },
    /// Entities overlap where tags are needed.
    #[error("spans {first} and {second} share words: a tag can belong to one entity only")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
    },
    /// A pair has fewer than two texts.
    #[error("fewer than two texts: a pair needs an anchor and at least one positive")]
    TooFewTexts,
    /// A key is missing.
    #[error("{wanted} expected, but the record has {found}")]
    Missing {
        /// What is looked for.
        wanted: &'static str,
        /// The keys that are there.
        found: String,
    },
    /// The value at a key is of another type.
    #[error("\"{key}\" is {found}, not {expected}")]
    Type {
        /// The key.
        key: &'static str,
        /// What is needed.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A row of a table has another number of columns than the header.
    #[error(
        "{found} column(s) where the header has {header}: a quote or a separator too few or too \
         many?"
    )]
    Columns {
        /// Columns of the header.
        header: usize,
        /// Columns of the row.
        found: usize,
    },
    /// A table has more columns than any should have.
    #[error("{found} columns, more than {limit}: is this the right separator?")]
    TooManyColumns {
        /// Columns of the header or a row.
        found: usize,
        /// The greatest number.
        limit: usize,
    },
    /// A row of a Parquet file is larger than any record should be.
    #[error("{size} bytes in one row, more than {limit}: put one text on each row")]
    TooLarge {
        /// Size, bytes.
        size: usize,
        /// The greatest size, bytes.
        limit: usize,
    },
    /// A line of a CoNLL file has only one column.
    #[error("a line of one column: a word and its tag are expected, separated by a tab or a space")]
    OneColumn,
    /// The texts of a pair are labelled as not alike.
    #[error(
        "the pair is labelled {label}: keep only pairs whose texts belong together \
         (\"entailment\", 1), and leave the label out"
    )]
    NotAlike {
        /// The label.
        label: String,
    },
    /// The text at a key is blank.
    #[error("\"{key}\" is blank: give it a text or leave the record out")]
    Blank {
        /// The key.
        key: &'static str,
    },
    /// The keys of a task's record say neither NER nor classification, or both.
    #[error(
        "cannot tell the kind of task: a record has either \"tokens\" and \"tags\" or \"text\" \
         and \"spans\" (NER), or \"text\" and \"label\" (classification); this one has {found}"
    )]
    UnknownKind {
        /// The keys that are there.
        found: String,
    },
    /// The keys of a record belong to no kind of data.
    #[error(
        "neither text pairs, nor sentences with concepts, nor labelled examples, nor running \
         text: the record has {found}; docs/formats.md lists the keys that are understood"
    )]
    NoKind {
        /// The keys that are there.
        found: String,
    },
    /// A task's record is of the other kind than those before it.
    #[error("a {found} record among {expected} records: a task is all NER or all classification")]
    MixedKinds {
        /// Kind of the task's first record.
        expected: &'static str,
        /// Kind of this record.
        found: &'static str,
    },
}
