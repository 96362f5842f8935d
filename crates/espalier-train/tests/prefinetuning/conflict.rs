//! The conflict meter during training and without.

use crate::corpora::{Corpora, run};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::tiny_bert;
use espalier_train::config::Composition;
use espalier_train::strategy::Strategy;
use espalier_train::trainer::{Conflict, Part, measure_conflict};
use espalier_train::{PrefinetuneConfig, TrainError};

fn measured(config: &PrefinetuneConfig, batches: usize) -> Result<Vec<Conflict>, TrainError> {
    let mut all = Vec::new();
    measure_conflict(&tiny_bert(), config, batches, |number, conflict| {
        all.push(conflict);
        assert_eq!(number, all.len());
    })?;
    Ok(all)
}

#[test]
fn measuring_changes_nothing_of_the_training() {
    let corpora = Corpora::easy();
    for strategy in
        [Strategy::NER, Strategy::JOINT, Strategy::PCGRAD, Strategy::TPL, Strategy::ADAPTERS_ONLY]
    {
        let with_meter = |every| {
            let mut config = corpora.config(strategy);
            config.conflict.every = every;
            run(&config).unwrap()
        };
        let ((without, silent), (with, reports)) = (with_meter(0), with_meter(2));
        assert_eq!(bits(with.backbone.weights()), bits(without.backbone.weights()), "{strategy}");
        assert!(silent.iter().all(|report| report.conflict.is_none()));
        let steps: Vec<usize> =
            reports.iter().filter(|r| r.conflict.is_some()).map(|report| report.step).collect();
        let meets = ![Strategy::NER, Strategy::ADAPTERS_ONLY].contains(&strategy);
        assert_eq!(steps, if meets { vec![2, 4] } else { vec![] }, "{strategy}");
    }
}

/// Nothing has moved before the first step, so that what is measured there is what is measured
/// without training; a fresh adapter changes nothing either. Where pcgrad keeps the gradients apart
/// and joint has their sum, the cosines differ by rounding.
#[test]
fn measuring_without_training_gives_the_first_steps_figures() {
    let corpora = Corpora::long();
    let mut config = corpora.config(Strategy::JOINT);
    config.conflict.every = 1;
    let first = run(&config).unwrap().1.swap_remove(0).conflict.unwrap();
    let measurements = measured(&config, 3).unwrap();
    assert_eq!(measurements[0], first);
    assert_ne!(measurements[1], first, "the next batches");
    assert_eq!(
        measured(&PrefinetuneConfig { strategy: Strategy::TPL, ..config.clone() }, 1).unwrap()[0],
        first
    );

    let apart = measured(&PrefinetuneConfig { strategy: Strategy::PCGRAD, ..config.clone() }, 1)
        .unwrap()
        .swap_remove(0);
    for (layer, joint) in apart.layers.iter().zip(&first.layers) {
        assert!(layer.keys().eq(&Part::ALL));
        for (part, agreement) in layer {
            let (cosine, ratio) = (joint[part].cosine, joint[part].norm_ratio);
            assert!(
                (agreement.cosine - cosine).abs() < 1e-4 && agreement.cosine.abs() <= 1.0,
                "{part:?}"
            );
            assert!((agreement.norm_ratio / ratio - 1.0).abs() < 1e-4, "{part:?}");
        }
    }
    assert!(apart.embeddings.is_some());
    config.train.freeze_embeddings = true;
    assert_eq!(measured(&config, 1).unwrap()[0].embeddings, None);
}

#[test]
fn the_weight_of_a_loss_shows_in_the_ratio_alone() {
    let corpora = Corpora::easy();
    let with_weight = |weight| {
        let mut config = corpora.config(Strategy::PCGRAD);
        config.ner.weight = Some(weight);
        measured(&config, 1).unwrap()[0].layers[1][&Part::Layer]
    };
    let (one, four) = (with_weight(1.0), with_weight(4.0));
    assert!(
        (four.cosine - one.cosine).abs() < 1e-5
            && (four.norm_ratio / one.norm_ratio - 4.0).abs() < 1e-4
    );
}

#[test]
fn there_must_be_two_gradients_to_compare() {
    let corpora = Corpora::easy();
    for strategy in [Strategy::NONE, Strategy::TC, Strategy::ADAPTERS_ONLY, Strategy::CROSS_STITCH]
    {
        let error = measured(&corpora.config(strategy), 1).unwrap_err().to_string();
        assert!(error.contains(strategy.name) && error.contains("joint"), "{error}");
    }
    let mut config = corpora.config(Strategy::JOINT);
    config.train.composition = Composition::Alternating;
    let error = measured(&config, 1).unwrap_err();
    assert!(matches!(error, TrainError::ConfigValue { key: "train.composition", .. }), "{error}");
}
