//! Corpora for pre-finetuning and tasks for fine-tuning, read from JSON lines.
//!
//! | file | record |
//! |---|---|
//! | concept corpus | `{"tokens": [...], "spans": [{"start": 0, "end": 2, "type": "hotel name"}]}`, word indices, end exclusive |
//! | pair corpus | `{"anchor": "...", "positive": "...", "source": "..."}`, the source optional |
//! | NER task | `{"tokens": [...], "tags": ["B-person", "O", ...]}`, BIO2 |
//! | classification task | `{"text": "...", "label": "..."}` |
//!
//! Further keys are ignored. Every file may be compressed by gzip.

mod concepts;
mod error;
mod examples;
mod fraction;
mod jsonl;
mod pairs;
mod task;

pub use concepts::{ConceptSentence, ConceptSpan, read_concepts};
pub use error::{DataError, RecordError};
pub use examples::{Examples, LabelledText, TaggedSentence, read_examples};
pub use fraction::fraction;
pub use jsonl::{JsonLines, MAX_LINE_BYTES};
pub use pairs::{TextPair, read_pairs};
pub use task::Task;
