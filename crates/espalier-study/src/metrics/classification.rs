//! Accuracy and macro F1 of text classification.

use super::ratio;
use serde::Serialize;
use std::collections::BTreeMap;

/// Scores of predicted classes.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct ClassificationScores {
    /// Share of texts with the right class.
    pub accuracy: f64,
    /// Mean of the F1 of every class that occurs in the gold or the predicted labels, as
    /// scikit-learn's `f1_score(average="macro", zero_division=0)`.
    pub macro_f1: f64,
    /// Number of texts.
    pub n: usize,
}

/// Scores predicted classes against gold ones.
///
/// ```
/// use espalier_study::metrics::classification_scores;
///
/// let [gold, predicted] = [["a", "a", "b"], ["a", "b", "b"]].map(|row| row.map(String::from));
/// let scores = classification_scores(&gold, &predicted);
/// assert_eq!(scores.accuracy, 2.0 / 3.0);
/// assert_eq!(scores.macro_f1, 2.0 / 3.0); // F1 is 2 / 3 for both classes
/// ```
///
/// # Panics
/// When the two differ in length: the scores would be meaningless.
pub fn classification_scores(gold: &[String], predicted: &[String]) -> ClassificationScores {
    assert_eq!(
        gold.len(),
        predicted.len(),
        "gold and predicted must have the same number of labels"
    );
    // Of each class: texts that are both gold and predicted, and gold plus predicted texts.
    let mut classes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut right = 0;
    for (gold, predicted) in gold.iter().zip(predicted) {
        let hit = usize::from(gold == predicted);
        right += hit;
        let (correct, occurrences) = classes.entry(gold).or_default();
        *correct += hit;
        *occurrences += 1;
        classes.entry(predicted).or_default().1 += 1;
    }
    // F1 = 2 correct / (gold + predicted)
    let sum: f64 =
        classes.values().map(|&(correct, occurrences)| ratio(2 * correct, occurrences)).sum();
    let macro_f1 = if classes.is_empty() { 0.0 } else { sum / classes.len() as f64 };
    ClassificationScores { accuracy: ratio(right, gold.len()), macro_f1, n: gold.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(gold: &str, predicted: &str) -> ClassificationScores {
        let labels = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        classification_scores(&labels(gold), &labels(predicted))
    }

    /// a: 1 correct of 2 gold and 1 predicted: F1 = 2/3. b: 1 of 1 and 2: 2/3. c, gold only: 0. d,
    /// predicted only: 0. Macro over a, b, c, d: (2/3 + 2/3) / 4 = 1/3. Accuracy 2/4.
    #[test]
    fn counts_by_hand() {
        let scores = scores("a a b c", "a b b d");
        assert_eq!((scores.accuracy, scores.n), (0.5, 4));
        assert!((scores.macro_f1 - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn extremes() {
        let perfect = ClassificationScores { accuracy: 1.0, macro_f1: 1.0, n: 3 };
        assert_eq!(scores("a b c", "a b c"), perfect);
        assert_eq!(
            scores("a a", "b b"),
            ClassificationScores { accuracy: 0.0, macro_f1: 0.0, n: 2 }
        );
        assert_eq!(scores("", ""), ClassificationScores { accuracy: 0.0, macro_f1: 0.0, n: 0 });
    }

    #[test]
    #[should_panic(expected = "same number of labels")]
    fn lists_of_different_length_are_refused() {
        scores("a", "a b");
    }
}
