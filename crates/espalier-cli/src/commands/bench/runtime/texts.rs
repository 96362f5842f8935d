//! Texts of known numbers of tokens.

use super::Args;
use crate::input::read_lines;
use anyhow::ensure;
use espalier_data::sampling::generator;
use espalier_encoder::Tokenizer;
use rand::Rng;

/// Words that most tokenizers leave whole; those that do not are left out.
const WORDS: &str = "a the of in on to and is was at for with from by not this that it you we \
                     they he she his her city river train music play book flight hotel weather \
                     great good time new water light open bank team game price film food heart";

/// Makes texts of as many tokens as it is asked for.
pub(super) struct Composer<'a> {
    tokenizer: &'a Tokenizer,
    words: Vec<&'static str>,
    /// Tokens of a text without words.
    special: usize,
}

impl<'a> Composer<'a> {
    pub fn new(tokenizer: &'a Tokenizer) -> anyhow::Result<Self> {
        let tokens = |text: &str| tokenizer.encode(text).ids.len();
        let special = tokens("");
        let words: Vec<&str> =
            WORDS.split_whitespace().filter(|word| tokens(word) == special + 1).collect();
        ensure!(
            !words.is_empty(),
            "this backbone's tokenizer has no token for any common English word to make texts of"
        );
        Ok(Self { tokenizer, words, special })
    }

    /// A text; every seed gives another.
    pub fn text(&self, tokens: usize, seed: u64) -> anyhow::Result<String> {
        let mut rng = generator(seed, "bench texts");
        let word = |_| self.words[rng.random_range(0..self.words.len())];
        let text = (self.special..tokens).map(word).collect::<Vec<_>>().join(" ");
        let encoded = self.tokenizer.encode(&text);
        let (least, most) = (self.special, self.tokenizer.max_tokens());
        ensure!(
            encoded.ids.len() == tokens && !encoded.truncated,
            "there is no text of {tokens} tokens: this backbone's have {least} to {most}"
        );
        Ok(text)
    }

    /// Texts of one length.
    pub fn texts(&self, tokens: usize, count: usize) -> anyhow::Result<Vec<String>> {
        (0..count).map(|seed| self.text(tokens, seed as u64)).collect()
    }

    /// Texts of mixed lengths, or those that a file lists.
    pub fn mixed(&self, args: &Args) -> anyhow::Result<Vec<String>> {
        let longest = self.tokenizer.max_tokens();
        let lengths: Vec<usize> = match &args.lengths {
            // All lengths from 5 to 64 equally often, and neighbours far apart.
            None => (0..args.texts).map(|i| (5 + i * 37 % 60).min(longest)).collect(),
            Some(path) => {
                let lines: Vec<String> = read_lines(Some(path))?;
                let lines: Vec<String> =
                    lines.into_iter().filter(|line| !line.trim().is_empty()).collect();
                ensure!(
                    !lines.is_empty(),
                    "{} is empty: one text, or one length, per line is needed",
                    path.display()
                );
                match lines.iter().map(|line| line.trim().parse()).collect() {
                    Ok(lengths) => lengths,
                    Err(std::num::ParseIntError { .. }) => return Ok(lines),
                }
            }
        };
        let texts = lengths.iter().enumerate();
        texts.map(|(seed, &tokens)| self.text(tokens, seed as u64)).collect()
    }
}
