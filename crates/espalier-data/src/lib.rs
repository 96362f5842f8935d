#![doc = include_str!("../README.md")]

pub mod check;
mod corpus;
mod error;
mod formats;
mod fraction;
mod records;
pub mod sampling;
mod splits;
mod task;

pub use corpus::{Corpus, CorpusConfig, CorpusPosition, MAX_SOURCES, Role, TextPiece, read_at};
pub use error::{DataError, RecordError};
pub use formats::MAX_LINE_BYTES;
pub use fraction::{fraction, fraction_indices};
pub use records::concepts::{Annotation, ConceptSentence, read_concepts};
pub use records::documents::documents;
pub use records::examples::{AnnotatedText, Examples, LabelledText};
pub use records::pairs::{TextPair, read_pairs};
pub use records::read_examples::read_examples;
pub use records::spans::ConceptSpan;
pub use task::Task;
