//! Scores against those that seqeval and scikit-learn recorded in `fixtures/metrics.json`
//! (`scripts/make_metric_fixtures.py`).

use espalier_study::metrics::{EntityScores, classification_scores, entity_scores};
use serde::Deserialize;

const FIXTURE: &str = include_str!("../../../fixtures/metrics.json");

/// The fixture keeps all digits; what is left is the order of rounding.
const TOLERANCE: f64 = 1e-12;

#[derive(Deserialize)]
struct Fixture {
    tags: Vec<TagCase>,
    classes: Vec<ClassCase>,
}

#[derive(Deserialize)]
struct TagCase {
    name: String,
    gold: Vec<Vec<String>>,
    pred: Vec<Vec<String>>,
    strict: Expected,
    lenient: Expected,
}

#[derive(Deserialize)]
struct Expected {
    precision: f64,
    recall: f64,
    f1: f64,
}

#[derive(Deserialize)]
struct ClassCase {
    name: String,
    gold: Vec<String>,
    pred: Vec<String>,
    accuracy: f64,
    macro_f1: f64,
}

/// Collects what differs, so that one run reports every failing case.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, what: String, found: f64, expected: f64) {
        // Written so that NaN differs from everything.
        let equal = (found - expected).abs() <= TOLERANCE;
        if !equal {
            self.0.push(format!("{what}: {found}, expected {expected}"));
        }
    }

    fn compare_entities(
        &mut self,
        name: &str,
        mode: &str,
        found: EntityScores,
        expected: &Expected,
    ) {
        self.compare(format!("{name}: {mode} precision"), found.precision, expected.precision);
        self.compare(format!("{name}: {mode} recall"), found.recall, expected.recall);
        self.compare(format!("{name}: {mode} F1"), found.f1, expected.f1);
    }

    fn assert_none(self) {
        assert!(self.0.is_empty(), "\n{}", self.0.join("\n"));
    }
}

fn fixture() -> Fixture {
    serde_json::from_str(FIXTURE).unwrap()
}

#[test]
fn entity_scores_equal_seqeval() {
    let cases = fixture().tags;
    assert!(!cases.is_empty());
    let mut differences = Differences::default();
    for case in &cases {
        let scores = entity_scores(&case.gold, &case.pred);
        differences.compare_entities(&case.name, "strict", scores.strict, &case.strict);
        differences.compare_entities(&case.name, "lenient", scores.lenient, &case.lenient);
    }
    differences.assert_none();
}

#[test]
fn classification_scores_equal_scikit_learn() {
    let cases = fixture().classes;
    assert!(!cases.is_empty());
    let mut differences = Differences::default();
    for case in &cases {
        let scores = classification_scores(&case.gold, &case.pred);
        differences.compare(format!("{}: accuracy", case.name), scores.accuracy, case.accuracy);
        differences.compare(format!("{}: macro F1", case.name), scores.macro_f1, case.macro_f1);
    }
    differences.assert_none();
}
