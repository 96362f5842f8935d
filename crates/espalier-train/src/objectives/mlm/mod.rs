//! Masked language modelling on running text.

pub mod loss;
mod masking;

pub use masking::{Masked, Masking};

use super::{BatchReport, Objective, gather, scatter};
use crate::config::{MlmConfig, PrefinetuneConfig, TrainConfig};
use crate::error::{Result, TrainError};
use crate::initialization::normal;
use crate::memory;
use crate::network::Pass;
use crate::optimizer::{ParameterGroup, Parameters};
use crate::strategy::ObjectiveKind;
use espalier_data::sampling::generator;
use espalier_data::{Corpus, CorpusPosition, TextPiece};
use espalier_encoder::text::escape_control;
use espalier_encoder::{Backbone, Batch, MlmHead, Model, Tokenizer};
use loss::{MlmGradients, MlmLoss};
use std::sync::Arc;

/// The name of the head's parameters.
pub(crate) const MLM_HEAD: &str = "objective.mlm.head";

/// Tokens of the first text shown in messages.
const SHOWN: usize = 12;

/// Pieces of text with the head that guesses their hidden tokens.
pub(super) struct MaskedLm {
    pieces: Corpus<TextPiece>,
    /// With the tokens that are hidden in every validation, so that losses can be compared.
    held_out: Vec<Masked>,
    batch: usize,
    weight: f32,
    seed: u64,
    masking: Masking,
    head: MlmHead,
    group: ParameterGroup,
    tokenizer: Arc<Tokenizer>,
}

impl MaskedLm {
    pub(super) fn new(backbone: &Backbone, config: &PrefinetuneConfig) -> Result<Self> {
        let (train, seed, config) = (&config.train, config.seed, &config.mlm);
        let (encoder, tokenizer) = (&backbone.encoder.config, &backbone.tokenizer);
        let masking = masking(backbone, config)?;
        if config.max_tokens > encoder.max_tokens() {
            let (key, rule) = ("mlm.max_tokens", "the encoder has positions for fewer tokens");
            return Err(TrainError::ConfigValue {
                key,
                value: config.max_tokens.to_string(),
                rule,
            });
        }
        let mut pieces = Corpus::texts(&config.corpora, tokenizer, config.max_tokens, seed)?;
        memory::check_batch(
            encoder,
            encoder.num_hidden_layers,
            config.batch.min(pieces.largest_part()),
        )?;
        let held_out =
            pieces.hold_out(train.validation, generator(seed, "mlm validation"), |one| {
                one.ids.clone()
            })?;
        let mut rng = generator(seed, "mlm validation masks");
        let held_out = held_out.chunks(config.batch).map(|texts| masking.hide(texts, &mut rng));
        let fresh = || MlmHead::random_init(encoder, normal(&mut generator(seed, "mlm head")));
        let head = backbone.mlm_head().cloned().unwrap_or_else(fresh);
        Ok(Self {
            held_out: held_out.collect(),
            pieces,
            batch: config.batch,
            weight: config.weight,
            seed,
            masking,
            group: group(&head, train),
            head,
            tokenizer: Arc::clone(tokenizer),
        })
    }

    /// The gradients of the weighted loss at the hidden tokens' vectors `d` [n, H], which come in
    /// as these vectors, and the loss.
    fn loss(&mut self, pass: &mut Pass, masked: &Masked, d: &mut [f32]) -> f64 {
        let Self { head, group, weight, .. } = self;
        let (model, own) = (pass.network.own(), &mut pass.gradients.own);
        let trained = own.weights.as_deref_mut().filter(|_| own.embeddings);
        let words = trained
            .map(|weights| model.encoder.layout.embeddings.view_mut(weights).word_embeddings);
        let gradients = MlmGradients { weight: *weight, head: &mut group.gradients, words };
        mlm_loss(head, model).loss(d, &masked.targets, Some(gradients))
    }

    /// The beginning of a text, for messages.
    fn excerpt(&self, ids: &[u32]) -> String {
        let tokens = ids.iter().take(SHOWN).filter_map(|&id| self.tokenizer.token(id));
        escape_control(&tokens.collect::<Vec<_>>().join(" ")).into_owned()
    }
}

impl Objective for MaskedLm {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Mlm
    }

    fn step(&mut self, mut pass: Pass) -> Result<BatchReport> {
        // The number of pieces drawn so far tells the step: a resumed run hides the same tokens.
        let drawn = self.pieces.position().draw.next;
        let picked = self.pieces.batch(self.batch)?;
        let masked =
            self.masking.hide(&picked, &mut generator(self.seed, &format!("mlm masks {drawn}")));
        let batch = batch(&masked);
        let width = pass.width();
        let mut vectors = gather(pass.forward(&batch), width, &masked.rows); // [n, H]
        let loss = self.loss(&mut pass, &masked, &mut vectors);
        let mut d_hidden = vec![0.0; batch.tokens() * width]; // [T, H]
        scatter(&vectors, width, &masked.rows, &mut d_hidden);
        pass.backward(&batch, &mut d_hidden);
        let first_text = picked.first().map(|piece| self.excerpt(&piece.ids)).unwrap_or_default();
        Ok(BatchReport { loss, tokens: batch.tokens(), examples: picked.len(), first_text })
    }

    fn validate(&mut self, pass: Pass) -> Result<Option<f64>> {
        let (mut sum, mut count) = (0.0, 0);
        for masked in &self.held_out {
            let mut vectors = gather(&pass.encode(&batch(masked)), pass.width(), &masked.rows);
            let loss =
                mlm_loss(&self.head, pass.network.own()).loss(&mut vectors, &masked.targets, None);
            sum += loss * masked.targets.len() as f64;
            count += masked.targets.len();
        }
        Ok((count > 0).then(|| sum / count as f64))
    }

    fn weight(&self) -> f32 {
        self.weight
    }

    fn position(&self) -> CorpusPosition {
        self.pieces.position()
    }

    fn seek(&mut self, position: &CorpusPosition) -> Result<()> {
        Ok(self.pieces.seek(position)?)
    }

    fn parameters(&mut self) -> Vec<Parameters<'_>> {
        vec![Parameters::new(MLM_HEAD, &mut self.head.values, &mut self.group)]
    }

    fn mlm_head(&self) -> Option<&MlmHead> {
        Some(&self.head)
    }
}

/// How tokens are hidden from this encoder.
fn masking(backbone: &Backbone, config: &MlmConfig) -> Result<Masking> {
    let (_, mask) = backbone.tokenizer.mask().ok_or(TrainError::NoMask)?;
    let vocabulary = backbone.tokenizer.highest_id() + 1;
    Ok(Masking {
        probability: config.probability,
        whole_words: config.whole_words,
        mask,
        vocabulary,
    })
}

/// The head is trained as the encoder is: its matrix has weight decay, its vectors have none.
fn group(head: &MlmHead, train: &TrainConfig) -> ParameterGroup {
    let (matrix, length) = (head.matrix(), head.values.len());
    let trained = vec![(matrix.clone(), train.weight_decay), (matrix.end..length, 0.0)];
    ParameterGroup::new(length, train.learning_rate, trained)
}

/// The loss by a head, with what it shares with the encoder.
fn mlm_loss<'a>(head: &'a MlmHead, model: Model<'a>) -> MlmLoss<'a> {
    MlmLoss {
        head,
        words: model.encoder.layout.embeddings.word_embeddings(model.weights),
        eps: model.encoder.config.layer_norm_eps,
        precision: model.packed.precision(),
    }
}

fn batch(masked: &Masked) -> Batch {
    Batch::new(masked.texts.iter().map(Vec::as_slice))
}
