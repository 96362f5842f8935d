//! Invalid configurations and corpora, and losses that are not finite.

use crate::corpora::{Corpora, run};
use espalier_data::DataError;
use espalier_encoder::Module;
use espalier_train::config::DistillLossKind;
use espalier_train::config::{Composition, NerObjective, TcDistillConfig};
use espalier_train::strategy::ObjectiveKind;
use espalier_train::strategy::Strategy;
use espalier_train::{PrefinetuneConfig, TrainError};
use serde_json::json;

/// The error of a run that must fail.
fn refusal(config: &PrefinetuneConfig) -> TrainError {
    run(config).err().unwrap_or_else(|| panic!("accepted, but should be refused: {config:?}"))
}

/// The settings of a teacher of text vectors, of which there is one.
fn taught(config: &mut PrefinetuneConfig) -> &mut TcDistillConfig {
    config.tc.teacher = Some("teacher".into());
    config.tc.distill.get_or_insert_default()
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run() {
    let corpora = Corpora::easy();
    for (strategy, objective, texts) in [
        (Strategy::NER, ObjectiveKind::Ner, ["train to", "we love", "flight with"].as_slice()),
        (Strategy::TC, ObjectiveKind::Tc, &["near the river", "was it the"]),
    ] {
        let mut config = corpora.config(strategy);
        config.train.learning_rate = 1e30;
        let error = refusal(&config);
        let message = error.to_string();
        let TrainError::NotFinite { step, objective: found, loss, batch } = error else {
            panic!("{message}")
        };
        // The loss of the first step is finite: it is computed with the initial weights.
        assert!((2..=4).contains(&step) && found == objective && !loss.is_finite(), "{message}");
        assert!(texts.iter().any(|text| batch.contains(text)), "{message}");
        for part in [format!("the {} loss is", objective.name()), format!("at step {step}"), batch]
        {
            assert!(message.contains(&part), "the message lacks {part:?}: {message}");
        }
    }
}

#[test]
fn error_messages_have_the_beginning_of_a_long_text() {
    let long = "weather ".repeat(40);
    let pair = |n| json!({"anchor": format!("{long}{n}"), "positive": format!("bad {n}")});
    let corpora = Corpora::of(&[], &[pair(1), pair(2)]);
    let mut config = corpora.config(Strategy::TC);
    config.train.learning_rate = 1e30;
    let TrainError::NotFinite { batch, .. } = refusal(&config) else { panic!("another error") };
    assert_eq!(batch, format!("{}...", &long[..80]));
}

#[test]
fn a_strategy_without_its_corpus_is_refused() {
    let corpora = Corpora::easy();
    for (strategy, without, key) in [
        (Strategy::NER, ObjectiveKind::Ner, "ner.corpora"),
        (Strategy::TC, ObjectiveKind::Tc, "tc.corpora"),
        (Strategy::JOINT, ObjectiveKind::Ner, "ner.corpora"),
        (Strategy::JOINT, ObjectiveKind::Tc, "tc.corpora"),
        (Strategy::TPL, ObjectiveKind::Tc, "tc.corpora"),
        (Strategy::ADAPTERS_ONLY, ObjectiveKind::Ner, "ner.corpora"),
        (Strategy::PRETRAIN, ObjectiveKind::Mlm, "mlm.corpora"),
    ] {
        let mut config = corpora.config(strategy);
        match without {
            ObjectiveKind::Ner => config.ner.corpora.clear(),
            ObjectiveKind::Tc => config.tc.corpora.clear(),
            _ => config.mlm.corpora.clear(),
        }
        let error = refusal(&config);
        let message = error.to_string();
        assert!(
            matches!(error, TrainError::NoCorpus { objective, key: found, .. }
                if objective == without && found == key),
            "{message}"
        );
        assert!(message.contains(strategy.name) && message.contains(key), "{message}");
    }
}

#[test]
fn corpora_that_cannot_be_read_are_refused() {
    let corpora = Corpora::easy();
    let mut config = corpora.config(Strategy::NER);
    config.ner.corpora.push("no/such/corpus.jsonl".into());
    let error = refusal(&config);
    assert!(matches!(error, TrainError::Data(DataError::Open { .. })), "{error}");
    assert!(error.to_string().contains("no/such/corpus.jsonl"), "{error}");
    config.ner.corpora = vec![corpora.tc().into()];
    let error = refusal(&config).to_string();
    assert!(error.contains("pairs.jsonl:1: "), "{error}");
}

#[test]
fn sources_of_only_one_pair_are_refused() {
    let pair =
        |source: &str| json!({"anchor": "cheap hotel", "positive": "good hotel", "source": source});
    let corpora = Corpora::of(&[json!({"tokens": ["a"], "spans": []})], &["a", "b", "c"].map(pair));
    for strategy in [Strategy::TC, Strategy::JOINT] {
        let error = refusal(&corpora.config(strategy));
        let message = error.to_string();
        assert!(matches!(error, TrainError::ConfigValue { key: "tc.corpora", .. }), "{message}");
        assert!(
            message.contains("pairs.jsonl") && message.contains("two pairs or more"),
            "{message}"
        );
    }
}

#[test]
fn values_out_of_range_are_refused() {
    type Spoil = fn(&mut PrefinetuneConfig);
    let cases: [(&str, Spoil); 52] = [
        ("train.steps", |config| config.train.steps = 0),
        ("train.learning_rate", |config| config.train.learning_rate = f32::NAN),
        ("train.learning_rate", |config| config.train.learning_rate = -1e-3),
        ("train.weight_decay", |config| config.train.weight_decay = f32::INFINITY),
        ("train.clip_norm", |config| config.train.clip_norm = -1.0),
        ("train.warmup", |config| config.train.warmup = 1.5),
        ("train.warmup", |config| config.train.warmup = f32::NAN),
        ("adapter.group.warmup", |config| config.adapter.group.warmup = Some(-0.1)),
        ("ner.projection_group.warmup", |config| config.ner.projection_group.warmup = Some(2.0)),
        ("ner.projection_group.weight_decay", |config| {
            config.ner.projection_group.weight_decay = -1.0
        }),
        ("train.composition", |config| {
            (config.strategy, config.train.composition) =
                (Strategy::PCGRAD, Composition::Alternating)
        }),
        ("train.validate_every", |config| config.train.validate_every = 0),
        ("train.patience", |config| config.train.patience = 3),
        ("train.keep_checkpoints", |config| config.train.keep_checkpoints = 0),
        ("ner.batch", |config| config.ner.batch = 0),
        ("ner.batch", |config| config.ner.batch = 1_000_000_000_000),
        ("tc.batch", |config| config.tc.batch = usize::MAX),
        ("mlm.batch", |config| config.mlm.batch = (1 << 20) + 1),
        ("ner.weight", |config| config.ner.weight = Some(-1.0)),
        ("ner.scale", |config| config.ner.scale = 0.0),
        ("ner.bias", |config| config.ner.bias = f32::NAN),
        ("ner.projection_group.learning_rate", |config| {
            config.ner.projection_group.learning_rate = -1.0
        }),
        ("ner.concept_group.learning_rate", |config| config.ner.concept_group.learning_rate = -1.0),
        ("ner.concept_group.weight_decay", |config| {
            config.ner.concept_group.weight_decay = f32::NAN
        }),
        ("ner.concept_group.warmup", |config| config.ner.concept_group.warmup = Some(1.5)),
        ("ner.keep_concepts", |config| {
            (config.ner.keep_concepts, config.train.patience, config.train.validation) =
                (true, 1, 4)
        }),
        ("ner.keep_concepts", |config| {
            (config.ner.keep_concepts, config.ner.objective) = (true, Some(NerObjective::Distill))
        }),
        ("ner.distill.entity_weight", |config| config.ner.distill.entity_weight = -1.0),
        ("ner.distill.layer_weight", |config| config.ner.distill.layer_weight = f32::INFINITY),
        ("ner.distill.temperature", |config| config.ner.distill.temperature = 0.0),
        ("ner.distill.layer", |config| {
            config.ner.objective = Some(NerObjective::Distill);
            (config.ner.distill.loss, config.ner.distill.layer) = (DistillLossKind::Kl, 1)
        }),
        ("ner.corpora", |config| config.ner.corpora[0].weight = 0.0),
        ("tc.corpora", |config| config.tc.corpora[0].weight = f64::NAN),
        ("tc.batch", |config| config.tc.batch = 1),
        ("tc.weight", |config| config.tc.weight = f32::INFINITY),
        ("tc.temperature", |config| config.tc.temperature = 0.0),
        ("tc.source_exponent", |config| config.tc.source_exponent = f64::NAN),
        ("tc.distill", |config| config.tc.distill = Some(TcDistillConfig::default())),
        ("tc.teacher", |config| config.tc.teacher = Some(String::new())),
        ("tc.distill.similarity_weight", |config| taught(config).similarity_weight = -1.0),
        ("tc.distill.vector_weight", |config| taught(config).vector_weight = f32::NAN),
        ("tc.distill.vector_weight", |config| {
            let distill = taught(config);
            (distill.similarity_weight, distill.vector_weight) = (0.0, 0.0)
        }),
        ("tc.distill.temperature", |config| taught(config).temperature = Some(0.0)),
        ("tc.distill.projection_group.learning_rate", |config| {
            taught(config).projection_group.learning_rate = -1.0
        }),
        ("tc.distill.projection_group.warmup", |config| {
            taught(config).projection_group.warmup = Some(2.0)
        }),
        ("adapter.rank", |config| config.adapter.rank = 0),
        ("adapter.alpha", |config| config.adapter.alpha = -2.0),
        ("adapter.modules", |config| config.adapter.modules.clear()),
        ("stitch.own", |config| config.stitch.own = f32::NAN),
        ("stitch.other", |config| config.stitch.other = f32::INFINITY),
        ("stitch.learning_rate", |config| config.stitch.learning_rate = -1.0),
        ("adapter.layers", |config| config.adapter.layers = 4),
    ];
    let corpora = Corpora::easy();
    for (expected, spoil) in cases {
        let mut config = corpora.config(Strategy::TPL);
        spoil(&mut config);
        let error = refusal(&config);
        assert!(
            matches!(error, TrainError::ConfigValue { key, .. } if key == expected),
            "{expected}: {error}"
        );
        assert!(
            error.to_string().starts_with(&format!("configuration: {expected} is ")),
            "{error}"
        );
    }
}

#[test]
fn adapters_have_the_configured_shape() {
    let corpora = Corpora::easy();
    let mut config = corpora.config(Strategy::TPL);
    (config.adapter.layers, config.adapter.rank) = (3, 2);
    config.adapter.modules = vec![Module::Value, Module::Query];
    let (result, _) = run(&config).unwrap();
    for lora in result.adapters.values() {
        let sites: Vec<_> = lora
            .sites
            .iter()
            .map(|site| (site.spec.layer, site.spec.module, site.spec.rank))
            .collect();
        let expected =
            (0..3).flat_map(|layer| [(layer, Module::Query, 2), (layer, Module::Value, 2)]);
        assert_eq!(sites, expected.collect::<Vec<_>>());
    }
}
