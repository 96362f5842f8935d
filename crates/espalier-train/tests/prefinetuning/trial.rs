//! Short runs in a directory.

use crate::corpora::Corpora;
use crate::{distillation, text_teacher};
use espalier_testing::fixtures::tiny_bert;
use espalier_train::config::{NerObjective, PrefinetuneConfig};
use espalier_train::run::{Outcome, RunDirectory, RunError, RunEvent};
use espalier_train::strategy::Strategy;
use espalier_train::trainer::Encoders;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A run of six steps, with a validation and a checkpoint in every second step.
pub struct Trial {
    pub corpora: Corpora,
    pub config: PrefinetuneConfig,
    pub directory: TempDir,
}

impl Trial {
    pub fn new(strategy: Strategy) -> Self {
        let corpora = Corpora::easy();
        let mut config = corpora.config(strategy);
        (config.train.steps, config.train.checkpoint_every) = (6, 2);
        (config.train.validation, config.train.validate_every) = (2, 2);
        Self { corpora, config, directory: TempDir::new().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    pub fn checkpoint(&self, step: usize) -> PathBuf {
        self.path().join(format!("checkpoints/step-{step:08}"))
    }

    /// Trains until the end, or until `halt` steps are done. Returns notes of other events.
    pub fn train(
        &self,
        resume: bool,
        halt: Option<usize>,
    ) -> Result<(Outcome, Vec<String>), RunError> {
        let mut notes = Vec::new();
        let (backbone, distills) =
            (tiny_bert(), self.config.ner.objective() == NerObjective::Distill);
        let teacher = distills.then(|| distillation::teacher(&self.config)).transpose()?;
        let is_taught = self.config.tc.teacher.is_some();
        let text_teacher =
            is_taught.then(|| text_teacher::text_teacher(&self.config)).transpose()?;
        let encoders = Encoders::from(&backbone).with_teacher(teacher.as_ref());
        let encoders = encoders.with_text_teacher(text_teacher.as_ref());
        let outcome =
            RunDirectory::new(self.path()).train(encoders, &self.config, resume, |event| {
                match event {
                    RunEvent::Damaged(error) => notes.push(error.to_string()),
                    RunEvent::Resumed(step) => notes.push(format!("resumed after {step}")),
                    RunEvent::Step(report) if Some(report.step) == halt => {
                        return ControlFlow::Break(());
                    }
                    _ => {}
                }
                ControlFlow::Continue(())
            })?;
        Ok((outcome, notes))
    }

    /// The error of resuming, and its message.
    pub fn expect_error(&self) -> (RunError, String) {
        match self.train(true, None) {
            Err(error) => {
                let message = error.to_string();
                (error, message)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The files of the model, with their bytes.
pub fn model(run: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files =
        vec!["README.md".to_string(), "summary.json".into(), "backbone/model.safetensors".into()];
    for family in ["ner", "tc"].iter().filter(|family| run.join("adapters").join(family).exists()) {
        files.extend(
            ["adapter_model.safetensors", "espalier.json"]
                .map(|file| format!("adapters/{family}/{file}")),
        );
    }
    if run.join("columns").exists() {
        files.extend(["columns/tc/model.safetensors", "columns/stitches.json"].map(String::from));
    }
    files.into_iter().map(|name| (name.clone(), fs::read(run.join(name)).unwrap())).collect()
}

/// The lines of metrics.jsonl, without times.
pub fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let untimed = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("seconds");
        line
    };
    text.lines().map(untimed).collect()
}
