//! Labels, concepts and sources, with how often each occurs.

use std::collections::HashMap;

use serde::Serialize;

/// Names listed at most.
const LISTED: usize = 20;

/// Mentions from which on it is odd that all are of one word.
const ENOUGH: u64 = 20;

/// The names of one sort in a file.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Group {
    /// What they are: `labels`, `concepts` or `sources`.
    pub of: &'static str,
    /// Number of names.
    pub distinct: usize,
    /// Number of mentions.
    pub mentions: u64,
    /// The most frequent, with their numbers.
    pub most: Vec<(String, u64)>,
    /// Number of names that occur once.
    pub once: usize,
    /// The first of those by the alphabet.
    pub seen_once: Vec<String>,
    /// Frequent entity labels that are never more than one word long.
    pub always_one_word: Vec<String>,
}

/// A group while it is counted: for each name the mentions, and the longest of them in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(HashMap<String, (u64, usize)>);

impl Names {
    pub fn add(&mut self, name: &str, words: usize) {
        match self.0.get_mut(name) {
            Some((mentions, longest)) => {
                (*mentions, *longest) = (*mentions + 1, words.max(*longest))
            }
            None => _ = self.0.insert(name.to_owned(), (1, words)),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn summary(&self, of: &'static str) -> Option<Group> {
        let mut most: Vec<(String, u64)> =
            self.0.iter().map(|(name, &(count, _))| (name.clone(), count)).collect();
        most.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mentions = most.iter().map(|(_, count)| count).sum();
        let seen_once: Vec<String> =
            most.iter().filter(|(_, count)| *count == 1).map(|(name, _)| name.clone()).collect();
        let one_word = |(name, count): &&(String, u64)| {
            *count >= ENOUGH && self.0.get(name).is_some_and(|name| name.1 == 1)
        };
        let always_one_word =
            most.iter().filter(one_word).map(|(name, _)| name.clone()).take(LISTED).collect();
        let (distinct, once) = (most.len(), seen_once.len());
        most.truncate(LISTED);
        let seen_once = seen_once.into_iter().take(LISTED).collect();
        (distinct > 0).then_some(Group {
            of,
            distinct,
            mentions,
            most,
            once,
            seen_once,
            always_one_word,
        })
    }
}
