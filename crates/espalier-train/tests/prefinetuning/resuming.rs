//! Resuming: the result is the same as without an interruption, and the inputs must be the same.

use crate::text_teacher::add_teacher;
use crate::trial::{Trial, metrics, model};
use espalier_encoder::Compute;
use espalier_testing::fixtures::{copy_of, fixture, tiny_bert};
use espalier_testing::tensors;
use espalier_train::config::{Composition, ConceptEncoderKind, NerObjective, PrefinetuneConfig};
use espalier_train::prefinetune;
use espalier_train::run::{Outcome, RunDirectory, RunError, RunEvent};
use espalier_train::strategy::Strategy;
use std::fs;
use std::ops::ControlFlow;

#[test]
fn a_resumed_run_gives_the_same_as_an_uninterrupted_one() {
    for (strategy, composition, precision) in [
        (Strategy::NER, Composition::Both, Compute::F32),
        (Strategy::PCGRAD, Composition::Both, Compute::F32),
        (Strategy::TPL, Composition::Both, Compute::F32),
        (Strategy::TPL, Composition::Alternating, Compute::F32),
        (Strategy::ADAPTERS_ONLY, Composition::Both, Compute::F32),
        (Strategy::CROSS_STITCH, Composition::Both, Compute::F32),
        (Strategy::CROSS_STITCH, Composition::Alternating, Compute::Bf16),
    ] {
        let mut uninterrupted = Trial::new(strategy);
        (uninterrupted.config.train.composition, uninterrupted.config.train.precision) =
            (composition, precision);
        uninterrupted.config.train.patience = 9;
        uninterrupted.config.train.checkpoint_every = 0;
        let resumed = Trial { config: uninterrupted.config.clone(), ..Trial::new(strategy) };
        let (outcome, notes) = uninterrupted.train(false, None).unwrap();
        assert!(matches!(outcome, Outcome::Finished(_)) && notes.is_empty(), "{notes:?}");
        for step in [3, 4] {
            let (outcome, _) = resumed.train(step > 3, Some(step)).unwrap();
            assert!(
                matches!(outcome, Outcome::Halted { step: halted } if halted == step),
                "{outcome:?}"
            );
        }
        assert_eq!(resumed.train(true, None).unwrap().1, ["resumed after 4"]);
        assert_eq!(model(&resumed.path()), model(&uninterrupted.path()), "{strategy}");
        assert_eq!(metrics(&resumed.path()), metrics(&uninterrupted.path()), "{strategy}");

        // prefinetune() gives the same model as the run in a directory.
        let direct = prefinetune(&tiny_bert(), &uninterrupted.config, |_| ()).unwrap();
        let out = uninterrupted.directory.path().join("direct");
        direct.save(&out, &uninterrupted.config).unwrap();
        for file in ["backbone/model.safetensors", "backbone/config.json"] {
            assert_eq!(
                fs::read(out.join(file)).unwrap(),
                fs::read(uninterrupted.path().join(file)).unwrap(),
                "{strategy}"
            );
        }
    }
}

/// Checkpoints include the parameters of the objectives.
#[test]
fn every_objective_can_be_resumed() {
    type Set = fn(&mut PrefinetuneConfig);
    let distill = |config: &mut PrefinetuneConfig, teacher: &str| {
        config.ner.objective = Some(NerObjective::Distill);
        config.ner.teacher = Some(fixture(teacher).to_str().unwrap().into());
    };
    let trained: Set = |config| {
        (config.ner.concept_encoder, config.ner.keep_concepts) =
            (ConceptEncoderKind::Trained, true);
    };
    let frozen: Set = |config| config.ner.keep_concepts = true;
    let none: Set = |_| ();
    for (teacher, set) in [(None, trained), (None, frozen), (Some("kin/mpnet/model"), none)] {
        let mut uninterrupted = Trial::new(Strategy::TPL);
        set(&mut uninterrupted.config);
        if let Some(teacher) = teacher {
            distill(&mut uninterrupted.config, teacher);
            (uninterrupted.config.ner.distill.layer, uninterrupted.config.train.patience) = (1, 9);
            uninterrupted.config.ner.teacher_cache =
                Some(uninterrupted.directory.path().join("cache"));
        }
        let resumed = Trial { config: uninterrupted.config.clone(), ..Trial::new(Strategy::TPL) };
        uninterrupted.train(false, None).unwrap();
        resumed.train(false, Some(3)).unwrap();
        assert_eq!(resumed.train(true, None).unwrap().1, ["resumed after 3"]);
        assert_eq!(model(&resumed.path()), model(&uninterrupted.path()), "{teacher:?}");
        assert_eq!(metrics(&resumed.path()), metrics(&uninterrupted.path()), "{teacher:?}");
        let saved = |trial: &Trial| {
            ["model.safetensors", "projections.safetensors", "concepts.json"]
                .map(|name| fs::read(trial.path().join("concepts").join(name)).ok())
        };
        assert_eq!(saved(&resumed), saved(&uninterrupted));
        assert!(saved(&uninterrupted).iter().all(|file| file.is_some() == teacher.is_none()));
    }
}

/// A checkpoint includes the projection to the teacher's vectors, and its moments.
#[test]
fn a_run_with_a_teacher_of_text_vectors_can_be_resumed() {
    let cases = [
        (Strategy::TPL, Composition::Both, 0, 1.0),
        (Strategy::TPL, Composition::Alternating, 3, 0.5),
        (Strategy::PCGRAD, Composition::Both, 0, 0.0),
    ];
    for (strategy, composition, chunk, vector_weight) in cases {
        let mut uninterrupted = Trial::new(strategy);
        let config = &mut uninterrupted.config;
        add_teacher(config, &fixture("kin/mpnet/model"));
        config.tc.distill.get_or_insert_default().vector_weight = vector_weight;
        (config.train.composition, config.tc.chunk, config.train.patience) =
            (composition, chunk, 9);
        config.tc.teacher_cache = Some(uninterrupted.directory.path().join("cache"));
        let resumed = Trial { config: uninterrupted.config.clone(), ..Trial::new(strategy) };
        uninterrupted.train(false, None).unwrap();
        resumed.train(false, Some(3)).unwrap();
        assert_eq!(resumed.train(true, None).unwrap().1, ["resumed after 3"]);
        assert_eq!(model(&resumed.path()), model(&uninterrupted.path()), "{strategy}");
        assert_eq!(metrics(&resumed.path()), metrics(&uninterrupted.path()), "{strategy}");

        let vectors = tensors::read(&resumed.checkpoint(6).join("state.safetensors"));
        for name in ["projection", "projection.first_moment", "projection.second_moment"] {
            let found = vectors.contains_key(&format!("objective.tc.{name}"));
            assert_eq!(found, vector_weight > 0.0, "{strategy}: {name}");
        }
    }
}

#[test]
fn a_run_is_resumed_only_with_the_same_teacher_of_text_vectors() {
    let mut trial = Trial::new(Strategy::TC);
    add_teacher(&mut trial.config, &fixture("kin/mpnet/model"));
    trial.train(false, Some(3)).unwrap();
    add_teacher(&mut trial.config, &fixture("kin/roberta/model"));
    let (error, message) = trial.expect_error();
    assert!(matches!(error, RunError::OtherTeacher { .. }), "{message}");
    trial.config.tc.teacher = None;
    let (error, message) = trial.expect_error();
    assert!(matches!(error, RunError::OtherConfig { .. }), "{message}");
    assert!(message.contains("tc.distill.vector_weight was 1.0, but is unset"), "{message}");

    // The same teacher in another directory.
    let copy = copy_of("kin/mpnet/model");
    add_teacher(&mut trial.config, copy.path());
    trial.train(true, None).unwrap();
    let card = fs::read_to_string(trial.path().join("README.md")).unwrap();
    let teacher = format!("6 pairs, distilled from {}", copy.path().file_name().unwrap().display());
    assert!(card.contains(&teacher) && !card.contains(copy.path().to_str().unwrap()), "{card}");
}

#[test]
fn a_run_is_resumed_only_with_the_same_teacher() {
    let mut trial = Trial::new(Strategy::NER);
    let teacher = |name: &str| Some(fixture(name).to_str().unwrap().to_string());
    trial.config.ner.objective = Some(NerObjective::Distill);
    trial.config.ner.teacher = teacher("kin/mpnet/model");
    trial.train(false, Some(3)).unwrap();
    trial.config.ner.teacher = teacher("kin/roberta/model");
    let (error, message) = trial.expect_error();
    assert!(matches!(error, RunError::OtherTeacher { .. }), "{message}");
    assert!(message.contains("learned from the teacher sha256:"), "{message}");

    // The same teacher in another directory.
    let copy = copy_of("kin/mpnet/model");
    trial.config.ner.teacher = Some(copy.path().to_str().unwrap().into());
    trial.train(true, None).unwrap();
    let card = fs::read_to_string(trial.path().join("README.md")).unwrap();
    let teacher =
        format!("6 sentences, distilled from {}", copy.path().file_name().unwrap().display());
    assert!(card.contains(&teacher) && !card.contains(copy.path().to_str().unwrap()), "{card}");
    let written = fs::read_to_string(trial.path().join("config.toml")).unwrap();
    assert!(written.contains("weight = 1.0"), "the default weight is written: {written}");
}

#[test]
fn a_run_is_resumed_only_with_the_same_settings_backbone_and_corpora() {
    let mut trial = Trial::new(Strategy::TPL);
    trial.train(false, Some(3)).unwrap();
    let again = RunDirectory::new(trial.path())
        .train(&tiny_bert(), &trial.config, false, |_| ControlFlow::Continue(()));
    assert!(matches!(again, Err(RunError::Exists { .. })), "{again:?}");

    trial.config.train.learning_rate *= 2.0;
    let (error, message) = trial.expect_error();
    assert!(
        matches!(error, RunError::OtherConfig { .. })
            && message.contains("train.learning_rate was 0.001"),
        "{message}"
    );
    trial.config.train.learning_rate /= 2.0;

    let mut weights = tiny_bert().weights().to_vec();
    weights[0] += 1.0;
    let other = tiny_bert().with_weights(weights);
    let refused = RunDirectory::new(trial.path())
        .train(&other, &trial.config, true, |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(RunError::OtherBackbone { .. })), "{refused:?}");

    let text = fs::read_to_string(trial.corpora.tc()).unwrap();
    fs::write(trial.corpora.tc(), text.replacen("river", "music", 1)).unwrap();
    let (error, message) = trial.expect_error();
    assert!(matches!(error, RunError::OtherCorpus { key: "tc.corpora", .. }), "{message}");
    assert!(message.contains("pairs.jsonl of"), "{message}");

    fs::remove_file(trial.corpora.tc()).unwrap();
    let missing = trial.train(true, None).unwrap_err().to_string();
    assert!(missing.contains("pairs.jsonl: cannot be opened"), "{missing}");

    // The same corpus in another directory, and a setting that does not affect the result.
    let moved = trial.directory.path().join("moved/pairs.jsonl");
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    fs::write(&moved, text).unwrap();
    trial.config.tc.corpora = vec![moved.into()];
    trial.config.train.checkpoint_every = 1;
    let (outcome, notes) = trial.train(true, None).unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)) && notes == ["resumed after 3"], "{notes:?}");
    let finished = trial.train(true, None).unwrap().0;
    assert!(matches!(finished, Outcome::Finished(summary) if summary.step == 6));
}

#[test]
fn a_directory_is_locked_while_a_run_trains_in_it() {
    let trial = Trial::new(Strategy::TC);
    let outcome =
        RunDirectory::new(trial.path()).train(&tiny_bert(), &trial.config, false, |event| {
            if let RunEvent::Step(_) = event {
                let (error, message) = trial.expect_error();
                assert!(matches!(error, RunError::Busy { .. }), "{message}");
            }
            ControlFlow::Continue(())
        });
    assert!(matches!(outcome, Ok(Outcome::Finished(_))));
}
