//! How long texts are.

use std::collections::BTreeMap;

use serde::Serialize;

/// Lengths while they are counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted(BTreeMap<usize, u64>);

/// A distribution of lengths.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Lengths {
    /// Of what, such as "anchor, words".
    pub of: String,
    /// Number of texts.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// The shortest, the length that 50, 90 and 99 % of the texts do not exceed, and the longest.
    pub percentiles: [usize; 5],
    /// Number of texts of 0, 1, 2 to 3, 4 to 7 ... words or tokens.
    pub histogram: Vec<u64>,
}

impl Counted {
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

    /// The length of the text at `rank`, from 1, in their order by length.
    fn percentile(&self, rank: u64) -> usize {
        let mut below = 0;
        let reaches = self.0.iter().find(|&(_, count)| {
            below += count;
            below >= rank
        });
        reaches.map_or(0, |(&length, _)| length)
    }
}

/// 0, 1, 2 to 3, 4 to 7 ...: number of binary digits.
fn bin(length: usize) -> usize {
    (usize::BITS - length.leading_zeros()) as usize
}

impl std::fmt::Display for Lengths {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
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
        let mut counted = Counted::default();
        (1..=100).for_each(|length| counted.add(length));
        let lengths = counted.summary("text, words".into()).unwrap();
        assert_eq!((lengths.percentiles, lengths.mean), ([1, 50, 90, 99, 100], 50.5));
        assert_eq!(lengths.histogram, [0, 1, 2, 4, 8, 16, 32, 37]);
        assert_eq!(
            lengths.to_string(),
            "text, words          1 |▁▁▁▂▄▇█| 100    mean 50.5, half up to 50, 90 % up to 90, 99 \
             % up to 99"
        );
        assert_eq!(Counted::default().summary(String::new()), None);
    }
}
