//! BERT's normalisation, one character at a time, with the character of the text from which each
//! comes.

use super::unicode::{Class, decompose, is_chinese, is_removed};
use serde::{Deserialize, Serialize};

/// What is done to a text before it is split into words.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Removes control characters.
    pub clean_text: bool,
    /// Puts spaces around Chinese characters.
    pub handle_chinese_chars: bool,
    /// Decomposes letters and removes their accents.
    pub strip_accents: bool,
    pub lowercase: bool,
}

impl Normalization {
    /// Normalises a text.
    pub fn normalize(self, text: &str) -> String {
        let (mut normalizer, mut normalized) = (Normalizer::new(self), String::new());
        let mut emit = |c, _| normalized.push(c);
        text.chars().for_each(|c| normalizer.push(c, 0, &mut emit));
        normalizer.flush(&mut emit);
        normalized
    }
}

/// Normalises a text that it is given character by character.
pub struct Normalizer {
    settings: Normalization,
    /// Marks that are not yet in canonical order.
    marks: Vec<Mark>,
    /// Where they come from, one for each mark that is the first of its decomposition.
    origins: Vec<usize>,
    /// Where the last character before the marks comes from.
    before: usize,
}

/// A character that canonical ordering may move.
struct Mark {
    rank: u8,
    /// `None` for an accent, which is removed but takes part in the ordering.
    kept: Option<char>,
    /// Whether it is the first of its decomposition.
    is_first: bool,
}

impl Normalizer {
    pub fn new(settings: Normalization) -> Self {
        Self { settings, marks: Vec::new(), origins: Vec::new(), before: 0 }
    }

    /// Takes the next character, the one at `origin`, and calls `emit` with normalised characters.
    pub fn push(&mut self, c: char, origin: usize, emit: &mut impl FnMut(char, usize)) {
        if self.settings.clean_text && is_removed(c) {
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

    /// Ends the text: emits the marks.
    pub fn flush(&mut self, emit: &mut impl FnMut(char, usize)) {
        // Canonical ordering is a stable sort.
        self.marks.sort_by_key(|mark| mark.rank);
        let mut origins = self.origins.drain(..);
        let mut origin = self.before;
        let lowercase = self.settings.lowercase;
        for mark in self.marks.drain(..) {
            // As in the library, a mark that has moved gets the origin of its new place.
            if mark.is_first {
                origin = origins.next().unwrap_or(origin);
            }
            if let Some(c) = mark.kept {
                lower(c, origin, lowercase, emit);
            }
        }
    }

    /// Decomposes a character (NFD), orders marks canonically and removes accents.
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

    /// Takes a character that marks do not move past; `None` for an accent, which is removed.
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
