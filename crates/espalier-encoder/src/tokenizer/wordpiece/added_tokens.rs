//! Added tokens: one token wherever they are in a text, such as `[MASK]`.
//!
//! Most are searched for in the text as it is ([`AddedTokens`]), some in the normalised text, such
//! as `<unk>` in MPNet ([`NormalizedFinder`]).

use std::ops::Range;

/// Finds added tokens in a text before normalisation, also inside words.
#[derive(Clone, Debug)]
pub struct AddedTokens {
    tokens: Vec<(String, u32)>,
    /// For each byte whether a token begins with it.
    first_bytes: [bool; 256],
}

impl AddedTokens {
    /// For tokens with their ids. No token may be empty.
    pub fn new(tokens: Vec<(String, u32)>) -> Self {
        let mut first_bytes = [false; 256];
        for (text, _) in &tokens {
            first_bytes[text.as_bytes()[0] as usize] = true;
        }
        Self { tokens, first_bytes }
    }

    /// The range and the id of the first token in a text; of several that begin there, the longest.
    pub fn find(&self, text: &str) -> Option<(Range<usize>, u32)> {
        let candidates =
            text.bytes().enumerate().filter(|&(_, byte)| self.first_bytes[byte as usize]);
        candidates.map(|(start, _)| start).find_map(|start| {
            let rest = &text.as_bytes()[start..];
            let here = self.tokens.iter().filter(|(token, _)| rest.starts_with(token.as_bytes()));
            let (token, id) = here.max_by_key(|(token, _)| token.len())?;
            Some((start..start + token.len(), *id))
        })
    }
}

/// A part of normalised text.
pub enum Found {
    /// A character, and the index of the character of the text from which it comes.
    Character(char, usize),
    /// An added token: its id, its first character in the text and the one after its last.
    Token(u32, (usize, usize)),
}

/// Finds added tokens in normalised text, which it is given character by character.
pub struct NormalizedFinder<'t> {
    tokens: &'t [(String, u32)],
    /// Characters that may be the beginning of a token.
    pending: String,
    /// For each of them the character of the text from which it comes.
    origins: Vec<usize>,
}

impl<'t> NormalizedFinder<'t> {
    pub fn new(tokens: &'t [(String, u32)]) -> Self {
        Self { tokens, pending: String::new(), origins: Vec::new() }
    }

    /// Takes the next character, and calls `emit` with the parts that are complete.
    pub fn push(&mut self, c: char, origin: usize, emit: &mut impl FnMut(Found)) {
        if self.pending.is_empty() && !self.tokens.iter().any(|(token, _)| token.starts_with(c)) {
            return emit(Found::Character(c, origin));
        }
        self.pending.push(c);
        self.origins.push(origin);
        while !self.pending.is_empty() && !self.may_continue() {
            self.emit_first(emit);
        }
    }

    /// Ends the text: emits the pending characters.
    pub fn flush(&mut self, emit: &mut impl FnMut(Found)) {
        while !self.pending.is_empty() {
            self.emit_first(emit);
        }
    }

    /// Whether the pending characters are the beginning of a longer token.
    fn may_continue(&self) -> bool {
        let pending = self.pending.as_str();
        let longer = |token: &str| token.len() > pending.len() && token.starts_with(pending);
        self.tokens.iter().any(|(token, _)| longer(token))
    }

    /// Emits the longest token at the beginning of the pending characters, or the first of them.
    fn emit_first(&mut self, emit: &mut impl FnMut(Found)) {
        let here = self.tokens.iter().filter(|(token, _)| self.pending.starts_with(token.as_str()));
        let token = here.max_by_key(|(token, _)| token.len());
        let count = token.map_or(1, |(token, _)| token.chars().count());
        let span = (self.origins[0], self.origins[count - 1] + 1);
        let characters: String = self.pending.chars().take(count).collect();
        self.pending.drain(..characters.len());
        self.origins.drain(..count);
        match token {
            Some(&(_, id)) => emit(Found::Token(id, span)),
            None => characters.chars().for_each(|c| emit(Found::Character(c, span.0))),
        }
    }
}
