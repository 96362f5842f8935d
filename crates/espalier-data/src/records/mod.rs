//! From JSON records to what they mean: the four kinds of data that this crate reads.
//!
//! | file | record |
//! |---|---|
//! | `pairs.rs` | a pair of texts, for contrastive pre-finetuning |
//! | `concepts.rs` | a sentence with concept spans, for pre-finetuning and distillation |
//! | `documents.rs` | a document of running text, for masked language modelling |
//! | `examples.rs` | a labelled example of a task |
//! | `read_examples.rs`, `from_rows.rs` | how examples are made: from a file, from rows in memory |
//! | `fields.rs` | access to the keys and values of a record |
//! | `words.rs`, `spans.rs`, `schemes.rs` | words of a text, spans over them, and tags as spans |
//!
//! Files of data name the same things differently. Which keys are understood is written at the top
//! of each of these files, and for users in docs/formats.md.

pub(crate) mod concepts;
pub(crate) mod documents;
pub(crate) mod examples;
pub(crate) mod fields;
mod from_rows;
pub(crate) mod pairs;
pub(crate) mod read_examples;
pub(crate) mod schemes;
pub(crate) mod spans;
pub(crate) mod words;
