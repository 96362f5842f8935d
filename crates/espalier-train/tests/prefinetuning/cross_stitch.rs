//! Cross-stitch: two encoders, and the stitches between them.

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

fn stitches(own: f32, other: f32, learning_rate: f32) -> StitchConfig {
    let mut config = StitchConfig::default();
    (config.own, config.other, config.learning_rate) = (own, other, learning_rate);
    config
}

fn second(config: &PrefinetuneConfig) -> SecondEncoder {
    trained(config).second.expect("cross-stitch has a second encoder")
}

/// Without clipping, because the norm of the gradients depends on both families.
#[test]
fn without_mixing_each_encoder_is_trained_as_with_its_family_alone() {
    let corpora = Corpora::easy();
    for (precision, chunk) in [(Compute::F32, 0), (Compute::Bf16, 0), (Compute::F32, 5)] {
        let with = |strategy| {
            let mut config = corpora.config(strategy);
            (config.train.precision, config.train.clip_norm, config.tc.chunk) =
                (precision, 0.0, chunk);
            config.stitch = stitches(1.0, 0.0, 0.0);
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

/// One family has weight zero. The other one trains both encoders through the stitches, and the
/// stitches themselves.
#[test]
fn a_family_trains_both_encoders_through_the_stitches() {
    let corpora = Corpora::easy();
    for off in [Family::Ner, Family::Tc] {
        let mut config = corpora.config(Strategy::CROSS_STITCH);
        config.train.weight_decay = 0.0;
        match off {
            Family::Ner => config.ner.weight = Some(0.0),
            Family::Tc => config.tc.weight = 0.0,
        }
        let result = trained(&config);
        let second = result.second.unwrap();
        for weights in [result.backbone.weights(), second.backbone.weights()] {
            assert_ne!(weights, tiny_bert().weights(), "without {off:?}");
        }
        assert_ne!(result.backbone.weights(), second.backbone.weights());
        let changed: Vec<bool> = second
            .stitches
            .values
            .iter()
            .zip(Stitches::new(3, 0.9, 0.1).values)
            .map(|(a, b)| *a != b)
            .collect();
        // After the last layer, the mixture for the other family's encoder is not used.
        let unused = if off == Family::Ner { 8..10 } else { 10..12 };
        assert!(
            (0..12).all(|index| changed[index] != unused.contains(&index)),
            "without {off:?}: {changed:?}"
        );
    }
}

#[test]
fn stitches_have_their_own_learning_rate() {
    let corpora = Corpora::easy();
    let mut config = corpora.config(Strategy::CROSS_STITCH);
    config.stitch = stitches(0.7, 0.2, 0.0);
    let frozen = second(&config);
    assert_eq!(frozen.stitches, Stitches::new(3, 0.7, 0.2));
    assert_ne!(frozen.backbone.weights(), tiny_bert().weights());
    (config.train.learning_rate, config.stitch.learning_rate) = (0.0, 1e-2);
    let changed = second(&config);
    assert_eq!(bits(changed.backbone.weights()), bits(tiny_bert().weights()));
    assert!(
        changed.stitches.values.iter().zip(frozen.stitches.values).all(|(a, b)| *a != b),
        "{:?}",
        changed.stitches
    );
}

#[test]
fn both_encoders_can_be_saved_and_opened_and_damaged_stitches_are_refused() {
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
            "a matrix of 2 x 2 numbers for each layer",
        ),
        (text.replace("\"format\": 1", "\"format\": 2"), "format 2"),
        (text[..text.len() / 2].to_string(), "stitches.json"),
    ] {
        std::fs::write(&path, spoiled).unwrap();
        let message = SecondEncoder::open(directory.path(), first).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("stitches.json"), "{message}");
    }
}
