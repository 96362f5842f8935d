//! Label fractions: a smaller training set that is a subset of every larger one with the same seed.
//!
//! The seed puts all examples into one order, and a fraction is the beginning of it. That makes
//! fractions nested. The beginning depends on the family, so that no label is lost needlessly:
//!
//! - Classification: the first `ceil(f n)` examples of each class of `n` examples, so that every
//!   class keeps at least one.
//! - NER: each sentence that is the first in the order to have some entity label moves to the
//!   front, and the first `ceil(f n)` of the `n` sentences are taken. At most one sentence per
//!   label moves, and every label occurs as soon as those sentences fit into the fraction. All
//!   others are a plain random sample.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::DataError;
use crate::records::examples::Examples;

/// Draws the fraction `f` of the examples by `seed`; they stay in their original order.
///
/// The fraction is a subset of every larger one with the same seed. Of each class it has at least
/// one example; of each entity label it has one as soon as that many sentences fit.
///
/// # Errors
/// [`DataError::Fraction`] unless `0 < f <= 1`.
///
/// # Examples
/// ```
/// use espalier_data::{Examples, fraction};
///
/// let rows = (0..100).map(|i| (format!("text {i}"), if i < 90 { "often" } else { "seldom" }));
/// let train = Examples::classification(rows)?;
/// let tenth = fraction(&train, 0.1, 7)?;
/// assert_eq!(tenth.label_counts().into_values().collect::<Vec<_>>(), [9, 1]);
/// # Ok::<(), espalier_data::DataError>(())
/// ```
pub fn fraction(examples: &Examples, f: f64, seed: u64) -> Result<Examples, DataError> {
    Ok(examples.select(&fraction_indices(examples, f, seed)?))
}

/// The indices of the examples of [`fraction`], in increasing order: for examples whose features
/// are cached.
///
/// # Errors
/// Those of [`fraction`].
pub fn fraction_indices(examples: &Examples, f: f64, seed: u64) -> Result<Vec<usize>, DataError> {
    if !(f > 0.0 && f <= 1.0) {
        return Err(DataError::Fraction(f));
    }
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut chosen = match examples {
        Examples::Ner(_) => first_with_labels_in_front(examples, &order, f),
        Examples::Classification(_) => first_of_each_class(examples, &order, f),
    };
    chosen.sort_unstable();
    Ok(chosen)
}

fn first_of_each_class(examples: &Examples, order: &[usize], f: f64) -> Vec<usize> {
    let mut classes: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    for &i in order {
        classes.entry(examples.labels_of(i)).or_default().push(i);
    }
    classes.values().flat_map(|members| &members[..share(f, members.len())]).copied().collect()
}

fn first_with_labels_in_front(examples: &Examples, order: &[usize], f: f64) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let brings_a_label = |&i: &usize| {
        let before = seen.len();
        seen.extend(examples.labels_of(i));
        seen.len() > before
    };
    let (front, rest): (Vec<usize>, Vec<usize>) = order.iter().copied().partition(brings_a_label);
    front.into_iter().chain(rest).take(share(f, order.len())).collect()
}

/// `ceil(f n)`, at least 1. A product that rounding put slightly above a whole number (0.07 * 100)
/// counts as that number.
fn share(f: f64, n: usize) -> usize {
    ((f * n as f64 - 1e-9).ceil().max(1.0) as usize).min(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnnotatedText, LabelledText};

    /// 30 texts of class a, 5 of b and 1 of c; the text is the example's number.
    fn texts() -> Examples {
        let label = |i| {
            if i < 30 {
                "a"
            } else if i < 35 {
                "b"
            } else {
                "c"
            }
        };
        Examples::Classification(
            (0..36).map(|i| LabelledText { text: i.to_string(), label: label(i).into() }).collect(),
        )
    }

    /// 100 sentences of one word: `rare` in one, `common` in 19, no entity in 80.
    fn sentences() -> Examples {
        let tag = |i| {
            if i == 57 {
                "B-rare"
            } else if i % 5 == 0 && i > 0 {
                "B-common"
            } else {
                "O"
            }
        };
        let sentence = |i: usize| AnnotatedText::from_tags(&[i.to_string()], &[tag(i)]);
        Examples::Ner((0..100).map(sentence).collect())
    }

    fn numbers(examples: &Examples) -> Vec<usize> {
        match examples {
            Examples::Ner(rows) => rows.iter().map(|row| row.text.parse().unwrap()).collect(),
            Examples::Classification(rows) => {
                rows.iter().map(|row| row.text.parse().unwrap()).collect()
            }
        }
    }

    #[test]
    fn classes_are_stratified_and_never_lost() {
        // ceil(0.1 * 30), ceil(0.1 * 5), ceil(0.1 * 1)
        let counts =
            |f| fraction(&texts(), f, 1).unwrap().label_counts().into_values().collect::<Vec<_>>();
        assert_eq!(counts(0.1), [3, 1, 1]);
        assert_eq!(counts(0.5), [15, 3, 1]);
        assert_eq!(counts(0.001), [1, 1, 1]);
    }

    #[test]
    fn every_entity_label_occurs_as_soon_as_it_can() {
        for seed in 0..20 {
            let two = fraction(&sentences(), 0.02, seed).unwrap();
            assert_eq!(two.len(), 2);
            assert_eq!(two.label_counts().into_values().collect::<Vec<_>>(), [1, 1], "seed {seed}");
        }
    }

    #[test]
    fn a_smaller_fraction_is_part_of_a_larger_one() {
        for examples in [texts(), sentences()] {
            for seed in 0..5 {
                let nested = [0.01, 0.02, 0.1, 0.33, 0.5, 1.0]
                    .map(|f| numbers(&fraction(&examples, f, seed).unwrap()));
                for pair in nested.windows(2) {
                    assert!(pair[0].iter().all(|i| pair[1].contains(i)), "{pair:?}");
                }
            }
        }
    }

    #[test]
    fn the_fraction_one_is_all_examples_in_their_order() {
        for examples in [texts(), sentences()] {
            assert_eq!(fraction(&examples, 1.0, 3).unwrap(), examples);
        }
    }

    #[test]
    fn the_seed_decides() {
        for examples in [texts(), sentences()] {
            let draw = |seed| numbers(&fraction(&examples, 0.2, seed).unwrap());
            assert_eq!(draw(7), draw(7));
            assert_ne!(draw(7), draw(8));
        }
    }

    #[test]
    fn rounding_adds_no_example() {
        // 0.07 * 100 is 7.000000000000001 in f64.
        assert_eq!(fraction(&sentences(), 0.07, 0).unwrap().len(), 7);
        assert_eq!(fraction(&sentences(), 0.071, 0).unwrap().len(), 8);
    }

    #[test]
    fn fractions_outside_zero_to_one_are_refused() {
        for f in [0.0, -0.1, 1.0001, f64::NAN, f64::INFINITY] {
            let error = fraction(&texts(), f, 0).unwrap_err().to_string();
            assert!(error.starts_with(&format!("label fraction {f} is out of range")), "{error}");
        }
    }
}
