//! Which parameters each strategy trains.

use crate::corpora::{Corpora, run, trained};
use espalier_encoder::{Family, Lora};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::tiny_bert;
use espalier_train::Prefinetuned;
use espalier_train::config::{AdapterConfig, PrefinetuneConfig};
use espalier_train::optimizer::Schedule;
use espalier_train::strategy::ObjectiveKind;
use espalier_train::strategy::Strategy;
use espalier_train::trainer::StepReport;

#[test]
fn every_strategy_trains_its_objectives_and_parameters() {
    let corpora = Corpora::easy();
    for strategy in Strategy::ALL {
        let (result, reports) = run(&corpora.config(strategy)).unwrap();
        let steps: Vec<usize> = reports.iter().map(|report| report.step).collect();
        let expected: &[usize] = if strategy == Strategy::NONE { &[] } else { &[1, 2, 3, 4] };
        assert_eq!(steps, expected, "{strategy}");
        for report in &reports {
            assert!(report.losses.keys().eq(strategy.objectives), "{strategy}: {report:?}");
            assert!(
                report.losses.values().all(|loss| loss.is_finite() && *loss > 0.0),
                "{strategy}: {report:?}"
            );
            assert!(
                report.steps == 4 && report.tokens > 0 && report.gradient_norm > 0.0,
                "{strategy}: {report:?}"
            );
        }
        let unchanged = result.backbone.fingerprint() == tiny_bert().fingerprint();
        assert_eq!(
            unchanged,
            [Strategy::NONE, Strategy::ADAPTERS_ONLY].contains(&strategy),
            "{strategy}"
        );
        let families: Vec<Family> = result.adapters.keys().copied().collect();
        let adapted = [Strategy::TPL, Strategy::ADAPTERS_ONLY].contains(&strategy);
        let expected: &[Family] = if adapted { &[Family::Ner, Family::Tc] } else { &[] };
        assert_eq!(families, expected, "{strategy}");
        assert_eq!(result.second.is_some(), strategy == Strategy::CROSS_STITCH, "{strategy}");
        // Adapters are on a third of the three layers: the last one.
        assert!(
            result
                .adapters
                .values()
                .all(|lora| lora.first_layer() == Some(2) && lora.sites.len() == 6)
        );
    }
}

#[test]
fn the_strategy_none_needs_no_corpus() {
    let mut config = PrefinetuneConfig::default();
    config.strategy = Strategy::NONE;
    assert_eq!(bits(trained(&config).backbone.weights()), bits(tiny_bert().weights()));
}

/// The same run with the default adapters and learning rate zero for them.
fn with_frozen_adapters(config: &PrefinetuneConfig) -> Prefinetuned {
    let mut config = config.clone();
    config.adapter = AdapterConfig::default();
    config.adapter.group.learning_rate = 0.0;
    trained(&config)
}

/// The values of all matrices B, or of all A.
fn factors(lora: &Lora, b: bool) -> Vec<f32> {
    let ranges = lora.sites.iter().map(|site| if b { site.b.clone() } else { site.a.clone() });
    ranges.flat_map(|range| lora.values[range].iter().copied()).collect()
}

/// A family with weight zero does not change its adapter. The other family trains A and B of its
/// own.
#[test]
fn a_family_trains_its_own_adapter_only() {
    let corpora = Corpora::easy();
    let mut config = corpora.config(Strategy::TPL);
    let fresh = with_frozen_adapters(&config).adapters;
    config.adapter.group.weight_decay = 0.0;
    for (off, other) in [(Family::Ner, Family::Tc), (Family::Tc, Family::Ner)] {
        config.ner.weight = Some(if off == Family::Ner { 0.0 } else { 1.0 });
        config.tc.weight = if off == Family::Tc { 0.0 } else { 1.0 };
        let adapters = trained(&config).adapters;
        assert_eq!(bits(&adapters[&off].values), bits(&fresh[&off].values), "{off:?}");
        assert!(
            factors(&adapters[&off], true).iter().all(|&b| b == 0.0),
            "{off:?}: B starts at zero"
        );
        for b in [false, true] {
            assert_ne!(factors(&adapters[&other], b), factors(&fresh[&other], b), "{other:?}");
        }
    }
}

/// A family with weight zero: only weight decay changes its adapter. A shrinks, B stays zero.
#[test]
fn adapters_have_weight_decay() {
    let corpora = Corpora::easy();
    let mut config = corpora.config(Strategy::TPL);
    (config.tc.weight, config.adapter.group.learning_rate, config.adapter.group.weight_decay) =
        (0.0, 0.1, 0.5);
    let before = with_frozen_adapters(&config).adapters.remove(&Family::Tc).unwrap();
    let after = trained(&config).adapters.remove(&Family::Tc).unwrap();
    assert!(factors(&after, true).iter().all(|&b| b == 0.0));
    // Four steps without warm-up: the learning rate is 1, 3/4, 1/2 and 1/4 of 0.1.
    let shrunk: f32 =
        [1.0, 0.75, 0.5, 0.25].iter().map(|factor| 1.0 - 0.1 * factor * 0.5).product();
    for (a, start) in factors(&after, false).iter().zip(factors(&before, false)) {
        assert!((a - shrunk * start).abs() <= 1e-6 * start.abs(), "{a} is not {shrunk} x {start}");
    }
}

/// Only weight decay changes the adapter, as above.
#[test]
fn adapters_have_their_own_schedule() {
    let corpora = Corpora::easy();
    let decayed = |schedule, warmup| {
        let mut config = corpora.config(Strategy::ADAPTERS_ONLY);
        (config.tc.weight, config.adapter.group.learning_rate, config.adapter.group.weight_decay) =
            (0.0, 0.1, 0.5);
        (config.adapter.group.schedule, config.adapter.group.warmup) = (schedule, warmup);
        factors(&trained(&config).adapters[&Family::Tc], false)
    };
    let as_train = decayed(None, None);
    assert_eq!(bits(&decayed(Some(Schedule::Linear), Some(0.1))), bits(&as_train));
    let shrunk =
        |factors: [f32; 4]| factors.iter().map(|factor| 1.0 - 0.1 * factor * 0.5).product::<f32>();
    let start = shrunk([1.0, 0.75, 0.5, 0.25]);
    for (found, factors) in [
        (decayed(Some(Schedule::Constant), None), [1.0; 4]),
        (decayed(None, Some(0.5)), [0.5, 1.0, 1.0, 0.5]),
    ] {
        let ratio = shrunk(factors) / start;
        assert!(
            found.iter().zip(&as_train).all(|(a, b)| (a - ratio * b).abs() <= 2e-6 * b.abs()),
            "{factors:?}"
        );
    }
}

#[test]
fn frozen_embeddings_do_not_change() {
    let corpora = Corpora::easy();
    let before = tiny_bert();
    let embeddings = before.encoder.layout.embeddings.all.clone();
    for strategy in Strategy::ALL.into_iter().filter(|strategy| strategy.trains_encoder) {
        for frozen in [false, true] {
            let mut config = corpora.config(strategy);
            config.train.freeze_embeddings = frozen;
            let after = trained(&config).backbone;
            let same = bits(&after.weights()[embeddings.clone()])
                == bits(&before.weights()[embeddings.clone()]);
            assert_eq!(same, frozen, "{strategy}");
            assert_ne!(
                after.weights()[embeddings.end..],
                before.weights()[embeddings.end..],
                "{strategy}"
            );
        }
    }
}

#[test]
fn easy_corpora_are_learned() {
    let corpora = Corpora::easy();
    for strategy in [Strategy::JOINT, Strategy::TPL, Strategy::CROSS_STITCH] {
        let mut config = corpora.config(strategy);
        config.train.steps = 60;
        config.ner.projection_group.learning_rate = 1e-2;
        let (_, reports) = run(&config).unwrap();
        for objective in [ObjectiveKind::Ner, ObjectiveKind::Tc] {
            let mean = |reports: &[StepReport]| {
                reports.iter().map(|report| report.losses[&objective]).sum::<f64>()
                    / reports.len() as f64
            };
            let (first, last) = (mean(&reports[..5]), mean(&reports[55..]));
            assert!(last < 0.5 * first, "{strategy}, {objective:?}: from {first} to {last}");
        }
    }
}
