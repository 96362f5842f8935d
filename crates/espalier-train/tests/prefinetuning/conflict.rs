//! The conflict meter, in training and without.

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
fn measuring_does_not_change_the_training() {
    let corpora = Corpora::easy();
    for strategy in
        [Strategy::NER, Strategy::JOINT, Strategy::PCGRAD, Strategy::TPL, Strategy::ADAPTERS_ONLY]
    {
        let with_meter = |every| {
            let mut config = corpora.config(strategy);
            config.conflict.every = every;
            run(&config).unwrap()
        };
        let ((without, none), (with, reports)) = (with_meter(0), with_meter(2));
        assert_eq!(bits(with.backbone.weights()), bits(without.backbone.weights()), "{strategy}");
        assert!(none.iter().all(|report| report.conflict.is_none()));
        let steps: Vec<usize> =
            reports.iter().filter(|r| r.conflict.is_some()).map(|report| report.step).collect();
        let meets = ![Strategy::NER, Strategy::ADAPTERS_ONLY].contains(&strategy);
        assert_eq!(steps, if meets { vec![2, 4] } else { vec![] }, "{strategy}");
    }
}

/// In the first step the weights are still the initial ones, so that the measurement is the same as
/// without training. A fresh adapter does not change it either. With pcgrad, whose gradients are
/// computed separately, the cosines differ only by rounding errors.
#[test]
fn measuring_without_training_gives_the_same_as_the_first_step() {
    let corpora = Corpora::long();
    let mut config = corpora.config(Strategy::JOINT);
    config.conflict.every = 1;
    let first = run(&config).unwrap().1.swap_remove(0).conflict.unwrap();
    let measurements = measured(&config, 3).unwrap();
    assert_eq!(measurements[0], first);
    assert_ne!(measurements[1], first, "the next batches");
    let with_strategy = |strategy| {
        let mut config = config.clone();
        config.strategy = strategy;
        measured(&config, 1).unwrap().swap_remove(0)
    };
    assert_eq!(with_strategy(Strategy::TPL), first);

    let separate = with_strategy(Strategy::PCGRAD);
    for (layer, joint) in separate.layers.iter().zip(&first.layers) {
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
    assert!(separate.embeddings.is_some());
    config.train.freeze_embeddings = true;
    assert_eq!(measured(&config, 1).unwrap()[0].embeddings, None);
}

#[test]
fn the_weight_of_a_loss_changes_only_the_norm_ratio() {
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
fn strategies_without_two_gradients_in_a_step_are_refused() {
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
