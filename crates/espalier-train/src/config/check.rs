//! Checks of the values of a configuration.

use super::{Composition, DistillLossKind, NerObjective, PrefinetuneConfig};
use crate::error::{Result, TrainError};
use crate::strategy::{Merge, ObjectiveKind};
use espalier_encoder::Compute;
use std::ops::RangeInclusive;

/// Examples of a batch. More than a million are a typing error, whatever the corpus.
pub(crate) const BATCHES: RangeInclusive<usize> = 1..=1 << 20;
pub(crate) const BATCH_RULE: &str = "it must be between 1 and 1048576";
/// Ranks of adapters.
pub(crate) const RANKS: RangeInclusive<usize> = 1..=1024;
pub(crate) const RANK_RULE: &str = "it must be between 1 and 1024";

impl PrefinetuneConfig {
    /// Checks that all values are in range, and that the objectives of the strategy have corpora.
    ///
    /// # Errors
    /// [`TrainError::ConfigValue`] with the key, the value and the rule; [`TrainError::NoCorpus`];
    /// [`TrainError::NoTeacher`].
    pub fn check(&self) -> Result<()> {
        self.check_numbers()?;
        self.check_loop()?;
        self.check_batches()?;
        self.check_model()?;
        self.check_corpus_weights()?;
        self.check_ner()?;
        self.check_tc()?;
        self.check_strategy()
    }

    /// Checks learning rates, weights and other floating-point numbers.
    fn check_numbers(&self) -> Result<()> {
        let (train, ner, tc, mlm) = (&self.train, &self.ner, &self.tc, &self.mlm);
        let (adapter, stitch, distill) = (&self.adapter, &self.stitch, tc.distill());
        let projection_group = &distill.projection_group;
        for (key, value) in [
            ("train.learning_rate", train.learning_rate),
            ("train.weight_decay", train.weight_decay),
            ("train.clip_norm", train.clip_norm),
            ("ner.weight", ner.weight()),
            ("ner.projection_group.learning_rate", ner.projection_group.learning_rate),
            ("ner.projection_group.weight_decay", ner.projection_group.weight_decay),
            ("ner.concept_group.learning_rate", ner.concept_group.learning_rate),
            ("ner.concept_group.weight_decay", ner.concept_group.weight_decay),
            ("ner.distill.entity_weight", ner.distill.entity_weight),
            ("ner.distill.layer_weight", ner.distill.layer_weight),
            ("tc.weight", tc.weight),
            ("tc.distill.similarity_weight", distill.similarity_weight),
            ("tc.distill.vector_weight", distill.vector_weight),
            ("tc.distill.projection_group.learning_rate", projection_group.learning_rate),
            ("tc.distill.projection_group.weight_decay", projection_group.weight_decay),
            ("mlm.weight", mlm.weight),
            ("adapter.group.learning_rate", adapter.group.learning_rate),
            ("adapter.group.weight_decay", adapter.group.weight_decay),
            ("stitch.learning_rate", stitch.learning_rate),
        ] {
            let valid = value.is_finite() && value >= 0.0;
            require(key, value, valid, "it must be a number of at least 0")?;
        }
        for (key, value) in [
            ("ner.scale", ner.scale),
            ("ner.distill.temperature", ner.distill.temperature),
            ("tc.temperature", tc.temperature),
            ("tc.distill.temperature", tc.distill_temperature()),
            ("adapter.alpha", adapter.alpha),
        ] {
            require(key, value, value.is_finite() && value > 0.0, "it must be a number above 0")?;
        }
        for (key, value) in [
            ("ner.bias", f64::from(ner.bias)),
            ("stitch.own", f64::from(stitch.own)),
            ("stitch.other", f64::from(stitch.other)),
            ("tc.source_exponent", tc.source_exponent),
        ] {
            require(key, value, value.is_finite(), "it must be a number")?;
        }
        for (key, warmup) in [
            ("train.warmup", Some(train.warmup)),
            ("ner.projection_group.warmup", ner.projection_group.warmup),
            ("ner.concept_group.warmup", ner.concept_group.warmup),
            ("tc.distill.projection_group.warmup", projection_group.warmup),
            ("adapter.group.warmup", adapter.group.warmup),
        ] {
            let warmup = warmup.unwrap_or_default();
            require(key, warmup, (0.0..=1.0).contains(&warmup), "it must be between 0 and 1")?;
        }
        Ok(())
    }

    /// Checks the other settings of the training loop.
    fn check_loop(&self) -> Result<()> {
        let train = &self.train;
        let trainable = train.precision != Compute::Int8;
        let rule = "int8 is for inference; give auto, f32 or bf16";
        require("train.precision", train.precision, trainable, rule)?;
        require("train.steps", train.steps, train.steps > 0, "it must be at least 1")?;
        let every = train.validate_every;
        require("train.validate_every", every, every > 0, "it must be at least 1")?;
        let validates = train.patience == 0 || train.validation > 0;
        let rule = "stopping early needs train.validation above 0";
        require("train.patience", train.patience, validates, rule)?;
        let keep = train.keep_checkpoints;
        require("train.keep_checkpoints", keep, keep > 0, "it must be at least 1")
    }

    fn check_batches(&self) -> Result<()> {
        let (ner, tc, mlm) = (&self.ner, &self.tc, &self.mlm);
        let rule = "it must be at least 2: the other pairs are the negatives";
        require("tc.batch", tc.batch, tc.batch > 1, rule)?;
        for (key, batch) in
            [("ner.batch", ner.batch), ("tc.batch", tc.batch), ("mlm.batch", mlm.batch)]
        {
            require(key, batch, BATCHES.contains(&batch), BATCH_RULE)?;
        }
        let valid = mlm.probability > 0.0 && mlm.probability <= 1.0;
        require("mlm.probability", mlm.probability, valid, "it must be above 0 and at most 1")?;
        let rule = "it must be at least 3: two special tokens and one to hide";
        require("mlm.max_tokens", mlm.max_tokens, mlm.max_tokens >= 3, rule)
    }

    /// Checks the fresh encoder and the shape of adapters.
    fn check_model(&self) -> Result<()> {
        let has_tokenizer =
            !self.starts_from_scratch() || !self.scratch.tokenizer.as_os_str().is_empty();
        let rule = "a fresh encoder needs the directory of a tokenizer; make one with espalier \
                    tokenizer train";
        require("scratch.tokenizer", "empty", has_tokenizer, rule)?;
        let adapter = &self.adapter;
        require("adapter.rank", adapter.rank, RANKS.contains(&adapter.rank), RANK_RULE)?;
        let named = !adapter.modules.is_empty();
        require("adapter.modules", "empty", named, "it must name at least one module")
    }

    fn check_corpus_weights(&self) -> Result<()> {
        for objective in ObjectiveKind::ALL {
            for weight in self.corpora(objective).iter().map(|corpus| corpus.weight) {
                let valid = weight.is_finite() && weight > 0.0;
                require(objective.corpora_key(), weight, valid, "weights must be above 0")?;
            }
        }
        Ok(())
    }

    /// Checks that the settings of the NER objective fit each other.
    fn check_ner(&self) -> Result<()> {
        let (ner, key) = (&self.ner, "ner.keep_concepts");
        let last_step = !ner.keep_concepts || self.train.patience == 0;
        let rule = "the concept model of the last step is saved; set train.patience to 0";
        require(key, "true", last_step, rule)?;
        if ner.objective() == NerObjective::Distill {
            let rule = "distillation has no concept model to save";
            require(key, "true", !ner.keep_concepts, rule)?;
            let (loss, layer) = (ner.distill.loss, ner.distill.layer);
            let fits = loss != DistillLossKind::Kl || layer == 0;
            let rule = "a lower layer needs the loss cosine or mse, not kl";
            require("ner.distill.layer", layer, fits, rule)?;
        }
        Ok(())
    }

    /// Checks that the settings of a teacher of text vectors fit each other.
    fn check_tc(&self) -> Result<()> {
        let tc = &self.tc;
        let Some(teacher) = &tc.teacher else {
            let rule = "it says how to match a teacher of text vectors; name one in tc.teacher, \
                        or remove tc.distill";
            return require("tc.distill", "set", tc.distill.is_none(), rule);
        };
        let rule = "name a directory, a packed file or a hub id, or remove tc.teacher";
        require("tc.teacher", "empty", !teacher.is_empty(), rule)?;
        let distill = tc.distill();
        let is_matched = distill.similarity_weight > 0.0 || distill.vector_weight > 0.0;
        let rule = "with tc.distill.similarity_weight 0 too nothing is learned from the teacher; \
                    give one of them a weight, or remove tc.teacher";
        require("tc.distill.vector_weight", distill.vector_weight, is_matched, rule)
    }

    /// Checks that the strategy has what it needs: corpora, and a teacher for distillation.
    fn check_strategy(&self) -> Result<()> {
        let alternating = self.train.composition == Composition::Alternating;
        let fits = !alternating || self.strategy.merge != Merge::PcGrad;
        let rule = "pcgrad compares both families' gradients in every step";
        require("train.composition", "alternating", fits, rule)?;
        for &objective in self.strategy.objectives {
            if self.corpora(objective).is_empty() {
                let (strategy, key) = (self.strategy.name.into(), objective.corpora_key());
                return Err(TrainError::NoCorpus { strategy, objective, key });
            }
            let distills = self.ner.objective() == NerObjective::Distill;
            if objective == ObjectiveKind::Ner && distills && self.ner.teacher.is_none() {
                return Err(TrainError::NoTeacher);
            }
        }
        Ok(())
    }

    /// Checks that every step has gradients of both families on the shared weights, which the
    /// conflict meter compares.
    pub(crate) fn check_measurable(&self) -> Result<()> {
        let shared = self.strategy.trains_encoder && !self.strategy.family_encoders;
        let both = shared && self.strategy.objectives.len() == 2;
        let rule = "it does not train shared weights with both families; use joint, pcgrad or tpl";
        require("strategy", self.strategy, both, rule)?;
        let together = self.train.composition == Composition::Both;
        let rule = "the gradients of one step are compared; use both";
        require("train.composition", "alternating", together, rule)
    }
}

/// [`TrainError::ConfigValue`] unless the value is valid.
fn require(
    key: &'static str,
    value: impl std::fmt::Display,
    valid: bool,
    rule: &'static str,
) -> Result<()> {
    match valid {
        true => Ok(()),
        false => Err(TrainError::ConfigValue { key, value: value.to_string(), rule }),
    }
}
