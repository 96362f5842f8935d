//! Every character, alone and between others.

use espalier_testing::wordpiece::{Pair, UNLIMITED, bert};
use tokenizers::normalizers::BertNormalizer;

fn assert_every_character_is_the_same(normalizer: BertNormalizer) {
    let pair = Pair::new(bert(normalizer), UNLIMITED);
    let mut text = String::new();
    // Planes 4 to 13 are empty.
    let characters = ('\0'..='\u{3ffff}')
        .chain(('\u{40000}'..='\u{dffff}').step_by(61))
        .chain('\u{e0000}'..=char::MAX);
    for (index, c) in characters.enumerate() {
        // Alone, next to itself in a word, and between marks that stand in the wrong order.
        text.extend([' ', c, ' ', 'a', c, c, 'b', ' ', '\u{e9}', c, '\u{323}']);
        if index % 16 == 15 {
            pair.assert_same(&text);
            text.clear();
        }
    }
    pair.assert_same(&text);
}

#[test]
fn uncased() {
    assert_every_character_is_the_same(BertNormalizer::new(true, true, None, true));
}

#[test]
fn cased() {
    assert_every_character_is_the_same(BertNormalizer::new(true, true, None, false));
}

#[test]
fn lowercase_with_accents_and_control_characters() {
    assert_every_character_is_the_same(BertNormalizer::new(false, false, Some(false), true));
}

#[test]
fn uppercase_without_accents() {
    assert_every_character_is_the_same(BertNormalizer::new(false, true, Some(true), false));
}
