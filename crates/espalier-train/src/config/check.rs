//! What values may be.

use super::{Composition, DistillLossKind, NerObjective, PrefinetuneConfig};
use crate::error::{Result, TrainError};
use crate::strategy::{Merge, ObjectiveKind};
use espalier_encoder::Compute;
use std::ops::RangeInclusive;

/// Examples per update. More than a million are not a batch but a mistake, whatever the corpus.
pub(crate) const BATCHES: RangeInclusive<usize> = 1..=1 << 20;
pub(crate) const BATCH_RULE: &str = "it must be between 1 and 1048576";
/// Ranks of adapters.
pub(crate) const RANKS: RangeInclusive<usize> = 1..=1024;
pub(crate) const RANK_RULE: &str = "it must be between 1 and 1024";

impl PrefinetuneConfig {
    /// Checks the ranges of all values, and that the strategy's families have corpora.
    ///
    /// # Errors
    /// [`TrainError::ConfigValue`] naming the key, the value and the rule;
    /// [`TrainError::NoCorpus`].
    pub fn check(&self) -> Result<()> {
        let (train, ner, tc, mlm) = (&self.train, &self.ner, &self.tc, &self.mlm);
        let (adapter, stitch) = (&self.adapter, &self.stitch);
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
            ("mlm.weight", mlm.weight),
            ("adapter.group.learning_rate", adapter.group.learning_rate),
            ("adapter.group.weight_decay", adapter.group.weight_decay),
            ("stitch.learning_rate", stitch.learning_rate),
        ] {
            require(
                key,
                value,
                value.is_finite() && value >= 0.0,
                "it must be a number of at least 0",
            )?;
        }
        for (key, value) in [
            ("ner.scale", ner.scale),
            ("ner.distill.temperature", ner.distill.temperature),
            ("tc.temperature", tc.temperature),
            ("adapter.alpha", adapter.alpha),
        ] {
            require(key, value, value.is_finite() && value > 0.0, "it must be a number above 0")?;
        }
        for (key, value) in
            [("ner.bias", ner.bias), ("stitch.own", stitch.own), ("stitch.other", stitch.other)]
        {
            require(key, value, value.is_finite(), "it must be a number")?;
        }
        require(
            "tc.source_exponent",
            tc.source_exponent,
            tc.source_exponent.is_finite(),
            "it must be a number",
        )?;
        for (key, warmup) in [
            ("train.warmup", Some(train.warmup)),
            ("ner.projection_group.warmup", ner.projection_group.warmup),
            ("ner.concept_group.warmup", ner.concept_group.warmup),
            ("adapter.group.warmup", adapter.group.warmup),
        ] {
            let warmup = warmup.unwrap_or_default();
            require(key, warmup, (0.0..=1.0).contains(&warmup), "it must be between 0 and 1")?;
        }
        let trains = train.precision != Compute::Int8;
        require(
            "train.precision",
            train.precision,
            trains,
            "int8 is for inference; give auto, f32 or bf16",
        )?;
        require("train.steps", train.steps, train.steps > 0, "it must be at least 1")?;
        require(
            "train.validate_every",
            train.validate_every,
            train.validate_every > 0,
            "it must be at least 1",
        )?;
        let validates = train.patience == 0 || train.validation > 0;
        require(
            "train.patience",
            train.patience,
            validates,
            "stopping early needs train.validation above 0",
        )?;
        require(
            "train.keep_checkpoints",
            train.keep_checkpoints,
            train.keep_checkpoints > 0,
            "it must be at least 1",
        )?;
        require(
            "tc.batch",
            tc.batch,
            tc.batch > 1,
            "it must be at least 2: the other pairs are the negatives",
        )?;
        for (key, batch) in
            [("ner.batch", ner.batch), ("tc.batch", tc.batch), ("mlm.batch", mlm.batch)]
        {
            require(key, batch, BATCHES.contains(&batch), BATCH_RULE)?;
        }
        let share = mlm.probability > 0.0 && mlm.probability <= 1.0;
        require("mlm.probability", mlm.probability, share, "it must be above 0 and at most 1")?;
        let room = mlm.max_tokens >= 3;
        require(
            "mlm.max_tokens",
            mlm.max_tokens,
            room,
            "it must be at least 3: two special tokens and one to hide",
        )?;
        let tokenizer =
            !self.starts_from_scratch() || !self.scratch.tokenizer.as_os_str().is_empty();
        let rule =
            "a fresh encoder needs the directory of one; make it by espalier tokenizer train";
        require("scratch.tokenizer", "empty", tokenizer, rule)?;
        require("adapter.rank", adapter.rank, RANKS.contains(&adapter.rank), RANK_RULE)?;
        require(
            "adapter.modules",
            "empty",
            !adapter.modules.is_empty(),
            "it must name at least one module",
        )?;
        for objective in ObjectiveKind::ALL {
            for weight in self.corpora(objective).iter().map(|corpus| corpus.weight) {
                require(
                    objective.corpora_key(),
                    weight,
                    weight.is_finite() && weight > 0.0,
                    "weights must be above 0",
                )?;
            }
        }
        let last_weights = !ner.keep_concepts || train.patience == 0;
        require(
            "ner.keep_concepts",
            "true",
            last_weights,
            "what is kept is of the last step; set train.patience to 0",
        )?;
        if ner.objective() == NerObjective::Distill {
            require(
                "ner.keep_concepts",
                "true",
                !ner.keep_concepts,
                "distillation has no concepts to keep",
            )?;
            let (layer, fits) = (
                ner.distill.layer,
                ner.distill.loss != DistillLossKind::Kl || ner.distill.layer == 0,
            );
            require(
                "ner.distill.layer",
                layer,
                fits,
                "a further layer goes with cosine or mse, not with kl",
            )?;
        }
        let alternating = train.composition == Composition::Alternating;
        let apart = alternating && self.strategy.merge == Merge::PcGrad;
        require(
            "train.composition",
            "alternating",
            !apart,
            "pcgrad compares both families' gradients in every step",
        )?;
        for &objective in self.strategy.objectives {
            if self.corpora(objective).is_empty() {
                let (strategy, key) = (self.strategy.name.into(), objective.corpora_key());
                return Err(TrainError::NoCorpus { strategy, objective, key });
            }
            if objective == ObjectiveKind::Ner
                && ner.objective() == NerObjective::Distill
                && ner.teacher.is_none()
            {
                return Err(TrainError::NoTeacher);
            }
        }
        Ok(())
    }

    /// Checks that both families' gradients meet on the shared weights in every step, which the
    /// conflict meter measures.
    pub(crate) fn check_measurable(&self) -> Result<()> {
        let shared = self.strategy.trains_encoder && !self.strategy.family_encoders;
        let meets = shared && self.strategy.objectives.len() == 2;
        require(
            "strategy",
            self.strategy,
            meets,
            "no two gradients meet under it; take joint, pcgrad or tpl",
        )?;
        let both = self.train.composition == Composition::Both;
        require(
            "train.composition",
            "alternating",
            both,
            "gradients are compared within a step; take both",
        )
    }
}

fn require(
    key: &'static str,
    value: impl std::fmt::Display,
    holds: bool,
    rule: &'static str,
) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(TrainError::ConfigValue { key, value: value.to_string(), rule }),
    }
}
