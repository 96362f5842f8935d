//! The pre-finetuned encoders of a study: made once, and kept in its directory.

use super::config::TuningConfig;
use super::error::{Result, StudyError, io};
use super::plan::EncoderPlan;
use super::results::{EncoderRecord, Record, TuningRecord};
use super::run::{Study, StudyEvent};
use espalier_encoder::{Backbone, Family};
use espalier_train::objectives::{Teacher, TextTeacher};
use espalier_train::run::{Outcome, RunDirectory, RunEvent, Summary};
use espalier_train::strategy::ObjectiveKind;
use espalier_train::trainer::Encoders;
use espalier_train::{PrefinetuneConfig, Prefinetuned};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

/// Opens the models that a study names.
pub trait ModelSource {
    /// Opens a backbone: a directory or a model id.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn backbone(&self, name: &str) -> Result<Backbone, Box<dyn Error + Send + Sync>>;

    /// Opens the teachers that these settings name.
    ///
    /// # Errors
    /// Why one cannot be opened.
    fn teachers(
        &self,
        config: &PrefinetuneConfig,
    ) -> Result<Teachers, Box<dyn Error + Send + Sync>>;
}

/// The teachers of a strategy, if it has any.
#[derive(Debug, Default)]
pub struct Teachers {
    /// `ner.teacher`.
    pub ner: Option<Teacher>,
    /// `tc.teacher`.
    pub tc: Option<TextTeacher>,
}

impl Study<'_> {
    /// The encoder of a plan: from the study's directory if it is there, otherwise pre-finetuned.
    /// Waits while another process makes it.
    pub(super) fn encoder(&mut self, plan: &EncoderPlan) -> Result<Prefinetuned> {
        let compute = plan.config.train.precision;
        let backbone = self.backbone(plan)?;
        if plan.config.strategy.objectives.is_empty() {
            return Ok(Prefinetuned::from(backbone).with_compute(compute));
        }
        let encoders = self.directory.join("encoders");
        fs::create_dir_all(&encoders).map_err(io(&encoders))?;
        let path = encoders.join(format!("{}.lock", plan.tuning));
        let lock = File::create(&path).map_err(io(&path))?;
        lock.lock().map_err(io(&path))?; // until it is dropped
        let chosen = match &self.config.tuning {
            Some(tuning) => self.tuned(plan, tuning, &backbone)?,
            None => Vec::new(),
        };
        let directory = encoders.join(&plan.address);
        let config = self.config.prefinetuning(&plan.backbone, &plan.row, plan.seed, &chosen)?;
        let start = Instant::now();
        let summary = self.prefinetune(plan, &backbone, &config, &directory)?;
        if !self.results.read()?.contains_key(&plan.address) {
            let seconds = start.elapsed().as_secs_f64();
            let record = self.encoder_record(plan, chosen, &summary, seconds);
            self.results.append(&Record::Encoder(record.clone()))?;
            self.observe(StudyEvent::Encoder(&record))?;
        }
        Ok(Prefinetuned::open(&directory)?.with_compute(compute))
    }

    fn backbone(&self, plan: &EncoderPlan) -> Result<Backbone> {
        let name = &plan.backbone.path;
        self.models
            .backbone(name)
            .map(|backbone| backbone.with_compute(plan.config.train.precision))
            .map_err(|cause| StudyError::Model { name: name.clone(), cause })
    }

    /// Pre-finetunes in a directory, or goes on there. The checkpoints of a finished run are
    /// removed.
    fn prefinetune(
        &mut self,
        plan: &EncoderPlan,
        backbone: &Backbone,
        config: &PrefinetuneConfig,
        directory: &Path,
    ) -> Result<Summary> {
        let name = || format!("the teachers of {}", plan.row.name);
        let teachers = self.models.teachers(config);
        let teachers = teachers.map_err(|cause| StudyError::Model { name: name(), cause })?;
        let encoders = Encoders::from(backbone).with_teacher(teachers.ner.as_ref());
        let encoders = encoders.with_text_teacher(teachers.tc.as_ref());
        let run = RunDirectory::new(directory);
        let outcome = run.train(encoders, config, true, |event| match event {
            RunEvent::Step(step) => (self.observer)(StudyEvent::Prefinetune(plan, step)),
            _ => std::ops::ControlFlow::Continue(()),
        })?;
        let Outcome::Finished(summary) = outcome else { return Err(StudyError::Interrupted) };
        let checkpoints = directory.join("checkpoints");
        if checkpoints.exists() {
            fs::remove_dir_all(&checkpoints).map_err(io(&checkpoints))?;
        }
        Ok(summary)
    }

    fn encoder_record(
        &self,
        plan: &EncoderPlan,
        chosen: Vec<String>,
        summary: &Summary,
        seconds: f64,
    ) -> EncoderRecord {
        let loss =
            |(objective, &loss): (&ObjectiveKind, &f64)| (objective.name().to_string(), loss);
        EncoderRecord {
            address: plan.address.clone(),
            backbone: plan.backbone.name.clone(),
            row: plan.row.name.clone(),
            seed: plan.seed,
            chosen,
            steps: summary.step,
            validation: summary.validation.iter().map(loss).collect(),
            seconds,
            fingerprint: summary.backbone.clone(),
            machine: self.machine.clone(),
        }
    }

    /// The candidate with the best dev scores. Those that were scored before are not tried again.
    fn tuned(
        &mut self,
        plan: &EncoderPlan,
        tuning: &TuningConfig,
        backbone: &Backbone,
    ) -> Result<Vec<String>> {
        let mut best: Option<TuningRecord> = None;
        for (number, candidate) in tuning.candidates.iter().enumerate() {
            let address = format!("{}-{number}", plan.tuning);
            let record = match self.results.read()?.remove(&address) {
                Some(Record::Tuning(record)) => record,
                _ => self.candidate(plan, tuning, backbone, address, candidate)?,
            };
            if best.as_ref().is_none_or(|best| record.mean > best.mean) {
                best = Some(record);
            }
        }
        Ok(best.map(|best| best.candidate).unwrap_or_default())
    }

    /// Pre-finetunes with the settings of a candidate, and scores it on dev.
    fn candidate(
        &mut self,
        plan: &EncoderPlan,
        tuning: &TuningConfig,
        backbone: &Backbone,
        address: String,
        candidate: &[String],
    ) -> Result<TuningRecord> {
        let start = Instant::now();
        let seed = plan.row.seeds[0];
        let mut config = self.config.prefinetuning(&plan.backbone, &plan.row, seed, candidate)?;
        config.train.steps = tuning.steps;
        let directory = self.directory.join("tuning").join(&address);
        self.prefinetune(plan, backbone, &config, &directory)?;
        let encoder = Prefinetuned::open(&directory)?.with_compute(config.train.precision);
        let mut dev = BTreeMap::new();
        let mut families: BTreeMap<Family, Vec<f64>> = BTreeMap::new();
        for (index, name) in self.config.task_names().iter().enumerate() {
            if tuning.tasks.contains(name) {
                let score = self.dev_score(&encoder, plan, index, tuning.fraction)?;
                dev.insert(name.clone(), score);
                families.entry(self.tasks[index].family()).or_default().push(score);
            }
        }
        let mean = |scores: &Vec<f64>| scores.iter().sum::<f64>() / scores.len() as f64;
        let record = TuningRecord {
            address,
            backbone: plan.backbone.name.clone(),
            row: plan.row.name.clone(),
            candidate: candidate.to_vec(),
            dev,
            mean: mean(&families.values().map(mean).collect()),
            seconds: start.elapsed().as_secs_f64(),
        };
        self.results.append(&Record::Tuning(record.clone()))?;
        self.observe(StudyEvent::Tuning(&record))?;
        fs::remove_dir_all(&directory).map_err(io(&directory))?;
        Ok(record)
    }
}
