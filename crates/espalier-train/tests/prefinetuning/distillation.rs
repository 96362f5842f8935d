//! Distillation from teachers of all architectures.

use crate::corpora::Corpora;
use espalier_encoder::tensors::{FloatType, write_tensors};
use espalier_encoder::{Backbone, Compute, Encoder, Output, Precision};
use espalier_testing::adapters::card;
use espalier_testing::compare::bits;
use espalier_testing::fixtures::{copy_of, edit_json, fixture, tiny_bert};
use espalier_testing::tensors::{self, RawTensor};
use espalier_train::config::DistillLossKind;
use espalier_train::config::{NerObjective, PrefinetuneConfig};
use espalier_train::objectives::Teacher;
use espalier_train::strategy::ObjectiveKind;
use espalier_train::strategy::Strategy;
use espalier_train::trainer::{Encoders, StepReport};
use espalier_train::{Prefinetuned, TrainError, prefinetune};
use safetensors::Dtype;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Teachers that are not BERTs.
const TEACHERS: [&str; 3] = ["kin/distilbert/model", "kin/roberta/model", "kin/mpnet/model"];

/// A short run with the teacher in a directory.
pub fn config(corpora: &Corpora, teacher: &Path) -> PrefinetuneConfig {
    let mut config = corpora.config(Strategy::NER);
    config.ner.objective = Some(NerObjective::Distill);
    config.ner.teacher = Some(teacher.to_str().unwrap().into());
    config.ner.teacher_precision = Compute::F32;
    config
}

pub fn teacher(config: &PrefinetuneConfig) -> Result<Teacher, TrainError> {
    Teacher::open(Path::new(config.ner.teacher.as_ref().unwrap()), &config.ner)
}

/// Trains the tiny BERT as the student.
pub fn distill(config: &PrefinetuneConfig) -> Result<(Prefinetuned, Vec<StepReport>), TrainError> {
    let (backbone, teacher) = (tiny_bert(), teacher(config)?);
    let mut reports = Vec::new();
    let encoders = Encoders::from(&backbone).with_teacher(Some(&teacher));
    let result = prefinetune(encoders, config, |report| reports.push(report.clone()))?;
    Ok((result, reports))
}

/// The loss of each step.
fn losses(config: &PrefinetuneConfig) -> Vec<f64> {
    distill(config).unwrap().1.iter().map(|report| report.losses[&ObjectiveKind::Ner]).collect()
}

fn weights(config: &PrefinetuneConfig) -> Vec<u32> {
    bits(distill(config).unwrap().0.backbone.weights())
}

/// A BERT that is wider than the student, with the same tokenizer and pseudorandom weights.
fn wide_bert() -> TempDir {
    let directory = copy_of("tiny-bert");
    let path = directory.path().join("config.json");
    edit_json(&path, |config| config["hidden_size"] = json!(48));
    let encoder = Encoder::new(espalier_encoder::EncoderConfig::read(&path).unwrap());
    let values: Vec<f32> = (0..encoder.layout.len())
        .map(|i| 0.3 * ((12.9898 * i as f32).sin() * 43_758.547).sin())
        .collect();
    let tensors = encoder.layout.tensors.iter();
    let tensors =
        tensors.map(|spec| (spec.name.clone(), spec.shape.clone(), &values[spec.range.clone()]));
    write_tensors(&directory.path().join("model.safetensors"), FloatType::F32, tensors).unwrap();
    directory
}

/// The teacher's vectors are rounded to bfloat16, whose relative error of at most 2^-9 leaves a
/// cosine of at least 1 - 2^-18.
#[test]
fn a_student_that_equals_its_teacher_has_no_loss() {
    let corpora = Corpora::easy();
    let mut config = config(&corpora, &fixture("tiny-bert"));
    config.train.learning_rate = 0.0;
    config.ner.projection_group.learning_rate = 0.0;
    assert!(losses(&config).iter().all(|loss| loss.abs() < 1e-5), "{:?}", losses(&config));
}

#[test]
fn students_learn_from_every_architecture() {
    let (corpora, wide) = (Corpora::easy(), wide_bert());
    let teachers = TEACHERS.map(fixture).into_iter().chain([wide.path().to_path_buf()]);
    for teacher in teachers {
        for loss in [DistillLossKind::Cosine, DistillLossKind::Mse] {
            let mut config = config(&corpora, &teacher);
            (config.train.steps, config.ner.distill.loss) = (60, loss);
            config.ner.projection_group.learning_rate = 1e-2;
            let losses = losses(&config);
            let last = losses[55..].iter().sum::<f64>() / 5.0;
            assert!(
                last < 0.3 * losses[0],
                "{} {loss:?}: from {} to {last}",
                teacher.display(),
                losses[0]
            );
        }
    }
}

#[test]
fn every_strategy_works_with_distillation() {
    let corpora = Corpora::easy();
    for strategy in Strategy::ALL {
        let mut config = config(&corpora, &fixture(TEACHERS[0]));
        config.strategy = strategy;
        let (_, reports) = distill(&config).unwrap();
        assert!(
            reports.iter().all(|report| report.losses.keys().eq(strategy.objectives)),
            "{strategy}"
        );
    }
}

/// The loss with a packed teacher differs only by rounding.
#[test]
fn a_teacher_may_be_packed() {
    let (corpora, directory) = (Corpora::easy(), TempDir::new().unwrap());
    let exact = losses(&config(&corpora, &fixture(TEACHERS[2])))[0];
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let path = directory.path().join(format!("{precision}.espalier"));
        Backbone::open(&fixture(TEACHERS[2])).unwrap().pack(precision, &path).unwrap();
        let mut config = config(&corpora, &path);
        // For a packed file `auto` is the precision of the file, except for f32, where it is the
        // fastest precision of this machine.
        config.ner.teacher_precision =
            if precision == Precision::F32 { Compute::F32 } else { Compute::Auto };
        let packed = losses(&config)[0];
        assert!((packed - exact).abs() < 0.02 * exact, "{precision}: {packed} instead of {exact}");
        let identity = teacher(&config).unwrap().identity().to_string();
        assert!(identity.contains(&format!("in {precision}, packed sha256:")), "{identity}");
    }
}

#[test]
fn sentences_need_no_annotation() {
    let texts = [
        "the cheap hotel in london",
        "we love music !",
        "a flight to berlin",
        "good food near the river",
    ];
    fn words(text: &str) -> Vec<&str> {
        text.split(' ').collect()
    }
    let corpora = |record: &dyn Fn(&str) -> serde_json::Value| Corpora::of(&texts.map(record), &[]);
    let of = |corpora: &Corpora| weights(&config(corpora, &fixture(TEACHERS[1])));
    let annotated = of(&corpora(&|text| json!({"tokens": words(text), "spans": [[0, 1, "x"]]})));
    assert_eq!(of(&corpora(&|text| json!({"tokens": words(text)}))), annotated);
    let raw = corpora(&|text| json!({ "text": text }));
    assert_eq!(of(&raw), annotated);

    let refused = crate::corpora::run(&raw.config(Strategy::NER)).unwrap_err().to_string();
    assert!(refused.contains("concepts.jsonl:1: \"tokens\" and \"spans\""), "{refused}");
    let neither = corpora(&|text| json!({ "string": text }));
    let refused = distill(&config(&neither, &fixture(TEACHERS[1]))).unwrap_err().to_string();
    assert!(refused.contains("concepts.jsonl:1: \"tokens\" or \"text\""), "{refused}");
}

#[test]
fn entities_may_have_another_weight() {
    let corpora = Corpora::easy();
    let mut config = config(&corpora, &fixture(TEACHERS[1]));
    let unweighted = losses(&config)[0];
    config.ner.distill.entity_weight = 5.0;
    assert_ne!(losses(&config)[0], unweighted);
    config.ner.distill.entity_weight = 1.0;
    assert_eq!(losses(&config)[0], unweighted);
}

#[test]
fn a_lower_layer_may_be_matched_too() {
    let corpora = Corpora::easy();
    let mut config = config(&corpora, &fixture(TEACHERS[2]));
    let (alone, weights_alone) = (losses(&config)[0], weights(&config));
    (config.ner.distill.layer, config.ner.distill.layer_weight) = (1, 0.5);
    let both = losses(&config)[0];
    assert!(both > alone, "{both} is not more than {alone}");
    config.ner.distill.layer_weight = 0.0;
    assert_eq!(losses(&config)[0], alone);
    assert_eq!(weights(&config), weights_alone, "a layer with weight zero changes nothing");
}

/// The adapter of the fixtures, as an NER adapter with a card.
fn tagger(name: &str) -> TempDir {
    let directory = copy_of(&format!("kin/{name}/adapter"));
    let backbone = Backbone::open(&fixture(&format!("kin/{name}/model"))).unwrap();
    let tags = Output::Tags { tags: ["O", "B-city", "I-city"].map(String::from).to_vec() };
    fs::write(
        directory.path().join("espalier.json"),
        serde_json::to_string(&card(&backbone, tags)).unwrap(),
    )
    .unwrap();
    directory
}

/// A DistilBERT with a token classifier, and the name of an architecture in its config.json.
fn classifier(architecture: &str) -> TempDir {
    let directory = copy_of(TEACHERS[0]);
    edit_json(&directory.path().join("config.json"), |config| {
        config["architectures"] = json!([architecture])
    });
    tensors::edit(&directory.path().join("model.safetensors"), |tensors| {
        let values =
            (0..5 * 32).flat_map(|i| (0.5 * (i as f32 * 1.7).sin()).to_le_bytes()).collect();
        tensors.insert(
            "classifier.weight".into(),
            RawTensor { dtype: Dtype::F32, shape: vec![5, 32], bytes: values },
        );
        tensors.insert("classifier.bias".into(), RawTensor::zeros(Dtype::F32, &[5]));
    });
    directory
}

#[test]
fn students_learn_from_tag_scores() {
    let (corpora, adapter, model) =
        (Corpora::easy(), tagger("mpnet"), classifier("DistilBertForTokenClassification"));
    let cases: [(PathBuf, Option<PathBuf>); 2] =
        [(fixture(TEACHERS[2]), Some(adapter.path().into())), (model.path().into(), None)];
    for (teacher, adapter) in cases {
        let mut config = config(&corpora, &teacher);
        (config.train.steps, config.ner.projection_group.learning_rate) = (60, 1e-2);
        (config.ner.distill.loss, config.ner.distill.adapter) = (DistillLossKind::Kl, adapter);
        let losses = losses(&config);
        let last = losses[55..].iter().sum::<f64>() / 5.0;
        assert!(last < 0.3 * losses[0], "from {} to {last}", losses[0]);
    }
}

#[test]
fn teachers_without_the_required_output_are_refused() {
    let (corpora, texts, adapter) =
        (Corpora::easy(), classifier("DistilBertForSequenceClassification"), tagger("mpnet"));
    let refusal = |teacher: &Path, change: &dyn Fn(&mut PrefinetuneConfig)| {
        let mut config = config(&corpora, teacher);
        change(&mut config);
        distill(&config).unwrap_err().to_string()
    };
    let kl = |config: &mut PrefinetuneConfig| config.ner.distill.loss = DistillLossKind::Kl;
    for teacher in [&fixture(TEACHERS[1]), texts.path()] {
        let message = refusal(teacher, &kl);
        assert!(
            message.contains("no token classifier") && message.contains("ner.distill.adapter"),
            "{message}"
        );
    }
    let message = refusal(&fixture(TEACHERS[1]), &|config| {
        config.ner.distill.adapter = Some(adapter.path().into())
    });
    assert!(message.contains("was trained on the backbone"), "{message}");
    let message = refusal(&fixture(TEACHERS[1]), &|config| config.ner.distill.layer = 2);
    assert!(
        message.contains("ner.distill.layer is 2; it must be a layer below the teacher's last"),
        "{message}"
    );
    let message = refusal(Path::new("no/such/teacher"), &|_| ());
    assert!(message.contains("no/such/teacher"), "{message}");
}

#[test]
fn distillation_needs_a_teacher() {
    let corpora = Corpora::easy();
    let mut config = config(&corpora, &fixture(TEACHERS[1]));
    let refused = prefinetune(&tiny_bert(), &config, |_| ());
    assert!(matches!(refused, Err(TrainError::NoTeacher)), "{refused:?}");
    config.ner.teacher = None;
    let refused = config.check();
    assert!(matches!(refused, Err(TrainError::NoTeacher)), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("ner.teacher"));
    config.strategy = Strategy::TC;
    config.check().unwrap();
}

#[test]
fn a_student_must_not_be_packed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("student.espalier");
    tiny_bert().pack(Precision::Bf16, &path).unwrap();
    let message = Backbone::open(&path).unwrap_err().to_string();
    assert!(message.contains("a packed backbone is for inference"), "{message}");
}
