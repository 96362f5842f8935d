//! Corpora of any size, drawn from at random. Each record is read and validated once and then kept
//! in a temporary file; memory does not grow with the number of records.

mod builder;
mod config;
mod hold_out;
mod pieces;
mod spool;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::sampling::{Position, Shuffled, Weighted};
use spool::Spool;

pub use builder::MAX_SOURCES;
pub use config::CorpusConfig;
pub use pieces::{Role, TextPiece};
pub use spool::read_at;

/// Records of one type, in parts: what is drawn from together. A part is a source of pairs, or all
/// files of one weight.
///
/// Each part is drawn from in epochs, each in a new random order. Parts are drawn in proportion to
/// their mean weight times size^exponent.
///
/// # Examples
/// ```
/// use espalier_data::{Corpus, CorpusConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("faq.csv");
/// std::fs::write(&path, "question,answer\na,1\nb,2\nc,3\nd,4\n")?;
/// let files = [CorpusConfig::from(path)];
/// let mut corpus = Corpus::pairs(&files, 0.5, 7)?;
/// assert_eq!(corpus.len(), 4);
/// let first = corpus.batch_of_one_part(2)?;
/// assert_eq!(first.len(), 2);
///
/// // A corpus restored from a position continues as if never interrupted.
/// let position = corpus.position();
/// let mut restored = Corpus::pairs(&files, 0.5, 7)?;
/// restored.seek(&position)?;
/// assert_eq!(restored.batch_of_one_part(2)?, corpus.batch_of_one_part(2)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Corpus<T> {
    spool: Spool<T>,
    parts: Vec<Part>,
    draw: Weighted,
}

#[derive(Debug)]
struct Part {
    /// Its number in the spool.
    number: usize,
    /// Number of records that can be drawn.
    size: usize,
    order: Shuffled,
    /// For each record held out, ascending, the number of records before it that are not.
    gaps: Vec<usize>,
}

impl Part {
    /// The place in the spool of the record that is `index` among those not held out.
    fn place(&self, index: usize) -> usize {
        index + self.gaps.partition_point(|&before| before <= index)
    }
}

/// How far a corpus has been drawn from: what a checkpoint keeps of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusPosition {
    /// Of the choice of parts.
    pub draw: Position,
    /// Of each part: its number of records, by which another corpus is recognised, and its
    /// position.
    pub parts: Vec<(u64, Position)>,
}

impl<T: Serialize + DeserializeOwned> Corpus<T> {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Number of records that can be drawn.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.size).sum()
    }

    /// Number of records of the largest part.
    pub fn largest_part(&self) -> usize {
        self.parts.iter().map(|part| part.size).max().unwrap_or(0)
    }

    /// The next `count` records, all of one part and none twice; fewer if the part that is drawn is
    /// smaller.
    ///
    /// # Errors
    /// [`DataError::Spool`].
    ///
    /// # Panics
    /// If the corpus is empty.
    pub fn batch_of_one_part(&mut self, count: usize) -> Result<Vec<T>, DataError> {
        let part = self.draw.draw();
        self.take(part, count)
    }

    /// The next `count` records, none twice, each of a part drawn anew; fewer if a part is drawn
    /// more often than it has records.
    ///
    /// # Errors
    /// [`DataError::Spool`].
    ///
    /// # Panics
    /// If the corpus is empty.
    pub fn batch(&mut self, count: usize) -> Result<Vec<T>, DataError> {
        let mut counts = vec![0; self.parts.len()];
        (0..count).for_each(|_| counts[self.draw.draw()] += 1);
        let mut records = Vec::with_capacity(count);
        for (part, count) in counts.into_iter().enumerate().filter(|&(_, count)| count > 0) {
            records.extend(self.take(part, count)?);
        }
        Ok(records)
    }

    fn take(&mut self, part: usize, count: usize) -> Result<Vec<T>, DataError> {
        let part = &mut self.parts[part];
        let indices = part.order.batch(count);
        indices
            .into_iter()
            .map(|index| self.spool.get(part.number, part.place(index)).map_err(spool::failed))
            .collect()
    }

    /// How far the corpus has been drawn from.
    pub fn position(&self) -> CorpusPosition {
        let parts =
            self.parts.iter().map(|part| (part.size as u64, part.order.position())).collect();
        CorpusPosition { draw: self.draw.position(), parts }
    }

    /// Continues from `position`, that of a corpus of the same files, seed and settings.
    ///
    /// # Errors
    /// [`DataError::OtherCorpus`] when this one has parts of other sizes.
    pub fn seek(&mut self, position: &CorpusPosition) -> Result<(), DataError> {
        let sizes = self.parts.iter().map(|part| part.size as u64);
        if !sizes.eq(position.parts.iter().map(|part| part.0)) {
            let expected =
                position.parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.0));
            return Err(DataError::OtherCorpus { expected, found: self.len() as u64 });
        }
        self.draw.seek(position.draw);
        self.parts
            .iter_mut()
            .zip(&position.parts)
            .for_each(|(part, (_, position))| part.order.seek(*position));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::{Annotation, TextPair};

    /// A file of `sizes` pairs of each source, `NAME 0`, `NAME 1` and so on, mixed.
    fn pairs_of(dir: &TempDir, file: &str, sizes: &[(&str, usize)]) -> CorpusConfig {
        let most = sizes.iter().map(|size| size.1).max().unwrap_or(0);
        let rows = (0..most).flat_map(|i| {
            let sources = sizes.iter().filter(move |size| i < size.1);
            sources.map(move |(source, _)| {
                json!({"anchor": format!("{source} {i}"), "positive": "p", "source": source})
            })
        });
        let path = dir.path().join(file);
        std::fs::write(&path, rows.map(|row| format!("{row}\n")).collect::<String>()).unwrap();
        path.into()
    }

    fn sentences_of(dir: &TempDir, name: &str, count: usize) -> CorpusConfig {
        let path = dir.path().join(name);
        let row = |i| format!("{}\n", json!({"tokens": [format!("{name} {i}")], "spans": []}));
        std::fs::write(&path, (0..count).map(row).collect::<String>()).unwrap();
        path.into()
    }

    fn anchors(pairs: Vec<TextPair>) -> Vec<String> {
        pairs.into_iter().map(|pair| pair.anchor).collect()
    }

    #[test]
    fn a_batch_is_of_one_source_and_epochs_visit_all_of_it() {
        let dir = TempDir::new().unwrap();
        let files = [
            pairs_of(&dir, "a.jsonl", &[("x", 6), ("y", 3), ("single", 1)]),
            pairs_of(&dir, "b.jsonl", &[("y", 9), ("z", 4)]),
        ];
        let mut corpus = Corpus::pairs(&files, 0.5, 1).unwrap();
        assert_eq!(corpus.len(), 6 + 12 + 4);
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for _ in 0..60 {
            let batch = corpus.batch_of_one_part(2).unwrap();
            assert!(batch.len() == 2 && batch[0].source == batch[1].source);
            seen.entry(batch[0].source.clone()).or_default().extend(anchors(batch));
        }
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["x", "y", "z"]);
        let epoch: BTreeSet<&String> = seen["x"][..6].iter().collect();
        assert_eq!(epoch.len(), 6);
    }

    #[test]
    fn weights_multiply_the_share_of_sources() {
        let dir = TempDir::new().unwrap();
        let mut files =
            [pairs_of(&dir, "a.jsonl", &[("a", 100)]), pairs_of(&dir, "b.jsonl", &[("b", 4)])];
        files[1].weight = 3.0;
        let mut corpus = Corpus::pairs(&files, 0.5, 1).unwrap();
        // 100^0.5 to 3 * 4^0.5, so 10 of 16; 4 standard deviations of 1600 draws are 77.
        let a = (0..1600).filter(|_| corpus.batch_of_one_part(1).unwrap()[0].source == "a").count();
        assert!(a.abs_diff(1000) < 77, "{a}");
    }

    #[test]
    fn sentences_come_in_proportion_to_size_times_weight() {
        let dir = TempDir::new().unwrap();
        let mut files =
            [sentences_of(&dir, "a", 60), sentences_of(&dir, "b", 20), sentences_of(&dir, "c", 10)];
        files[1].weight = 3.0;
        let mut corpus = Corpus::sentences(&files, Annotation::Required, 1).unwrap();
        let mut counts: BTreeMap<char, usize> = BTreeMap::new();
        for _ in 0..200 {
            for sentence in corpus.batch(13).unwrap() {
                *counts.entry(sentence.tokens[0].chars().next().unwrap()).or_default() += 1;
            }
        }
        // 60, 3 * 20 and 10 of 130; 4 standard deviations of 2600 draws are 102 and 55.
        assert_eq!(counts.values().sum::<usize>(), 2600);
        assert!(counts[&'a'].abs_diff(1200) < 102 && counts[&'c'].abs_diff(200) < 55, "{counts:?}");
    }

    #[test]
    fn files_of_one_weight_share_their_epochs() {
        let dir = TempDir::new().unwrap();
        let files = [sentences_of(&dir, "a", 7), sentences_of(&dir, "b", 3)];
        let mut corpus = Corpus::sentences(&files, Annotation::Required, 1).unwrap();
        for _ in 0..3 {
            let epoch: BTreeSet<String> = (0..5)
                .flat_map(|_| corpus.batch(2).unwrap())
                .map(|s| s.tokens[0].clone())
                .collect();
            assert_eq!(epoch.len(), 10);
        }
        assert_eq!(corpus.batch(99).unwrap().len(), 10);
    }

    #[test]
    fn after_seek_it_continues_as_if_never_interrupted() {
        let dir = TempDir::new().unwrap();
        let files = [pairs_of(&dir, "a.jsonl", &[("a", 11), ("b", 5), ("c", 2)])];
        let corpus = || Corpus::pairs(&files, 0.5, 9).unwrap();
        let mut uninterrupted = corpus();
        (0..17).for_each(|_| drop(uninterrupted.batch_of_one_part(3).unwrap()));
        let stored = serde_json::to_string(&uninterrupted.position()).unwrap();
        let mut resumed = corpus();
        resumed.seek(&serde_json::from_str(&stored).unwrap()).unwrap();
        for _ in 0..20 {
            assert_eq!(
                resumed.batch_of_one_part(3).unwrap(),
                uninterrupted.batch_of_one_part(3).unwrap()
            );
        }
        let mut other =
            Corpus::pairs(&[pairs_of(&dir, "b.jsonl", &[("a", 12), ("b", 5), ("c", 2)])], 0.5, 9)
                .unwrap();
        let error = other.seek(&resumed.position()).unwrap_err().to_string();
        assert!(error.contains("19 records, not 18"), "{error}");
    }

    #[test]
    fn empty_files_and_too_many_sources_are_refused() {
        let dir = TempDir::new().unwrap();
        let error =
            Corpus::pairs(&[pairs_of(&dir, "a.jsonl", &[])], 0.5, 1).unwrap_err().to_string();
        assert!(error.ends_with("a.jsonl: holds no records"), "{error}");
        let names: Vec<String> = (0..=MAX_SOURCES).map(|i| i.to_string()).collect();
        let sizes: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let error =
            Corpus::pairs(&[pairs_of(&dir, "b.jsonl", &sizes)], 0.5, 1).unwrap_err().to_string();
        assert!(error.contains("more than 65536 sources"), "{error}");
        assert!(
            Corpus::pairs(&[pairs_of(&dir, "c.jsonl", &sizes[..9])], 0.5, 1).unwrap().is_empty()
        );
    }
}
