//! Tokens that are themselves wherever a text contains them, such as `[MASK]`.

use std::ops::Range;

/// Added tokens, found in a text as it stands: before normalisation, inside words or not.
#[derive(Clone, Debug)]
pub struct AddedTokens {
    /// The longest first.
    tokens: Vec<(String, u32)>,
    /// For each byte whether a token begins with it.
    starts: [bool; 256],
}

impl AddedTokens {
    /// Takes tokens, none of them empty, and their ids.
    pub fn new(mut tokens: Vec<(String, u32)>) -> Self {
        tokens.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let mut starts = [false; 256];
        for (text, _) in &tokens {
            starts[text.as_bytes()[0] as usize] = true;
        }
        Self { tokens, starts }
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokens.iter().find(|(text, _)| text == token).map(|&(_, id)| id)
    }

    /// The token with an id.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.iter().find(|&&(_, known)| known == id).map(|(text, _)| text.as_str())
    }

    /// Whether a token has this id.
    pub fn has(&self, id: u32) -> bool {
        self.token(id).is_some()
    }

    /// The highest id, if there is any token.
    pub fn highest_id(&self) -> Option<u32> {
        self.tokens.iter().map(|&(_, id)| id).max()
    }

    /// The first token in a text, and of those that begin there the longest: where it is and its id.
    pub fn find(&self, text: &str) -> Option<(Range<usize>, u32)> {
        let candidates = text.bytes().enumerate().filter(|&(_, byte)| self.starts[byte as usize]);
        candidates.map(|(start, _)| start).find_map(|start| {
            let rest = &text.as_bytes()[start..];
            let (token, id) = self.tokens.iter().find(|(token, _)| rest.starts_with(token.as_bytes()))?;
            Some((start..start + token.len(), *id))
        })
    }
}
