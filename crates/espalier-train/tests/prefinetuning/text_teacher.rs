//! A teacher of text vectors beside InfoNCE.

use crate::corpora::{Corpora, run};
use espalier_encoder::{Backbone, Compute, Precision};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::{copy_of, edit_json, fixture, tiny_bert};
use espalier_train::config::{PrefinetuneConfig, TcDistillConfig};
use espalier_train::objectives::TextTeacher;
use espalier_train::strategy::{ObjectiveKind, Strategy};
use espalier_train::trainer::{Encoders, StepReport};
use espalier_train::{Prefinetuned, TrainError, prefinetune};
use serde_json::json;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

pub const TEACHERS: [&str; 3] = ["kin/distilbert/model", "kin/roberta/model", "kin/mpnet/model"];

/// The teacher in a directory, beside InfoNCE.
pub fn add_teacher(config: &mut PrefinetuneConfig, directory: &Path) {
    config.tc.teacher = Some(directory.to_str().unwrap().into());
    config.tc.teacher_precision = Some(Compute::F32);
}

/// A short run with the teacher in a directory.
fn config(corpora: &Corpora, directory: &Path) -> PrefinetuneConfig {
    let mut config = corpora.config(Strategy::TC);
    add_teacher(&mut config, directory);
    config
}

pub fn weights_of_terms(config: &mut PrefinetuneConfig, similarity: f32, vector: f32) {
    let distill = config.tc.distill.get_or_insert_default();
    (distill.similarity_weight, distill.vector_weight) = (similarity, vector);
}

pub fn text_teacher(config: &PrefinetuneConfig) -> Result<TextTeacher, TrainError> {
    TextTeacher::open(Path::new(config.tc.teacher.as_ref().unwrap()), &config.tc)
}

/// Trains the tiny BERT as the student.
pub fn taught(config: &PrefinetuneConfig) -> Result<(Prefinetuned, Vec<StepReport>), TrainError> {
    let (backbone, teacher) = (tiny_bert(), text_teacher(config)?);
    let mut reports = Vec::new();
    let encoders = Encoders::from(&backbone).with_text_teacher(Some(&teacher));
    let result = prefinetune(encoders, config, |report| reports.push(report.clone()))?;
    Ok((result, reports))
}

/// The loss of each step.
pub fn losses(config: &PrefinetuneConfig) -> Vec<f64> {
    taught(config).unwrap().1.iter().map(|report| report.losses[&ObjectiveKind::Tc]).collect()
}

/// The teacher's vectors are rounded to bfloat16, whose relative error of at most 2^-9 moves the
/// scores a little.
#[test]
fn a_student_that_equals_its_teacher_has_the_loss_of_infonce_alone() {
    let corpora = Corpora::easy();
    let mut alone = corpora.config(Strategy::TC);
    alone.train.learning_rate = 0.0;
    let mut config = alone.clone();
    add_teacher(&mut config, &fixture("tiny-bert"));
    config.tc.distill = Some(TcDistillConfig::default());
    config.tc.distill.as_mut().unwrap().projection_group.learning_rate = 0.0;
    let infonce = run(&alone).unwrap().1;
    for (loss, infonce) in losses(&config).into_iter().zip(infonce) {
        let rest = loss - infonce.losses[&ObjectiveKind::Tc];
        assert!((-1e-6..1e-3).contains(&rest), "{rest} more than InfoNCE");
    }
}

#[test]
fn students_learn_from_every_architecture() {
    let corpora = Corpora::easy();
    for teacher in TEACHERS.map(fixture) {
        for (similarity, vector) in [(1.0, 0.0), (0.0, 10.0)] {
            let mut config = config(&corpora, &teacher);
            weights_of_terms(&mut config, similarity, vector);
            config.tc.distill.as_mut().unwrap().projection_group.learning_rate = 1e-2;
            config.train.steps = 60;
            let losses = losses(&config);
            let last = losses[55..].iter().sum::<f64>() / 5.0;
            let name = teacher.display();
            assert!(last < 0.7 * losses[0], "{name}: from {} to {last}", losses[0]);
        }
    }
}

#[test]
fn every_strategy_works_with_a_teacher() {
    let corpora = Corpora::easy();
    for strategy in Strategy::ALL {
        let mut config = config(&corpora, &fixture(TEACHERS[0]));
        config.strategy = strategy;
        let (_, reports) = taught(&config).unwrap();
        assert!(
            reports.iter().all(|report| report.losses.keys().eq(strategy.objectives)),
            "{strategy}"
        );
    }
}

/// The validation loss is the loss that is trained, and computing it leaves no gradients behind.
#[test]
fn validation_has_the_loss_of_training_and_changes_nothing() {
    let corpora = Corpora::easy();
    let mut config = config(&corpora, &fixture(TEACHERS[1]));
    (config.train.validation, config.train.validate_every) = (2, 1);
    let validation = |similarity, vector| {
        let mut config = config.clone();
        weights_of_terms(&mut config, similarity, vector);
        config.train.learning_rate = 0.0;
        config.tc.distill.as_mut().unwrap().projection_group.learning_rate = 0.0;
        taught(&config).unwrap().1[0].validation[&ObjectiveKind::Tc]
    };
    let (one, two, three) = (validation(1.0, 1.0), validation(2.0, 1.0), validation(3.0, 1.0));
    assert!(two > one && ((three - two) - (two - one)).abs() < 1e-6, "{one} {two} {three}");
    let more = validation(1.0, 2.0);
    assert!(more > one, "{more} is not more than {one}");

    let often = bits(taught(&config).unwrap().0.backbone.weights());
    config.train.validate_every = 4;
    assert_eq!(bits(taught(&config).unwrap().0.backbone.weights()), often);
}

/// The vectors depend on the pooling that the directory names, and so does the identity.
#[test]
fn the_teacher_pools_as_its_directory_says() {
    let (corpora, cls) = (Corpora::easy(), copy_of("tiny-bert"));
    edit_json(&cls.path().join("1_Pooling/config.json"), |pooling| {
        pooling["pooling_mode_cls_token"] = json!(true);
        pooling["pooling_mode_mean_tokens"] = json!(false);
    });
    let (mean, cls) = (fixture("tiny-bert"), cls.path());
    let of = |directory: &Path| {
        let config = config(&corpora, directory);
        (text_teacher(&config).unwrap().identity().to_string(), losses(&config)[0])
    };
    let ((mean, mean_loss), (cls, cls_loss)) = (of(&mean), of(cls));
    assert!(mean.ends_with("in f32, mean pooling"), "{mean}");
    assert_eq!(cls, mean.replace("mean", "cls"));
    assert!(cls_loss > mean_loss + 0.01, "{cls_loss} and {mean_loss}");
}

#[test]
fn a_teacher_may_be_packed() {
    let (corpora, directory) = (Corpora::easy(), TempDir::new().unwrap());
    let exact = losses(&config(&corpora, &fixture(TEACHERS[2])))[0];
    for precision in [Precision::F32, Precision::Int8] {
        let path = directory.path().join(format!("{precision}.espalier"));
        Backbone::open(&fixture(TEACHERS[2])).unwrap().pack(precision, &path).unwrap();
        let mut config = config(&corpora, &path);
        // For a packed file `auto` is the precision of the file, except for f32.
        let compute = if precision == Precision::F32 { Compute::F32 } else { Compute::Auto };
        config.tc.teacher_precision = Some(compute);
        let packed = losses(&config)[0];
        assert!((packed - exact).abs() < 0.02 * exact, "{precision}: {packed} instead of {exact}");
        let identity = text_teacher(&config).unwrap().identity().to_string();
        assert!(identity.contains(&format!("in {precision}, packed sha256:")), "{identity}");
    }
}

/// The bits of the trained weights, and the losses of each step.
fn outcome(config: &PrefinetuneConfig) -> (Vec<u32>, String) {
    let (result, reports) = taught(config).unwrap();
    let losses: Vec<_> =
        reports.iter().map(|report| (&report.losses, &report.validation)).collect();
    (bits(result.backbone.weights()), format!("{losses:?}"))
}

#[test]
fn the_cache_changes_nothing_and_is_written_once() {
    let (corpora, directory) = (Corpora::easy(), TempDir::new().unwrap());
    let mut config = config(&corpora, &fixture(TEACHERS[1]));
    (config.train.steps, config.train.validation) = (12, 2);
    let without = outcome(&config);
    let cache = directory.path().join("cache");
    config.tc.teacher_cache = Some(cache.clone());
    assert_eq!(outcome(&config), without);
    let sizes = || {
        let files = fs::read_dir(&cache).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).collect::<Vec<_>>()
    };
    let [size] = sizes().try_into().unwrap();
    // 48 texts: the key, the number of words, a byte, and 32 numbers of 2 bytes; plus 16 bytes of
    // TFRecord.
    let texts = 48 * (16 + 16 + 4 + 1 + 64);
    assert!(size > texts && size < texts + 300, "{size} bytes");
    assert_eq!(outcome(&config), without);
    assert_eq!(sizes(), [size], "nothing is written twice");
    config.tc.teacher = Some(fixture(TEACHERS[2]).to_str().unwrap().into());
    outcome(&config);
    assert_eq!(sizes().len(), 2, "each teacher has its own file");
}

#[test]
fn a_run_with_a_teacher_needs_it() {
    let corpora = Corpora::easy();
    let mut config = config(&corpora, &fixture(TEACHERS[1]));
    let refused = run(&config).unwrap_err();
    assert!(matches!(refused, TrainError::NoTextTeacher), "{refused}");
    assert!(refused.to_string().contains("tc.teacher"), "{refused}");
    config.strategy = Strategy::NER;
    run(&config).unwrap();
    let missing = self::config(&corpora, Path::new("no/such/teacher"));
    let message = taught(&missing).unwrap_err().to_string();
    assert!(message.contains("no/such/teacher"), "{message}");

    let odd = copy_of("tiny-bert");
    edit_json(&odd.path().join("1_Pooling/config.json"), |pooling| {
        pooling["pooling_mode_max_tokens"] = json!(true);
    });
    let message = taught(&self::config(&corpora, odd.path())).unwrap_err().to_string();
    assert!(message.contains("1_Pooling") && message.contains("max_tokens"), "{message}");
}
