//! BERT's normalisation, one character at a time, each with the character of the text that it comes
//! from.

use super::unicode::{Class, decompose, is_chinese, is_dropped};
use serde::{Deserialize, Serialize};

/// What a tokenizer does to a text before it splits it into words.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Drops control characters.
    pub clean_text: bool,
    /// Puts spaces around Chinese characters.
    pub handle_chinese_chars: bool,
    /// Decomposes letters and drops their accents.
    pub strip_accents: bool,
    pub lowercase: bool,
}

impl Normalization {
    /// A whole text, normalised.
    pub fn of(self, text: &str) -> String {
        let (mut normalizer, mut normalized) = (Normalizer::new(self), String::new());
        let mut emit = |c, _| normalized.push(c);
        text.chars().for_each(|c| normalizer.push(c, 0, &mut emit));
        normalizer.flush(&mut emit);
        normalized
    }
}

/// Normalises the characters that it is given in order.
pub struct Normalizer {
    settings: Normalization,
    marks: Vec<Mark>,
    /// Where the marks stood, one for each of those that are first in their decomposition.
    origins: Vec<usize>,
    /// Where the last character before the marks stood.
    before: usize,
}

/// A character that canonical order may move.
struct Mark {
    rank: u8,
    /// None for an accent, which is dropped but takes part in the order.
    kept: Option<char>,
    is_first: bool,
}

impl Normalizer {
    pub fn new(settings: Normalization) -> Self {
        Self { settings, marks: Vec::new(), origins: Vec::new(), before: 0 }
    }

    /// Takes the text's next character, at `origin`, and calls `emit` with what becomes of it.
    pub fn push(&mut self, c: char, origin: usize, emit: &mut impl FnMut(char, usize)) {
        if self.settings.clean_text && is_dropped(c) {
            return;
        }
        if c.is_ascii() {
            self.settle(Some(c), origin, emit);
        } else if self.settings.handle_chinese_chars && is_chinese(c) {
            for c in [' ', c, ' '] {
                self.strip(c, origin, emit);
            }
        } else {
            self.strip(c, origin, emit);
        }
    }

    /// Ends the text: gives out what was held back.
    pub fn flush(&mut self, emit: &mut impl FnMut(char, usize)) {
        // Stable, as canonical order asks for.
        self.marks.sort_by_key(|mark| mark.rank);
        let mut origins = self.origins.drain(..);
        let mut origin = self.before;
        let lowercase = self.settings.lowercase;
        for mark in self.marks.drain(..) {
            // The library counts places, not characters: what has moved gets the origin of the
            // place that it has moved to.
            if mark.is_first {
                origin = origins.next().unwrap_or(origin);
            }
            if let Some(c) = mark.kept {
                lower(c, origin, lowercase, emit);
            }
        }
    }

    /// Decomposes a character (NFD), puts marks into canonical order and drops accents.
    fn strip(&mut self, c: char, origin: usize, emit: &mut impl FnMut(char, usize)) {
        if !self.settings.strip_accents {
            return self.settle(Some(c), origin, emit);
        }
        let mut is_first = true;
        decompose(c, |part| {
            let class = Class::of(part);
            let kept = (!class.is_accent()).then_some(part);
            match class.rank() {
                0 => self.settle(kept, origin, emit),
                rank => {
                    self.marks.push(Mark { rank, kept, is_first });
                    if is_first {
                        self.origins.push(origin);
                    }
                }
            }
            is_first = false;
        });
    }

    /// Takes a character that no mark moves past; None for an accent, which is dropped.
    fn settle(&mut self, kept: Option<char>, origin: usize, emit: &mut impl FnMut(char, usize)) {
        if !self.marks.is_empty() {
            self.flush(emit);
        }
        self.before = origin;
        if let Some(c) = kept {
            lower(c, origin, self.settings.lowercase, emit);
        }
    }
}

fn lower(c: char, origin: usize, lowercase: bool, emit: &mut impl FnMut(char, usize)) {
    match lowercase {
        true if c.is_ascii() => emit(c.to_ascii_lowercase(), origin),
        true => c.to_lowercase().for_each(|c| emit(c, origin)),
        false => emit(c, origin),
    }
}
