//! Takes a validation set out of a corpus.

use std::collections::HashSet;
use std::hash::Hash;

use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Corpus, Part, spool};
use crate::error::DataError;

impl<T: Serialize + DeserializeOwned> Corpus<T> {
    /// Takes out `count` random records, but at most a tenth of all, and every other record with
    /// the `key` of one of them. Returns them, part after part; they are never drawn again. A part
    /// that would be left with fewer than two records keeps all. Drawing starts again from the
    /// beginning.
    ///
    /// Reads all records once, if there are any to take out.
    ///
    /// # Errors
    /// [`DataError::Spool`].
    pub fn hold_out<K: Eq + Hash>(
        &mut self,
        count: usize,
        mut rng: ChaCha8Rng,
        key: impl Fn(&T) -> K,
    ) -> Result<Vec<T>, DataError> {
        let total = self.len();
        let count = count.min(total / 10);
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut keys = HashSet::new();
        for index in sample(&mut rng, total, count) {
            keys.insert(key(&self.record(index)?));
        }
        let (mut held, mut kept) = (Vec::new(), HashSet::new());
        for part in &mut self.parts {
            let (mut records, mut gaps) = (Vec::new(), Vec::new());
            for index in 0..part.size {
                let record: T = self.spool.get(part.number, index).map_err(spool::failed)?;
                if keys.contains(&key(&record)) {
                    gaps.push(index - records.len());
                    records.push(record);
                }
            }
            if part.size - records.len() < 2 {
                kept.extend(records.iter().map(&key));
                continue;
            }
            part.size -= records.len();
            (part.order, part.gaps) = (part.order.over(part.size), gaps);
            held.extend(records);
        }
        // Records that a small part kept are trained on there.
        held.retain(|record| !kept.contains(&key(record)));
        Ok(held)
    }

    /// The record with this index over all parts.
    fn record(&mut self, mut index: usize) -> Result<T, DataError> {
        let fits = |part: &&Part| {
            let fits = index < part.size;
            index -= if fits { 0 } else { part.size };
            fits
        };
        let number = self.parts.iter().find(fits).map_or(0, |part| part.number);
        self.spool.get(number, index).map_err(spool::failed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sampling::generator;
    use crate::{Annotation, ConceptSentence, TextPair};

    /// 100 different sentences, each twice.
    fn sentences() -> Corpus<ConceptSentence> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let row =
            |n: usize| format!("{}\n", json!({"tokens": [format!("w{}", n % 100)], "spans": []}));
        std::fs::write(file.path(), (0..200).map(row).collect::<String>()).unwrap();
        Corpus::sentences(&[file.path().into()], Annotation::Required, 1).unwrap()
    }

    fn words(sentences: &[ConceptSentence]) -> Vec<String> {
        sentences.iter().map(|sentence| sentence.tokens[0].clone()).collect()
    }

    fn held(corpus: &mut Corpus<ConceptSentence>, count: usize, seed: u64) -> Vec<String> {
        words(
            &corpus
                .hold_out(count, generator(seed, "test"), |sentence| sentence.tokens.clone())
                .unwrap(),
        )
    }

    #[test]
    fn held_out_records_and_their_copies_are_not_drawn_and_all_others_are() {
        let mut corpus = sentences();
        let held = held(&mut corpus, 5, 1);
        assert!(
            (6..=10).contains(&held.len()) && held.len().is_multiple_of(2),
            "up to five texts and their copies: {held:?}"
        );
        assert_eq!(corpus.len(), 200 - held.len());
        let mut epoch = words(&corpus.batch(corpus.len()).unwrap());
        assert!(epoch.iter().all(|word| !held.contains(word)));
        epoch.extend(held);
        epoch.sort();
        let mut all: Vec<String> = (0..200).map(|n| format!("w{}", n % 100)).collect();
        all.sort();
        assert_eq!(epoch, all);
    }

    #[test]
    fn the_seed_decides_and_a_tenth_is_the_most() {
        let split = |count, seed| held(&mut sentences(), count, seed);
        assert_eq!(split(5, 1), split(5, 1));
        assert_ne!(split(5, 1), split(5, 2));
        assert!(split(0, 1).is_empty());
        assert!((20..=40).contains(&split(10_000, 1).len()));
    }

    #[test]
    fn small_parts_keep_all_and_none_of_theirs_is_validated_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let row = |n: usize| {
            // The source "small" has two pairs, whose anchors are in the large one too.
            let (anchor, source) = if n < 2 { (n, "small") } else { (n - 2, "large") };
            let (anchor, positive) = (format!("a{anchor}"), format!("p{n}"));
            format!("{}\n", json!({"anchor": anchor, "positive": positive, "source": source}))
        };
        std::fs::write(file.path(), (0..42).map(row).collect::<String>()).unwrap();
        for seed in 0..20 {
            let mut corpus = Corpus::pairs(&[file.path().into()], 0.5, 1).unwrap();
            let held = corpus
                .hold_out(4, generator(seed, "test"), |pair: &TextPair| pair.anchor.clone())
                .unwrap();
            let drawn: Vec<TextPair> =
                (0..40).flat_map(|_| corpus.batch_of_one_part(99).unwrap()).collect();
            assert!(held.iter().all(|held| drawn.iter().all(|drawn| drawn.anchor != held.anchor)));
            assert!(drawn.iter().any(|pair| pair.source == "small"));
        }
    }
}
