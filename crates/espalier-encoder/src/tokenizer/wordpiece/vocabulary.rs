//! A vocabulary: the text of all tokens in one string, and a hash table to find them.

use std::fmt;

/// Tokens and their ids.
#[derive(Clone, Default)]
pub struct Vocabulary {
    /// The text of all tokens, one after the other.
    text: String,
    tokens: Vec<Token>,
    /// Hash table with open addressing and linear probing: 1 + the index of a token, or 0. The
    /// length is a power of two, and at most half of the slots are used.
    slots: Vec<u32>,
    /// Length of the longest token in bytes.
    longest: usize,
}

#[derive(Clone)]
struct Token {
    hash: u32,
    id: u32,
    start: u32,
    length: u32,
}

impl Vocabulary {
    /// The largest text of a vocabulary in bytes.
    pub const LARGEST: usize = u32::MAX as usize / 2;

    /// The inverse of [`Vocabulary::pieces`].
    ///
    /// # Errors
    /// What is wrong with the pieces.
    pub fn from_pieces(text: &str, pieces: &[[u32; 2]]) -> Result<Self, String> {
        if text.len() > Self::LARGEST {
            return Err("the vocabulary is longer than 2 GiB".into());
        }
        let slots = vec![0; (2 * pieces.len() + 2).next_power_of_two()];
        let (all, tokens) = (String::with_capacity(text.len()), Vec::with_capacity(pieces.len()));
        let (mut vocabulary, mut start) = (Self { text: all, tokens, slots, longest: 0 }, 0);
        for &[end, id] in pieces {
            let token = text.get(start..end as usize);
            vocabulary.insert(
                token.ok_or_else(|| format!("no token ends at byte {end} of the vocabulary"))?,
                id,
            );
            start = end as usize;
        }
        match text.len() - start {
            0 => Ok(vocabulary),
            rest => Err(format!("the last {rest} bytes of the vocabulary are no token")),
        }
    }

    /// The text of all tokens, one after the other, and for each token the byte after its last, and
    /// its id.
    pub fn pieces(&self) -> (&str, impl Iterator<Item = [u32; 2]>) {
        (&self.text, self.tokens.iter().map(|token| [token.start + token.length, token.id]))
    }

    /// Adds a token, or changes its id. All tokens together must not be longer than
    /// [`Self::LARGEST`].
    pub fn insert(&mut self, token: &str, id: u32) {
        if 2 * (self.tokens.len() + 1) > self.slots.len() {
            self.grow();
        }
        let hash = Hash::new().bytes(token.as_bytes()).finish();
        let slot = self.slot(hash, token.as_bytes(), &[]);
        match self.slots[slot] {
            0 => {
                let (start, length) = (self.text.len() as u32, token.len() as u32);
                self.text.push_str(token);
                self.tokens.push(Token { hash, id, start, length });
                self.slots[slot] = self.tokens.len() as u32;
                self.longest = self.longest.max(token.len());
            }
            known => self.tokens[known as usize - 1].id = id,
        }
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The highest id, if there are tokens.
    pub fn highest_id(&self) -> Option<u32> {
        self.tokens.iter().map(|token| token.id).max()
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.find(Hash::new().bytes(token.as_bytes()).finish(), token.as_bytes(), &[])
    }

    /// The token with an id, by linear search.
    pub fn token(&self, id: u32) -> Option<&str> {
        let token = self.tokens.iter().find(|token| token.id == id)?;
        self.text.get(token.start as usize..(token.start + token.length) as usize)
    }

    /// The longest token that consists of `prefix` and the beginning of `text`: its id, and how
    /// many bytes of `text` it takes.
    ///
    /// `hashes` is a buffer, which is reused from call to call.
    pub fn longest(&self, prefix: &str, text: &str, hashes: &mut Vec<u32>) -> Option<(u32, usize)> {
        let most = text.len().min(self.longest.saturating_sub(prefix.len()));
        let mut hash = Hash::new().bytes(prefix.as_bytes());
        hashes.clear();
        hashes.extend(text.as_bytes()[..most].iter().map(|&byte| {
            hash = hash.byte(byte);
            hash.finish()
        }));
        let mut ends = (1..=most).rev().filter(|&end| text.is_char_boundary(end));
        ends.find_map(|end| {
            Some((self.find(hashes[end - 1], prefix.as_bytes(), &text.as_bytes()[..end])?, end))
        })
    }

    fn find(&self, hash: u32, prefix: &[u8], rest: &[u8]) -> Option<u32> {
        if self.tokens.is_empty() {
            return None;
        }
        match self.slots[self.slot(hash, prefix, rest)] {
            0 => None,
            known => Some(self.tokens[known as usize - 1].id),
        }
    }

    /// The slot of the token `prefix` + `rest`, or the free slot for it.
    fn slot(&self, hash: u32, prefix: &[u8], rest: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots[slot] {
                0 => return slot,
                known if self.is(&self.tokens[known as usize - 1], hash, prefix, rest) => {
                    return slot;
                }
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn is(&self, token: &Token, hash: u32, prefix: &[u8], rest: &[u8]) -> bool {
        let length = token.length as usize;
        if token.hash != hash || length != prefix.len() + rest.len() {
            return false;
        }
        let bytes = &self.text.as_bytes()[token.start as usize..][..length];
        // Byte by byte: the word has just been written byte by byte, and a wider load would wait
        // for these stores.
        bytes.iter().zip(prefix.iter().chain(rest)).all(|(a, b)| a == b)
    }

    fn grow(&mut self) {
        let slots = (2 * self.slots.len()).max(64);
        self.slots = vec![0; slots];
        for (index, token) in self.tokens.iter().enumerate() {
            let mut slot = token.hash as usize & (slots - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (slots - 1);
            }
            self.slots[slot] = index as u32 + 1;
        }
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} tokens", self.len())
    }
}

/// A hash that is updated byte by byte, so that one pass hashes all prefixes of a text.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(u64::MAX)
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |hash, &byte| hash.byte(byte))
    }

    fn byte(self, byte: u8) -> Self {
        // Fibonacci hashing: the factor is odd, so that no information is lost, and its bits are
        // those of the golden ratio, so that each byte affects all higher bits.
        Self((self.0 ^ byte as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn finish(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
