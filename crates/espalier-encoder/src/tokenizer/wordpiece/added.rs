//! Tokens that are themselves wherever a text contains them, such as `[MASK]`.

use std::ops::Range;

/// Added tokens, found in a text as it stands: before normalisation, inside words or not.
#[derive(Clone, Debug)]
pub struct AddedTokens {
    tokens: Vec<(String, u32)>,
    /// For each byte whether a token begins with it.
    starts: [bool; 256],
}

impl AddedTokens {
    /// Takes tokens, none of them empty, and their ids.
    pub fn new(tokens: Vec<(String, u32)>) -> Self {
        let mut starts = [false; 256];
        for (text, _) in &tokens {
            starts[text.as_bytes()[0] as usize] = true;
        }
        Self { tokens, starts }
    }

    /// The first token in a text, and of those that begin there the longest: where it is and its
    /// id.
    pub fn find(&self, text: &str) -> Option<(Range<usize>, u32)> {
        let candidates = text.bytes().enumerate().filter(|&(_, byte)| self.starts[byte as usize]);
        candidates.map(|(start, _)| start).find_map(|start| {
            let rest = &text.as_bytes()[start..];
            let here = self.tokens.iter().filter(|(token, _)| rest.starts_with(token.as_bytes()));
            let (token, id) = here.max_by_key(|(token, _)| token.len())?;
            Some((start..start + token.len(), *id))
        })
    }
}
