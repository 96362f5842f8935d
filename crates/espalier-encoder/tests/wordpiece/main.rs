//! BERT's tokenizer against the tokenizers library: every character, unusual texts, and
//! files of all kinds.

mod every_character;
mod files;
#[cfg(feature = "slow-tests")]
mod minilm;
mod texts;
