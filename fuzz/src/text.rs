//! BERT's tokenizer by this project and by the `tokenizers` library: the first byte says how it is
//! set up, the rest is the text, whole and line by line as words.

#[path = "../../crates/espalier-encoder/tests/wordpiece/reference.rs"]
pub mod reference;

use reference::{Pair, UNLIMITED, bert};
use std::sync::OnceLock;
use tokenizers::normalizers::BertNormalizer;

/// Whether control characters are dropped and Chinese characters set apart, accents stripped,
/// letters lowered; and the most tokens.
const SETTINGS: [(bool, Option<bool>, bool, usize); 6] = [
    (true, None, true, UNLIMITED),
    (true, None, true, 8),
    (false, None, true, UNLIMITED),
    (true, None, false, UNLIMITED),
    (true, Some(true), false, UNLIMITED),
    (false, Some(false), true, UNLIMITED),
];

static PAIRS: [OnceLock<Pair>; SETTINGS.len()] = [const { OnceLock::new() }; SETTINGS.len()];

/// Both tokenizers in a setting. The library takes seconds to set its own up.
fn pair(setting: usize) -> &'static Pair {
    let (clean, strip, lower, most) = SETTINGS[setting];
    PAIRS[setting]
        .get_or_init(|| Pair::new(bert(BertNormalizer::new(clean, clean, strip, lower)), most))
}

/// Sets all of them up: what an input takes is measured, and this is no part of it.
pub fn prepare() {
    (0..SETTINGS.len()).for_each(|setting| _ = pair(setting));
}

/// Checks that both find the same tokens.
pub fn compare(input: &[u8]) {
    let Some((&first, text)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let pair = pair(first as usize % SETTINGS.len());
    pair.assert_same(&text);
    pair.assert_same_words(&text.split('\n').collect::<Vec<_>>());
}
