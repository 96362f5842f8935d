//! The NER side of pre-finetuning: concept contrast on weakly annotated sentences.

use super::{OwnParameters, Pass, Side, SideReport, excerpt, turns};
use crate::config::PrefinetuneConfig;
use crate::data::{ConceptSentence, Corpus, CorpusPosition};
use crate::error::Result;
use crate::objectives::{ConceptBatch, ConceptObjective, ConceptProjections, Objective};
use crate::optimizer::Group;
use crate::sampling::generator;
use espalier_encoder::{Backbone, Batch, Encoded, Pooling};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};

/// Sentences, and the concepts' vectors by the encoder as it was before training.
pub(super) struct ConceptSide {
    sentences: Corpus<ConceptSentence>,
    held_out: Vec<ConceptSentence>,
    batch: usize,
    weight: f32,
    objective: ConceptObjective,
    projections: ConceptProjections,
    projection_group: Group,
    /// The concept encoder, frozen.
    backbone: Backbone,
    concept_vectors: HashMap<String, Vec<f32>>,
}

impl ConceptSide {
    pub(super) fn new(backbone: &Backbone, config: &PrefinetuneConfig) -> Result<Self> {
        let (train, turns, seed, config) = (&config.train, turns(config), config.seed, &config.ner);
        let mut sentences = Corpus::sentences(&config.corpora, seed)?;
        let held_out =
            sentences.hold_out(train.validation, generator(seed, "ner validation"), |one| one.tokens.clone())?;
        let projections = ConceptProjections::identity(backbone.encoder.width());
        let length = projections.values.len();
        let run = (0..length, config.projection_weight_decay);
        let (schedule, warmup) = train.pace(config.projection_schedule, config.projection_warmup);
        let projection_group = Group::new(length, config.projection_learning_rate, vec![run]);
        Ok(Self {
            sentences,
            held_out,
            batch: config.batch,
            weight: config.weight,
            objective: ConceptObjective { scale: config.scale, bias: config.bias },
            projections,
            projection_group: projection_group.with_schedule(schedule, warmup).in_turns(turns),
            backbone: backbone.clone(),
            concept_vectors: HashMap::new(),
        })
    }

    /// Vectors [J, H] of the concepts' names: mean of the frozen encoder's token vectors.
    fn concept_vectors(&mut self, concepts: &[&str]) -> Vec<f32> {
        let missing: Vec<&str> =
            concepts.iter().copied().filter(|concept| !self.concept_vectors.contains_key(*concept)).collect();
        if !missing.is_empty() {
            let width = self.backbone.encoder.width();
            let encoded: Vec<Encoded> = missing.iter().map(|name| self.backbone.tokenizer.encode(name)).collect();
            let batch = Batch::of_texts(&encoded);
            let mut pooled = Vec::new();
            Pooling::Mean.forward(&self.backbone.model(None).encode(&batch), &batch, width, &mut pooled);
            for (name, vector) in missing.iter().zip(pooled.chunks_exact(width)) {
                self.concept_vectors.insert(name.to_string(), vector.to_vec());
            }
        }
        concepts.iter().flat_map(|concept| self.concept_vectors[*concept].iter().copied()).collect()
    }

    /// The loss of the sentences and the number of their tokens. `d_hidden` gets the gradient of the weighted loss at the token
    /// vectors; that of the projections is added to theirs.
    fn loss(&mut self, picked: &[ConceptSentence], pass: &mut Pass, d_hidden: &mut Vec<f32>) -> (f64, Batch) {
        let encoded: Vec<Encoded> =
            picked.par_iter().map(|sentence| self.backbone.tokenizer.encode_words(&sentence.tokens)).collect();
        let batch = Batch::of_texts(&encoded);
        let names: BTreeSet<&str> =
            picked.iter().flat_map(|sentence| &sentence.spans).map(|span| span.concept.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let concepts = self.concept_vectors(&names);
        let (tokens, targets) = targets(picked, &encoded, &batch, &names);
        let loss = self.objective.loss(
            pass.forward(&batch),
            &ConceptBatch { tokens: &tokens, concepts: &concepts, targets: &targets },
            &self.projections,
            self.weight,
            d_hidden,
            &mut self.projection_group.gradients,
        );
        (loss, batch)
    }
}

impl Side for ConceptSide {
    fn objective(&self) -> Objective {
        Objective::Ner
    }

    fn step(&mut self, mut pass: Pass) -> Result<SideReport> {
        let picked = self.sentences.batch(self.batch)?;
        let mut d_hidden = Vec::new();
        let (loss, batch) = self.loss(&picked, &mut pass, &mut d_hidden);
        pass.backward(&batch, &mut d_hidden);
        let first_text = excerpt(&picked.first().map(|sentence| sentence.tokens.join(" ")).unwrap_or_default());
        Ok(SideReport { loss, tokens: batch.tokens(), examples: picked.len(), first_text })
    }

    fn validate(&mut self, mut pass: Pass) -> Option<f64> {
        let held_out = std::mem::take(&mut self.held_out);
        let (mut sum, mut d_hidden) = (0.0, Vec::new());
        for sentences in held_out.chunks(self.batch) {
            sum += self.loss(sentences, &mut pass, &mut d_hidden).0 * sentences.len() as f64;
        }
        self.projection_group.gradients.fill(0.0); // held-out examples train nothing
        self.held_out = held_out;
        (!self.held_out.is_empty()).then(|| sum / self.held_out.len() as f64)
    }

    fn weight(&self) -> f32 {
        self.weight
    }

    fn position(&self) -> CorpusPosition {
        self.sentences.position()
    }

    fn seek(&mut self, position: &CorpusPosition) -> Result<()> {
        Ok(self.sentences.seek(position)?)
    }

    fn own_parameters(&mut self) -> Vec<OwnParameters<'_>> {
        let (values, group) = (&mut self.projections.values, &mut self.projection_group);
        vec![OwnParameters { name: "projections", values, group }]
    }
}

/// The rows of real tokens, [n], and whether each lies in an entity of each concept, [n, J].
fn targets(
    sentences: &[ConceptSentence],
    encoded: &[Encoded],
    batch: &Batch,
    concepts: &[&str],
) -> (Vec<usize>, Vec<bool>) {
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    for (s, (sentence, encoded)) in sentences.iter().zip(encoded).enumerate() {
        let first = batch.sequence(s).start;
        for (token, word) in encoded.words.iter().enumerate() {
            let Some(word) = word.map(|word| word as usize) else { continue };
            tokens.push(first + token);
            let row = targets.len();
            targets.resize(row + concepts.len(), false);
            for span in sentence.spans.iter().filter(|span| (span.start..span.end).contains(&word)) {
                if let Ok(concept) = concepts.binary_search(&span.concept.as_str()) {
                    targets[row + concept] = true;
                }
            }
        }
    }
    (tokens, targets)
}
