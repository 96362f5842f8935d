//! BERT's tokenizer by this project and by the `tokenizers` library: the first byte selects the
//! settings, the rest is the text, whole and line by line as words.

use crate::wordpiece::{Pair, UNLIMITED, bert};
use std::sync::OnceLock;
use tokenizers::normalizers::BertNormalizer;

/// Whether control characters are dropped and Chinese characters separated, accents stripped,
/// letters lowercased; and the most tokens.
const SETTINGS: [(bool, Option<bool>, bool, usize); 6] = [
    (true, None, true, UNLIMITED),
    (true, None, true, 8),
    (false, None, true, UNLIMITED),
    (true, None, false, UNLIMITED),
    (true, Some(true), false, UNLIMITED),
    (false, Some(false), true, UNLIMITED),
];

static PAIRS: [OnceLock<Pair>; SETTINGS.len()] = [const { OnceLock::new() }; SETTINGS.len()];

/// Both tokenizers with these settings. The library takes seconds to make its own.
fn pair(setting: usize) -> &'static Pair {
    let (clean, strip, lower, most) = SETTINGS[setting];
    PAIRS[setting]
        .get_or_init(|| Pair::new(bert(BertNormalizer::new(clean, clean, strip, lower)), most))
}

/// Makes all of them, so that the time of an input, which is measured, does not include it.
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
