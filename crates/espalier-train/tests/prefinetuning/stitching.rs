//! Cross-stitch: two columns, and what goes between them.

use crate::corpora::{Corpora, run, trained};
use espalier_encoder::{Compute, Family};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::tiny_bert;
use espalier_train::PrefinetuneConfig;
use espalier_train::config::StitchConfig;
use espalier_train::network::{SecondEncoder, Stitches};
use espalier_train::strategy::ObjectiveKind;
use espalier_train::strategy::Strategy;
use tempfile::TempDir;

/// Stitches that do nothing, and go on doing nothing.
const APART: StitchConfig = StitchConfig { own: 1.0, other: 0.0, learning_rate: 0.0 };

fn second(config: &PrefinetuneConfig) -> SecondEncoder {
    trained(config).second.expect("cross-stitch has a second column")
}

/// The norm that gradients are clipped to is over everything trained, so that it would tell both
/// families together from each alone.
#[test]
fn without_exchange_each_column_is_its_family_alone() {
    let corpora = Corpora::easy();
    for (precision, chunk) in [(Compute::F32, 0), (Compute::Bf16, 0), (Compute::F32, 5)] {
        let with = |strategy| {
            let mut config = corpora.config(strategy);
            (config.train.precision, config.train.clip_norm, config.tc.chunk) =
                (precision, 0.0, chunk);
            config.stitch = APART;
            run(&config).unwrap()
        };
        let ((stitched, reports), (ner, ner_reports), (tc, tc_reports)) =
            (with(Strategy::CROSS_STITCH), with(Strategy::NER), with(Strategy::TC));
        let second = stitched.second.unwrap();
        assert_eq!(bits(stitched.backbone.weights()), bits(ner.backbone.weights()), "{precision}");
        assert_eq!(bits(second.backbone.weights()), bits(tc.backbone.weights()), "{precision}");
        assert_eq!(second.stitches, Stitches::new(3, 1.0, 0.0));
        for ((both, ner), tc) in reports.iter().zip(ner_reports).zip(tc_reports) {
            assert_eq!(both.losses[&ObjectiveKind::Ner], ner.losses[&ObjectiveKind::Ner]);
            assert_eq!(both.losses[&ObjectiveKind::Tc], tc.losses[&ObjectiveKind::Tc]);
        }
    }
}

/// With stitches that mix, a family trains both columns and the stitches, and the other column
/// follows through them alone.
#[test]
fn a_family_trains_both_columns_through_the_stitches() {
    let corpora = Corpora::easy();
    for silent in [Family::Ner, Family::Tc] {
        let mut config = corpora.config(Strategy::CROSS_STITCH);
        config.train.weight_decay = 0.0;
        match silent {
            Family::Ner => config.ner.weight = Some(0.0),
            Family::Tc => config.tc.weight = 0.0,
        }
        let result = trained(&config);
        let second = result.second.unwrap();
        for weights in [result.backbone.weights(), second.backbone.weights()] {
            assert_ne!(weights, tiny_bert().weights(), "{silent:?} is silent");
        }
        assert_ne!(result.backbone.weights(), second.backbone.weights());
        let moved: Vec<bool> = second
            .stitches
            .values
            .iter()
            .zip(Stitches::new(3, 0.9, 0.1).values)
            .map(|(a, b)| *a != b)
            .collect();
        // Above the last layer a column's row serves its own family only.
        let silent_row = if silent == Family::Ner { 8..10 } else { 10..12 };
        assert!(
            (0..12).all(|place| moved[place] != silent_row.contains(&place)),
            "{silent:?} is silent: {moved:?}"
        );
    }
}

#[test]
fn stitches_have_a_learning_rate_of_their_own() {
    let corpora = Corpora::easy();
    let mut config = corpora.config(Strategy::CROSS_STITCH);
    config.stitch = StitchConfig { own: 0.7, other: 0.2, learning_rate: 0.0 };
    let still = second(&config);
    assert_eq!(still.stitches, Stitches::new(3, 0.7, 0.2));
    assert_ne!(still.backbone.weights(), tiny_bert().weights());
    (config.train.learning_rate, config.stitch.learning_rate) = (0.0, 1e-2);
    let moved = second(&config);
    assert_eq!(bits(moved.backbone.weights()), bits(tiny_bert().weights()));
    assert!(
        moved.stitches.values.iter().zip(still.stitches.values).all(|(a, b)| *a != b),
        "{:?}",
        moved.stitches
    );
}

#[test]
fn both_columns_come_back_from_the_disk_and_what_does_not_fit_is_refused() {
    let corpora = Corpora::easy();
    let config = corpora.config(Strategy::CROSS_STITCH);
    let (result, directory) = (trained(&config), TempDir::new().unwrap());
    assert!(!SecondEncoder::is_in(directory.path()));
    result.save(directory.path(), &config).unwrap();
    assert!(SecondEncoder::is_in(directory.path()));
    let (second, first) = (result.second.unwrap(), &result.backbone);
    let opened = SecondEncoder::open(directory.path(), first).unwrap();
    assert_eq!(opened.stitches, second.stitches);
    assert_eq!(opened.fingerprint(first), second.fingerprint(first));
    let mut other = second.clone();
    other.stitches.values[3] += 1e-3;
    assert_ne!(other.fingerprint(first), second.fingerprint(first));

    let path = directory.path().join("columns/stitches.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (spoiled, expected) in [
        (
            r#"{"format":1,"stitches":[[[1,0],[0,1]]]}"#.to_string(),
            "a unit of 2 x 2 numbers for each layer",
        ),
        (text.replace("\"format\": 1", "\"format\": 2"), "format 2"),
        (text[..text.len() / 2].to_string(), "stitches.json"),
    ] {
        std::fs::write(&path, spoiled).unwrap();
        let message = SecondEncoder::open(directory.path(), first).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("stitches.json"), "{message}");
    }
}
