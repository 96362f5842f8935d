//! What a file contains, in numbers: how often each name occurs, and how long texts are.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

/// The most names that a report lists.
const LISTED: usize = 20;

/// Mentions of an entity label from which on it is suspicious that all are of one word.
const MANY_MENTIONS: u64 = 20;

/// The labels, concepts or sources of a file.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Group {
    /// What they are: `labels`, `concepts` or `sources`.
    pub of: &'static str,
    /// Number of names.
    pub distinct: usize,
    /// Number of mentions.
    pub mentions: u64,
    /// The most frequent names, with their numbers of mentions.
    pub most: Vec<(String, u64)>,
    /// Number of names that occur once.
    pub once: usize,
    /// The first of those in alphabetical order.
    pub seen_once: Vec<String>,
    /// Frequent entity labels that are never more than one word long.
    pub always_one_word: Vec<String>,
}

/// Counts names: for each the mentions, and the number of words of the longest mention.
#[derive(Clone, Debug, Default)]
pub(super) struct NameCounts(HashMap<String, (u64, usize)>);

impl NameCounts {
    pub fn add(&mut self, name: &str, words: usize) {
        match self.0.get_mut(name) {
            Some((mentions, longest)) => {
                (*mentions, *longest) = (*mentions + 1, words.max(*longest));
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
            *count >= MANY_MENTIONS && self.0.get(name).is_some_and(|name| name.1 == 1)
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

/// A distribution of lengths.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Lengths {
    /// Of what, such as "anchor, words".
    pub of: String,
    /// Number of texts.
    pub count: u64,
    /// Mean length.
    pub mean: f64,
    /// The shortest, the 50th, 90th and 99th percentile, and the longest.
    pub percentiles: [usize; 5],
    /// Number of texts of 0, 1, 2 to 3, 4 to 7 ... words or tokens.
    pub histogram: Vec<u64>,
}

/// Counts lengths: for each the number of texts.
#[derive(Clone, Debug, Default)]
pub(super) struct LengthCounts(BTreeMap<usize, u64>);

impl LengthCounts {
    pub fn add(&mut self, length: usize) {
        *self.0.entry(length).or_default() += 1;
    }

    pub fn summary(&self, of: String) -> Option<Lengths> {
        let count: u64 = self.0.values().sum();
        let (&shortest, &longest) = (self.0.keys().next()?, self.0.keys().next_back()?);
        let total: f64 = self.0.iter().map(|(&length, &count)| length as f64 * count as f64).sum();
        let mut histogram = vec![0; bin(longest) + 1];
        self.0.iter().for_each(|(&length, count)| histogram[bin(length)] += count);
        let [half, most, nearly_all] =
            [0.5, 0.9, 0.99].map(|share| self.percentile((share * count as f64).ceil() as u64));
        let percentiles = [shortest, half, most, nearly_all, longest];
        Some(Lengths { of, count, mean: total / count as f64, percentiles, histogram })
    }

    /// The length of the text at `rank`, from 1, where texts are sorted by length.
    fn percentile(&self, rank: u64) -> usize {
        let mut below = 0;
        let reaches = self.0.iter().find(|&(_, count)| {
            below += count;
            below >= rank
        });
        reaches.map_or(0, |(&length, _)| length)
    }
}

/// The bin of a histogram, 0, 1, 2 to 3, 4 to 7 ...: the number of binary digits.
fn bin(length: usize) -> usize {
    (usize::BITS - length.leading_zeros()) as usize
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let highest = self.histogram.iter().copied().max().unwrap_or(1).max(1);
        let first = self.histogram.iter().position(|&count| count > 0).unwrap_or(0);
        let bar = |&count: &u64| {
            if count == 0 { ' ' } else { BARS[((count * 8).div_ceil(highest) - 1) as usize] }
        };
        let bars: String = self.histogram[first..].iter().map(bar).collect();
        let [shortest, half, most, nearly_all, longest] = self.percentiles;
        write!(f, "{:<17} {shortest:>4} |{bars}| {longest:<6} ", self.of)?;
        write!(
            f,
            "mean {:.1}, half up to {half}, 90 % up to {most}, 99 % up to {nearly_all}",
            self.mean
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_lengths_that_occur() {
        let mut counted = LengthCounts::default();
        (1..=100).for_each(|length| counted.add(length));
        let lengths = counted.summary("text, words".into()).unwrap();
        assert_eq!((lengths.percentiles, lengths.mean), ([1, 50, 90, 99, 100], 50.5));
        assert_eq!(lengths.histogram, [0, 1, 2, 4, 8, 16, 32, 37]);
        assert_eq!(
            lengths.to_string(),
            "text, words          1 |▁▁▁▂▄▇█| 100    mean 50.5, half up to 50, 90 % up to 90, 99 \
             % up to 99"
        );
        assert_eq!(LengthCounts::default().summary(String::new()), None);
    }
}
