//! Concept contrast (NuNER, arXiv 2402.15343) on weakly annotated sentences: which tokens belong to
//! entities of which concept?

mod encoder;
pub mod loss;
mod model;

pub use model::ConceptModel;

use super::sentences::{Sentences, first_text, mean_loss};
use super::{BatchReport, Objective};
use crate::config::PrefinetuneConfig;
use crate::error::Result;
use crate::network::Pass;
use crate::optimizer::{ParameterGroup, Parameters};
use crate::strategy::ObjectiveKind;
use crate::trained::objective_group;
use encoder::ConceptEncoder;
use espalier_data::{Annotation, ConceptSentence, CorpusPosition};
use espalier_encoder::{Backbone, Batch, Encoded};
use loss::{ConceptBatch, ConceptGradients, ConceptLoss, ConceptProjections};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// The objective: sentences, projections, and the encoder of the concepts' names.
pub(super) struct ConceptContrast<'a> {
    sentences: Sentences,
    weight: f32,
    loss: ConceptLoss,
    projections: ConceptProjections,
    projection_group: ParameterGroup,
    backbone: &'a Backbone,
    concept_encoder: ConceptEncoder<'a>,
    keep: bool,
}

impl<'a> ConceptContrast<'a> {
    pub(super) fn new(backbone: &'a Backbone, config: &PrefinetuneConfig) -> Result<Self> {
        let ner = &config.ner;
        let projections = ConceptProjections::identity(backbone.encoder.width());
        let length = projections.values.len();
        Ok(Self {
            sentences: Sentences::new(backbone, config, Annotation::Required)?,
            weight: ner.weight(),
            loss: ConceptLoss { scale: ner.scale, bias: ner.bias },
            projections,
            projection_group: objective_group(config, &ner.projection_group, length, 0..length),
            backbone,
            concept_encoder: ConceptEncoder::new(backbone, config),
            keep: ner.keep_concepts,
        })
    }

    /// Encodes the sentences and runs them forward. Returns the loss, the batch, and the gradients
    /// of the weighted loss with respect to the hidden states [T, H] and to the concept vectors
    /// [J, H]. Adds the gradient of the projections to their group.
    fn loss(
        &mut self,
        sentences: &[ConceptSentence],
        pass: &mut Pass,
    ) -> Result<(f64, Batch, Vec<f32>, Vec<f32>)> {
        let encoded: Vec<Encoded> = sentences
            .par_iter()
            .map(|sentence| self.backbone.tokenizer.encode_words(&sentence.tokens))
            .collect();
        let batch = Batch::from_texts(&encoded);
        let names: BTreeSet<&str> = sentences
            .iter()
            .flat_map(|sentence| &sentence.spans)
            .map(|span| span.concept.as_str())
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        let concepts = self.concept_encoder.forward(&names)?; // [J, H]
        let (tokens, targets) = targets(sentences, &encoded, &batch, &names);
        let (mut d_hidden, mut d_concepts) = (Vec::new(), Vec::new());
        let gradients = ConceptGradients {
            hidden: &mut d_hidden,
            concepts: &mut d_concepts,
            projections: &mut self.projection_group.gradients,
        };
        let concepts = ConceptBatch { tokens: &tokens, concepts: &concepts, targets: &targets };
        let hidden = pass.forward(&batch);
        let loss = self.loss.loss(hidden, &concepts, &self.projections, self.weight, gradients);
        Ok((loss, batch, d_hidden, d_concepts))
    }
}

impl Objective for ConceptContrast<'_> {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Ner
    }

    fn forward_backward(&mut self, mut pass: Pass) -> Result<BatchReport> {
        let sentences = self.sentences.next()?;
        let (loss, batch, mut d_hidden, d_concepts) = self.loss(&sentences, &mut pass)?;
        pass.backward(&batch, &mut d_hidden);
        self.concept_encoder.backward(&d_concepts)?;
        Ok(BatchReport {
            loss,
            tokens: batch.tokens(),
            examples: sentences.len(),
            first_text: first_text(&sentences),
        })
    }

    fn validate(&mut self, mut pass: Pass) -> Result<Option<f64>> {
        let validation = self.sentences.validation();
        let loss = mean_loss(validation, |sentences| Ok(self.loss(sentences, &mut pass)?.0));
        self.projection_group.gradients.fill(0.0); // added by self.loss
        loss
    }

    fn weight(&self) -> f32 {
        self.weight
    }

    fn position(&self) -> CorpusPosition {
        self.sentences.corpus.position()
    }

    fn seek(&mut self, position: &CorpusPosition) -> Result<()> {
        Ok(self.sentences.corpus.seek(position)?)
    }

    fn parameters(&mut self) -> Vec<Parameters<'_>> {
        let (values, group) = (&mut self.projections.values, &mut self.projection_group);
        let mut parameters = vec![Parameters::new("objective.ner.projections", values, group)];
        if let ConceptEncoder::Trained(trained) = &mut self.concept_encoder {
            parameters.extend(trained.parameters());
        }
        parameters
    }

    fn concept_model(&self) -> Option<ConceptModel> {
        self.keep.then(|| ConceptModel {
            encoder: self.concept_encoder.backbone(),
            projections: self.projections.clone(),
            loss: self.loss,
        })
    }
}

/// The rows of all tokens but special ones, `[n]`, and whether each is in an entity of each
/// concept, [n, J].
fn targets(
    sentences: &[ConceptSentence],
    encoded: &[Encoded],
    batch: &Batch,
    concepts: &[&str],
) -> (Vec<usize>, Vec<bool>) {
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    for (s, (sentence, encoded)) in sentences.iter().zip(encoded).enumerate() {
        let first = batch.sequence(s).start;
        for (token, word) in encoded.word_ids.iter().enumerate() {
            let Some(word) = word.map(|word| word as usize) else { continue };
            tokens.push(first + token);
            let row = targets.len();
            targets.resize(row + concepts.len(), false);
            for span in sentence.spans.iter().filter(|span| (span.start..span.end).contains(&word))
            {
                if let Ok(concept) = concepts.binary_search(&span.concept.as_str()) {
                    targets[row + concept] = true;
                }
            }
        }
    }
    (tokens, targets)
}
