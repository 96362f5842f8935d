//! Corpora for pre-finetuning and tasks for fine-tuning.
//!
//! | file | record |
//! |---|---|
//! | concept corpus | `{"tokens": [...], "spans": [{"start": 0, "end": 2, "type": "hotel name"}]}`, word indices, end exclusive |
//! | pair corpus | `{"anchor": "...", "positive": "...", "source": "..."}`, the source optional |
//! | text corpus | `{"text": "..."}`, a document; in `.txt` files blank lines separate documents |
//! | NER task | `{"tokens": [...], "tags": ["B-person", "O", ...]}` |
//! | classification task | `{"text": "...", "label": "..."}` |
//!
//! Records are lines of JSON, rows of CSV, TSV or Parquet, or sentences in CoNLL columns;
//! docs/formats.md lists the other keys that are understood. Further keys are ignored. Files of
//! text may be compressed by gzip or zstd.

pub mod check;
mod concepts;
mod corpus;
mod error;
mod examples;
mod formats;
mod fraction;
mod pairs;
mod pieces;
mod row;
pub mod sampling;
mod scheme;
mod spans;
mod task;
mod texts;
mod words;

pub use concepts::{Annotation, ConceptSentence, ConceptSpan, read_concepts};
pub use corpus::{Corpus, CorpusConfig, CorpusPosition, MAX_SOURCES, read_at};
pub use error::{DataError, RecordError};
pub use examples::{AnnotatedText, Examples, LabelledText, read_examples};
pub use formats::MAX_LINE_BYTES;
pub use fraction::fraction;
pub use pairs::{TextPair, read_pairs};
pub use pieces::{Role, TextPiece};
pub use task::Task;
pub use texts::documents;
