//! Entity-level precision, recall and F1: an entity is correct when both its span and its label
//! are.

use super::ratio;
use espalier_encoder::tags::{Entity, entities_lenient, entities_strict};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

/// Scores over all entities, each counted once (micro average).
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct EntityScores {
    /// correct / predicted
    pub precision: f64,
    /// correct / gold
    pub recall: f64,
    /// Harmonic mean of precision and recall: 2 correct / (gold + predicted).
    pub f1: f64,
    /// Number of gold entities.
    pub gold: usize,
    /// Number of predicted entities.
    pub predicted: usize,
    /// Number of predicted entities that are gold.
    pub correct: usize,
}

/// Scores by both ways to read entities from BIO2 tags.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct NerScores {
    /// As seqeval with `mode="strict", scheme=IOB2`.
    pub strict: EntityScores,
    /// As conlleval, which is seqeval's default.
    pub lenient: EntityScores,
    /// Strict F1 of each entity label that occurs in the gold or the predicted tags.
    pub per_label: BTreeMap<String, f64>,
}

/// Scores predicted tag sequences against gold ones, sentence by sentence.
///
/// ```
/// use espalier_study::metrics::entity_scores;
///
/// let tags = |line: &str| line.split(' ').map(String::from).collect::<Vec<_>>();
/// let gold = [tags("B-person I-person O B-city")];
/// let predicted = [tags("B-person O O B-city")]; // the person ends too early
/// let scores = entity_scores(&gold, &predicted).strict;
/// assert_eq!((scores.gold, scores.predicted, scores.correct), (2, 2, 1));
/// assert_eq!(scores.f1, 0.5);
/// ```
///
/// # Panics
/// When the two differ in the number of sentences or of tags of a sentence: the scores would be
/// meaningless.
pub fn entity_scores(gold: &[Vec<String>], predicted: &[Vec<String>]) -> NerScores {
    assert_eq!(
        gold.len(),
        predicted.len(),
        "gold and predicted must have the same number of sentences"
    );
    let (mut strict, mut lenient) = (ByLabel::new(), ByLabel::new());
    for (i, (gold, predicted)) in gold.iter().zip(predicted).enumerate() {
        assert_eq!(
            gold.len(),
            predicted.len(),
            "gold and predicted must have the same number of tags (sentence {i})"
        );
        count(entities_strict(gold), entities_strict(predicted), &mut strict);
        count(entities_lenient(gold), entities_lenient(predicted), &mut lenient);
    }
    NerScores::new(strict, lenient)
}

/// Scores predicted entities against gold ones, text by text. Predicted entities come from repaired
/// tags, so strict and lenient scores are the same.
///
/// ```
/// use espalier_encoder::tags::Entity;
/// use espalier_study::metrics::answer_scores;
///
/// let entity = |start, end| Entity { start, end, label: "city".into() };
/// let scores = answer_scores(&[vec![entity(0, 6), entity(9, 12)]], &[vec![entity(0, 6)]]);
/// assert_eq!((scores.strict.precision, scores.strict.recall), (1.0, 0.5));
/// ```
///
/// # Panics
/// When the two differ in the number of texts.
pub fn answer_scores(gold: &[Vec<Entity>], predicted: &[Vec<Entity>]) -> NerScores {
    assert_eq!(
        gold.len(),
        predicted.len(),
        "gold and predicted must have the same number of texts"
    );
    let mut counts = ByLabel::new();
    for (gold, predicted) in gold.iter().zip(predicted) {
        count(gold.clone(), predicted.clone(), &mut counts);
    }
    NerScores::new(counts.clone(), counts)
}

impl NerScores {
    fn new(strict: ByLabel, lenient: ByLabel) -> Self {
        Self {
            strict: total(&strict).scores(),
            lenient: total(&lenient).scores(),
            per_label: strict
                .into_iter()
                .map(|(label, counts)| (label, counts.scores().f1))
                .collect(),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Counts {
    gold: usize,
    predicted: usize,
    correct: usize,
}

type ByLabel = BTreeMap<String, Counts>;

impl Counts {
    fn scores(self) -> EntityScores {
        let Counts { gold, predicted, correct } = self;
        EntityScores {
            precision: ratio(correct, predicted),
            recall: ratio(correct, gold),
            f1: ratio(2 * correct, gold + predicted),
            gold,
            predicted,
            correct,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.gold += other.gold;
        self.predicted += other.predicted;
        self.correct += other.correct;
    }
}

fn total(by_label: &ByLabel) -> Counts {
    let mut total = Counts::default();
    by_label.values().for_each(|&counts| total += counts);
    total
}

/// Adds the entities of one sentence to the counts of their labels.
fn count(gold: Vec<Entity>, predicted: Vec<Entity>, by_label: &mut ByLabel) {
    let gold: BTreeSet<Entity> = gold.into_iter().collect();
    for entity in predicted {
        let correct = usize::from(gold.contains(&entity));
        *by_label.entry(entity.label).or_default() += Counts { gold: 0, predicted: 1, correct };
    }
    for entity in gold {
        *by_label.entry(entity.label).or_default() += Counts { gold: 1, predicted: 0, correct: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(lines: &[&str]) -> Vec<Vec<String>> {
        lines.iter().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    }

    fn assert_scores(scores: EntityScores, gold: usize, predicted: usize, correct: usize, f1: f64) {
        assert_eq!((scores.gold, scores.predicted, scores.correct), (gold, predicted, correct));
        assert!((scores.f1 - f1).abs() < 1e-15, "F1 is {}, not {f1}", scores.f1);
    }

    /// Gold: a 0..2, b 3..4 | a 0..1. Predicted, strict: a 0..2, b 3..4 | a 1..2; the I-b of the
    /// first sentence continues nothing, and leniently is an entity b 2..3 (then B-b is another).
    /// Strict: 2 correct of 3 predicted and 3 gold: F1 = 2*2/6. Lenient: 2 of 4 and 3: F1 = 2*2/7.
    /// By label: a: 1 correct, 2 gold, 2 predicted: F1 1/2; b: 1, 1, 1: F1 1.
    #[test]
    fn counts_by_hand() {
        let gold = sentences(&["B-a I-a O B-b", "B-a O"]);
        let predicted = sentences(&["B-a I-a I-b B-b", "O B-a"]);
        let scores = entity_scores(&gold, &predicted);
        assert_scores(scores.strict, 3, 3, 2, 4.0 / 6.0);
        assert_scores(scores.lenient, 3, 4, 2, 4.0 / 7.0);
        assert_eq!((scores.lenient.precision, scores.lenient.recall), (0.5, 2.0 / 3.0));
        assert_eq!(
            scores.per_label,
            BTreeMap::from([("a".to_owned(), 0.5), ("b".to_owned(), 1.0)])
        );
    }

    /// The same words with another label, and the same label with another end, are both wrong; an
    /// entity is looked for in its own sentence only.
    #[test]
    fn an_entity_is_its_sentence_words_and_label() {
        let scores = entity_scores(
            &sentences(&["B-a I-a", "B-a O", "B-b"]),
            &sentences(&["B-a O", "B-b O", "O"]),
        );
        assert_scores(scores.strict, 3, 2, 0, 0.0);
        assert_eq!(
            scores.per_label,
            BTreeMap::from([("a".to_owned(), 0.0), ("b".to_owned(), 0.0)])
        );
    }

    /// seqeval with `zero_division=0`: no entity at all scores 0, not 1.
    #[test]
    fn no_entities_score_zero() {
        let scores = entity_scores(&sentences(&["O O"]), &sentences(&["O O"]));
        assert_scores(scores.strict, 0, 0, 0, 0.0);
        assert_scores(entity_scores(&[], &[]).lenient, 0, 0, 0, 0.0);
        let only_gold = entity_scores(&sentences(&["B-a"]), &sentences(&["O"])).strict;
        assert_eq!((only_gold.precision, only_gold.recall, only_gold.f1), (0.0, 0.0, 0.0));
    }

    /// A part of an entity, and an entity in another text, are wrong: 1 correct, 3 gold, 3
    /// predicted.
    #[test]
    fn answers_are_right_by_their_characters() {
        let entity = |start, end| Entity { start, end, label: "a".into() };
        let gold = [vec![entity(0, 8), entity(10, 12)], vec![entity(0, 2)]];
        let scores =
            answer_scores(&gold, &[vec![entity(0, 2), entity(10, 12), entity(14, 16)], vec![]]);
        assert_scores(scores.strict, 3, 3, 1, 1.0 / 3.0);
        assert_eq!(scores.strict, scores.lenient);
    }

    #[test]
    fn perfect_tags_score_one() {
        let gold = sentences(&["B-a I-a O B-b"]);
        let scores = entity_scores(&gold, &gold).strict;
        assert_eq!((scores.precision, scores.recall, scores.f1), (1.0, 1.0, 1.0));
    }

    #[test]
    #[should_panic(expected = "same number of tags (sentence 1)")]
    fn sentences_of_different_length_are_refused() {
        entity_scores(&sentences(&["O", "O O"]), &sentences(&["O", "O"]));
    }
}
