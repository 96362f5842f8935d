//! The training loop: schedules, weight decay, gradients between steps, and batches.

use crate::corpora::{Corpora, run, trained};
use espalier_encoder::Compute;
use espalier_testing::compare::bits;
use espalier_testing::fixtures::tiny_bert;
use espalier_train::PrefinetuneConfig;
use espalier_train::config::Composition;
use espalier_train::optimizer::Schedule;
use espalier_train::strategy::ObjectiveKind;
use espalier_train::strategy::Strategy;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn learning_rates_warm_up_and_decrease() {
    let corpora = Corpora::easy();
    let mut config = corpora.config(Strategy::JOINT);
    config.train.warmup = 0.5;
    let factors: Vec<f32> =
        run(&config).unwrap().1.iter().map(|report| report.learning_rate_factor).collect();
    assert_eq!(factors, [0.5, 1.0, 1.0, 0.5]);
}

#[test]
fn matrices_decay_and_biases_and_norms_do_not() {
    let corpora = Corpora::easy();
    let mut config = corpora.config(Strategy::NER);
    config.ner.weight = Some(0.0); // only weight decay is left
    (config.train.learning_rate, config.train.weight_decay) = (0.1, 0.5);
    let (before, after) = (tiny_bert(), trained(&config).backbone);
    // Four steps without warm-up: the learning rate is 1, 3/4, 1/2 and 1/4 of 0.1.
    let shrunk: f32 =
        [1.0, 0.75, 0.5, 0.25].iter().map(|factor| 1.0 - 0.1 * factor * 0.5).product();
    for spec in &before.encoder.layout.tensors {
        let (before, after) =
            (&before.weights()[spec.range.clone()], &after.weights()[spec.range.clone()]);
        if spec.name.contains("LayerNorm") || spec.name.ends_with("bias") {
            assert_eq!(bits(after), bits(before), "{}", spec.name);
        } else {
            let close = |(before, after): (&f32, &f32)| {
                (after - shrunk * before).abs() <= 1e-6 * before.abs()
            };
            assert!(before.iter().zip(after).all(close), "{}", spec.name);
        }
    }
}

/// Every batch is the whole corpus and all learning rates are zero, so that the loss and the
/// gradient are the same in every step.
fn frozen(corpora: &Corpora) -> PrefinetuneConfig {
    let mut config = corpora.config(Strategy::TPL);
    (config.ner.batch, config.tc.batch) = (16, 16);
    config.train.learning_rate = 0.0;
    config.adapter.group.learning_rate = 0.0;
    config.ner.projection_group.learning_rate = 0.0;
    config
}

#[test]
fn gradients_are_zero_before_each_step() {
    let corpora = Corpora::long();
    let (_, reports) = run(&frozen(&corpora)).unwrap();
    for report in &reports[1..] {
        let (norm, first) = (report.gradient_norm, reports[0].gradient_norm);
        assert!((norm - first).abs() < 1e-4 * first, "{norm} after {first}");
    }
}

#[test]
fn parameters_with_a_learning_rate_are_trained() {
    let corpora = Corpora::long();
    type Set = fn(&mut PrefinetuneConfig);
    let cases: [(&str, Set, &[ObjectiveKind]); 4] = [
        ("nothing", |_| {}, &[]),
        (
            "theta",
            |config| config.train.learning_rate = 1e-3,
            &[ObjectiveKind::Ner, ObjectiveKind::Tc],
        ),
        (
            "adapters",
            |config| config.adapter.group.learning_rate = 1e-3,
            &[ObjectiveKind::Ner, ObjectiveKind::Tc],
        ),
        (
            "projections",
            |config| config.ner.projection_group.learning_rate = 1e-3,
            &[ObjectiveKind::Ner],
        ),
    ];
    for (trained, set, learning) in cases {
        let mut config = frozen(&corpora);
        set(&mut config);
        let (_, reports) = run(&config).unwrap();
        for objective in [ObjectiveKind::Ner, ObjectiveKind::Tc] {
            let (first, last) = (reports[0].losses[&objective], reports[3].losses[&objective]);
            let learned = last < first - 1e-3 * first;
            assert_eq!(
                learned,
                learning.contains(&objective),
                "{trained}: {objective:?} from {first} to {last}"
            );
        }
    }
}

/// Adapters are updated only in the steps of their family: two alternating steps give the same
/// adapters as one step of both.
#[test]
fn objectives_may_alternate() {
    let corpora = Corpora::easy();
    let mut config = corpora.config(Strategy::TPL);
    config.train.composition = Composition::Alternating;
    let (_, reports) = run(&config).unwrap();
    let objectives: Vec<Vec<ObjectiveKind>> =
        reports.iter().map(|report| report.losses.keys().copied().collect()).collect();
    let (ner, tc) = (vec![ObjectiveKind::Ner], vec![ObjectiveKind::Tc]);
    assert_eq!(objectives, [ner.clone(), tc.clone(), ner, tc]);

    let mut config = corpora.config(Strategy::ADAPTERS_ONLY);
    (config.train.schedule, config.train.warmup, config.train.clip_norm) =
        (Schedule::Constant, 0.0, 0.0);
    let mut adapters = |steps, composition| {
        (config.train.steps, config.train.composition) = (steps, composition);
        trained(&config).adapters.into_values().map(|lora| bits(&lora.values)).collect::<Vec<_>>()
    };
    let both = adapters(1, Composition::Both);
    let (first, second) =
        (adapters(1, Composition::Alternating), adapters(2, Composition::Alternating));
    assert!(first[0] == both[0] && first[1] != both[1], "the first step trains the NER adapter");
    assert!(second == both, "the second step trains the classification adapter, as its first");
}

/// Texts of one source have 3 tokens and those of the other 8, so that the number of tokens of a
/// batch shows its source.
#[test]
fn a_batch_of_pairs_comes_from_one_source() {
    let texts = ["a", "b", "c", "d"]
        .map(|letter| (letter.to_string(), format!("{letter} good bad in to of")));
    let pair = |text: String, source: &str| {
        let positive = text.to_uppercase();
        json!({"anchor": text, "positive": positive, "source": source})
    };
    let pairs =
        texts.into_iter().flat_map(|(short, long)| [pair(short, "short"), pair(long, "long")]);
    let corpora = Corpora::of(&[], &pairs.collect::<Vec<_>>());
    let mut config = corpora.config(Strategy::TC);
    (config.train.steps, config.tc.batch) = (20, 3);
    let tokens: BTreeSet<usize> =
        run(&config).unwrap().1.iter().map(|report| report.tokens).collect();
    assert_eq!(tokens, BTreeSet::from([6 * 3, 6 * 8]));
}

/// bf16 rounds operands to 8 bits, so that the first losses differ by a few parts in a thousand.
/// Later the runs diverge as with other random numbers, but must reach about the same loss.
#[test]
fn bf16_reaches_the_loss_of_f32() {
    let corpora = Corpora::easy();
    let losses = |precision| {
        let mut config = corpora.config(Strategy::TPL);
        (config.train.steps, config.train.precision) = (60, precision);
        run(&config).unwrap().1.into_iter().map(|report| report.losses).collect::<Vec<_>>()
    };
    let (f32, bf16) = (losses(Compute::F32), losses(Compute::Bf16));
    for objective in [ObjectiveKind::Ner, ObjectiveKind::Tc] {
        let relative = |step: usize| {
            (bf16[step][&objective] - f32[step][&objective]).abs() / f32[step][&objective]
        };
        assert!(relative(0) < 0.01, "{objective:?}: the first loss differs by {}", relative(0));
        let mean = |losses: &[BTreeMap<ObjectiveKind, f64>]| {
            losses.iter().map(|loss| loss[&objective]).sum::<f64>() / 10.0
        };
        let (f32, bf16, first) = (mean(&f32[50..]), mean(&bf16[50..]), f32[0][&objective]);
        assert!(
            (f32 - bf16).abs() < 0.05 * first,
            "{objective:?}: the last losses are {f32} and {bf16}, of {first} at first"
        );
        assert!(f32 < 0.8 * first, "{objective:?}: nothing was learned");
    }
}
