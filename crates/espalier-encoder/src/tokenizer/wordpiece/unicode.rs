//! The properties of characters that BERT's normalisation needs.
//!
//! They are those of the `tokenizers` library, which uses an older version of Unicode than the
//! standard library. With another version, some texts would be split in another way than in the
//! model's training.

use super::tables::{CLASSES, NARROW, WIDE};

/// The properties of a character beyond ASCII, in one byte.
#[derive(Clone, Copy)]
pub struct Class(u8);

impl Class {
    pub fn of(c: char) -> Self {
        let after = CLASSES.partition_point(|&change| change >> 8 <= c as u32);
        Self(CLASSES[after - 1] as u8) // The first change is at '\0'.
    }

    /// Control, format and private-use characters, and U+FFFD.
    fn is_removed(self) -> bool {
        self.0 == 1
    }

    fn is_punctuation(self) -> bool {
        self.0 == 2
    }

    /// Non-spacing marks (general category Mn), such as accents.
    pub fn is_accent(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// The rank of the character's canonical combining class among all classes; 0 for characters
    /// that marks do not move past.
    pub fn rank(self) -> u8 {
        if self.0 & 0xc0 == 0 { 0 } else { self.0 & 0x3f }
    }
}

/// Whether cleaning a text removes this character. Cleaning also turns whitespace into spaces,
/// which makes no difference here.
pub fn is_removed(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        _ if c.is_ascii() => c.is_ascii_control(),
        _ => Class::of(c).is_removed(),
    }
}

/// Whether this character is a word by itself.
pub fn is_punctuation(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_punctuation() } else { Class::of(c).is_punctuation() }
}

/// Whether a character is Chinese for BERT: the blocks of CJK ideographs in its original code.
pub fn is_chinese(c: char) -> bool {
    matches!(
        c,
        '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{2a6df}'
            | '\u{2a700}'..='\u{2b81f}'
            | '\u{2b920}'..='\u{2ceaf}'
            | '\u{2f800}'..='\u{2fa1f}'
    )
}

/// Calls `part` with the characters of the canonical decomposition, without accents that are not
/// the first: they would be removed next.
pub fn decompose(c: char, mut part: impl FnMut(char)) {
    let code = c as u32;
    if let Some(syllable) = code.checked_sub(0xac00).filter(|&syllable| syllable < 11_172) {
        return decompose_hangul(syllable, part);
    }
    if let Ok(found) = NARROW.binary_search_by_key(&code, |pair| pair >> 16) {
        return part(char::from_u32(NARROW[found] & 0xffff).unwrap_or(c));
    }
    let of_c = |pair: u64| (pair >> 32) as u32 == code;
    let first = WIDE.partition_point(|&pair| ((pair >> 32) as u32) < code);
    match WIDE.get(first) {
        Some(&pair) if of_c(pair) => {
            for &pair in WIDE[first..].iter().take_while(|&&pair| of_c(pair)) {
                part(char::from_u32(pair as u32).unwrap_or(c));
            }
        }
        _ => part(c),
    }
}

/// The leading consonant, vowel and, for most, trailing consonant of a syllable (the Unicode
/// standard, 3.12).
fn decompose_hangul(syllable: u32, mut part: impl FnMut(char)) {
    let (vowels, trailing) = (21, 28);
    let letters = [
        0x1100 + syllable / (vowels * trailing),
        0x1161 + syllable / trailing % vowels,
        0x11a7 + syllable % trailing,
    ];
    letters
        .into_iter()
        .filter(|&letter| letter != 0x11a7)
        .filter_map(char::from_u32)
        .for_each(&mut part);
}
