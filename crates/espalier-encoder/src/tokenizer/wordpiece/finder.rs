//! Added tokens that are looked for in the normalised text, such as `<unk>` in MPNet.

/// What normalised text is made of.
pub enum Found {
    /// A character, and the one of the text that it comes from.
    Character(char, usize),
    /// An added token: its id, its first character in the text and the one after its last.
    Token(u32, (usize, usize)),
}

/// Finds the first token in the characters that it is given in order, and of those that begin there
/// the longest.
pub struct Finder<'t> {
    tokens: &'t [(String, u32)],
    /// What may be the beginning of a token.
    held: String,
    /// Where each character of it comes from.
    origins: Vec<usize>,
}

impl<'t> Finder<'t> {
    pub fn new(tokens: &'t [(String, u32)]) -> Self {
        Self { tokens, held: String::new(), origins: Vec::new() }
    }

    /// Takes the next character and calls `emit` with what is certain by now.
    pub fn push(&mut self, c: char, origin: usize, emit: &mut impl FnMut(Found)) {
        if self.held.is_empty() && !self.tokens.iter().any(|(token, _)| token.starts_with(c)) {
            return emit(Found::Character(c, origin));
        }
        self.held.push(c);
        self.origins.push(origin);
        while !self.held.is_empty() && !self.may_grow() {
            self.emit_first(emit);
        }
    }

    /// Ends the text: gives out what was held back.
    pub fn flush(&mut self, emit: &mut impl FnMut(Found)) {
        while !self.held.is_empty() {
            self.emit_first(emit);
        }
    }

    /// Whether what is held is the beginning of a token, and not yet all of it.
    fn may_grow(&self) -> bool {
        let held = self.held.as_str();
        self.tokens.iter().any(|(token, _)| token.len() > held.len() && token.starts_with(held))
    }

    fn emit_first(&mut self, emit: &mut impl FnMut(Found)) {
        let here = self.tokens.iter().filter(|(token, _)| self.held.starts_with(token.as_str()));
        let token = here.max_by_key(|(token, _)| token.len());
        let count = token.map_or(1, |(token, _)| token.chars().count());
        let span = (self.origins[0], self.origins[count - 1] + 1);
        let characters: String = self.held.chars().take(count).collect();
        self.held.drain(..characters.len());
        self.origins.drain(..count);
        match token {
            Some(&(_, id)) => emit(Found::Token(id, span)),
            None => characters.chars().for_each(|c| emit(Found::Character(c, span.0))),
        }
    }
}
