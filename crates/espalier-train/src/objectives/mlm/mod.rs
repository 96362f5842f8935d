//! Masked language modelling on plain text (BERT, arXiv 1810.04805).

pub mod loss;
mod masking;

pub use masking::{Masked, Masking};

use super::{BatchReport, Objective, gather, scatter_add};
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

/// The name of the head's parameters in checkpoints.
pub(crate) const MLM_HEAD: &str = "objective.mlm.head";

/// The number of tokens of the first text in error messages.
const EXCERPT_TOKENS: usize = 12;

/// The objective: pieces of text, and the head that predicts their masked tokens.
pub(super) struct MaskedLm {
    pieces: Corpus<TextPiece>,
    /// The validation set in batches. It is masked once, so that its losses are comparable.
    validation: Vec<Masked>,
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
        let rng = generator(seed, "mlm validation");
        let validation = pieces.hold_out(train.validation, rng, |piece| piece.ids.clone())?;
        let mut rng = generator(seed, "mlm validation masks");
        let validation = validation.chunks(config.batch).map(|texts| masking.mask(texts, &mut rng));
        let fresh = || MlmHead::random_init(encoder, normal(&mut generator(seed, "mlm head")));
        let head = backbone.mlm_head().cloned().unwrap_or_else(fresh);
        Ok(Self {
            validation: validation.collect(),
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

    /// The loss on the hidden states of the masked tokens, `hidden` [n, H], which is overwritten
    /// with the gradient of the weighted loss. Adds the gradients of the head and the embeddings.
    fn loss(&mut self, pass: &mut Pass, masked: &Masked, hidden: &mut [f32]) -> f64 {
        let Self { head, group, weight, .. } = self;
        let (model, own) = (pass.network.own(), &mut pass.gradients.own);
        let trained = own.weights.as_deref_mut().filter(|_| own.embeddings);
        let word_embeddings = trained
            .map(|weights| model.encoder.layout.embeddings.view_mut(weights).word_embeddings);
        let gradients =
            MlmGradients { weight: *weight, head: &mut group.gradients, word_embeddings };
        mlm_loss(head, model).loss(hidden, &masked.targets, Some(gradients))
    }

    /// The beginning of a text, for error messages.
    fn excerpt(&self, ids: &[u32]) -> String {
        let tokens = ids.iter().take(EXCERPT_TOKENS).filter_map(|&id| self.tokenizer.token(id));
        escape_control(&tokens.collect::<Vec<_>>().join(" ")).into_owned()
    }
}

impl Objective for MaskedLm {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Mlm
    }

    fn forward_backward(&mut self, mut pass: Pass) -> Result<BatchReport> {
        // The random stream is named by the position in the corpus, so that a resumed run masks the
        // same tokens.
        let position = self.pieces.position().draw.next;
        let mut rng = generator(self.seed, &format!("mlm masks {position}"));
        let pieces = self.pieces.batch(self.batch)?;
        let masked = self.masking.mask(&pieces, &mut rng);
        let batch = batch(&masked);
        let width = pass.width();
        let mut hidden = gather(pass.forward(&batch), width, &masked.rows); // [n, H]
        let loss = self.loss(&mut pass, &masked, &mut hidden); // hidden becomes its gradient
        let mut d_hidden = vec![0.0; batch.tokens() * width]; // [T, H]
        scatter_add(&hidden, width, &masked.rows, &mut d_hidden);
        pass.backward(&batch, &mut d_hidden);
        let first_text = pieces.first().map(|piece| self.excerpt(&piece.ids)).unwrap_or_default();
        Ok(BatchReport { loss, tokens: batch.tokens(), examples: pieces.len(), first_text })
    }

    fn validate(&mut self, pass: Pass) -> Result<Option<f64>> {
        let (mut sum, mut count) = (0.0, 0);
        let loss = mlm_loss(&self.head, pass.network.own());
        for masked in &self.validation {
            let mut hidden = gather(&pass.encode(&batch(masked)), pass.width(), &masked.rows);
            let loss = loss.loss(&mut hidden, &masked.targets, None);
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

/// The masking for an encoder.
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

/// The parameter group of the head. As in the encoder, its matrix has weight decay and its vectors
/// have none.
fn group(head: &MlmHead, train: &TrainConfig) -> ParameterGroup {
    let (matrix, length) = (head.matrix(), head.values.len());
    let trained = vec![(matrix.clone(), train.weight_decay), (matrix.end..length, 0.0)];
    ParameterGroup::new(length, train.learning_rate, trained)
}

/// The loss with a head, which shares its word embeddings with the encoder.
fn mlm_loss<'a>(head: &'a MlmHead, model: Model<'a>) -> MlmLoss<'a> {
    MlmLoss {
        head,
        word_embeddings: model.encoder.layout.embeddings.word_embeddings(model.weights),
        eps: model.encoder.config.layer_norm_eps,
        precision: model.packed.precision(),
    }
}

fn batch(masked: &Masked) -> Batch {
    Batch::new(masked.texts.iter().map(Vec::as_slice))
}
