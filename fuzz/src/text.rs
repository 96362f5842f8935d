//! BERT's tokenizer by this project and by the `tokenizers` library: the first byte says how it is set up, the rest is the text,
//! whole and line by line as words.

#[path = "../../crates/espalier-encoder/tests/wordpiece/reference.rs"]
pub mod reference;

use reference::{Pair, UNLIMITED, bert};
use std::cell::OnceCell;
use tokenizers::normalizers::BertNormalizer;

/// Whether control characters are dropped and Chinese characters set apart, accents stripped, letters lowered; and the most tokens.
const SETTINGS: [(bool, Option<bool>, bool, usize); 6] = [
    (true, None, true, UNLIMITED),
    (true, None, true, 8),
    (false, None, true, UNLIMITED),
    (true, None, false, UNLIMITED),
    (true, Some(true), false, UNLIMITED),
    (false, Some(false), true, UNLIMITED),
];

thread_local! {
    static PAIRS: [OnceCell<Pair>; SETTINGS.len()] = const { [const { OnceCell::new() }; SETTINGS.len()] };
}

/// Checks that both find the same tokens.
pub fn compare(input: &[u8]) {
    let Some((&first, text)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let setting = first as usize % SETTINGS.len();
    let (clean, strip, lower, most) = SETTINGS[setting];
    PAIRS.with(|pairs| {
        let pair =
            pairs[setting].get_or_init(|| Pair::new(bert(BertNormalizer::new(clean, clean, strip, lower)), most));
        pair.assert_same(&text);
        pair.assert_same_words(&text.split('\n').collect::<Vec<_>>());
    });
}
