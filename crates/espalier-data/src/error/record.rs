//! Errors of the content of one record.

use espalier_encoder::Family;

/// What is wrong with the content of one record.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// Tags are numbers, whose meaning is not in the file.
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
    /// A span over words is empty, reversed or beyond the end of the sentence.
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
    /// A span over characters is empty, reversed or beyond the end of the text.
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
    /// A span covers white space only.
    #[error("span {start}..{end} holds no word: it covers white space only")]
    NoWord {
        /// First character.
        start: usize,
        /// Character after the last.
        end: usize,
    },
    /// Entities overlap, so that no tags can express them.
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
        /// The keys that are expected.
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
    /// The keys of a task's record are those of neither NER nor classification, or of both.
    #[error(
        "cannot tell the kind of task: a record has either \"tokens\" and \"tags\" or \"text\" \
         and \"spans\" (NER), or \"text\" and \"label\" (classification); this one has {found}"
    )]
    UnknownFamily {
        /// The keys that are there.
        found: String,
    },
    /// The keys of a record are those of no kind of data.
    #[error(
        "neither text pairs, nor sentences with concepts, nor labelled examples, nor running \
         text: the record has {found}; docs/formats.md lists the keys that are understood"
    )]
    UnknownKind {
        /// The keys that are there.
        found: String,
    },
    /// A task's record is of another family than those before it.
    #[error(
        "a {} record among {} records: a task is all NER or all classification",
        task_name(*found),
        task_name(*expected)
    )]
    MixedFamilies {
        /// The family of the task's first record.
        expected: Family,
        /// The family of this record.
        found: Family,
    },
}

/// What a task of this family is called in messages.
pub(crate) fn task_name(family: Family) -> &'static str {
    match family {
        Family::Ner => "NER",
        Family::Tc => "classification",
    }
}
