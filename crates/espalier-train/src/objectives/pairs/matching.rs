//! The terms of the loss that match a teacher: its similarities within the batch, and its vectors.

use super::batch::PairBatch;
use super::similarity::{SimilarityLoss, TeacherPairs};
use super::teacher::TextTeacher;
use crate::config::{DistillLossKind, PrefinetuneConfig};
use crate::error::Result;
use crate::objectives::distill::loss::{DistillLoss, WordBatch};
use crate::objectives::teacher::{CachedTeacher, initial_projection};
use crate::objectives::{gather, scatter_add};
use crate::optimizer::{ParameterGroup, Parameters};
use crate::trained::objective_group;
use espalier_encoder::Head;
use espalier_kernels::pooling::l2_normalize;

/// The name of the projection in checkpoints.
const PROJECTION: &str = "objective.tc.projection";

/// A teacher, and the two terms of the loss by which the student matches it.
pub(super) struct TeacherTerms<'a> {
    teacher: CachedTeacher<'a, TextTeacher>,
    /// H, the width of the student's vectors.
    width: usize,
    similarity: SimilarityLoss,
    similarity_weight: f32,
    vector_weight: f32,
    /// `None` if the vectors are not matched.
    projection: Option<Projection>,
}

/// P, the trained map from the student's vectors to the teacher's, with a bias of zero.
struct Projection {
    map: Head,
    group: ParameterGroup,
}

impl Projection {
    fn new(width: usize, outputs: usize, config: &PrefinetuneConfig) -> Self {
        let map = initial_projection(width, outputs, config.seed, PROJECTION);
        let (settings, length) = (&config.tc.distill().projection_group, map.values.len());
        let group = objective_group(config, settings, length, 0..width * outputs);
        Self { map, group }
    }
}

impl<'a> TeacherTerms<'a> {
    /// The terms that `config` asks for, on a student of width H.
    pub(super) fn new(
        width: usize,
        teacher: &'a TextTeacher,
        config: &PrefinetuneConfig,
    ) -> Result<Self> {
        let (tc, distill) = (&config.tc, config.tc.distill());
        let teacher = CachedTeacher::new(teacher, tc.teacher_cache.as_deref())?;
        let projection = || Projection::new(width, teacher.width(), config);
        Ok(Self {
            projection: (distill.vector_weight > 0.0).then(projection),
            teacher,
            width,
            similarity: SimilarityLoss { temperature: tc.distill_temperature() },
            similarity_weight: distill.similarity_weight,
            vector_weight: distill.vector_weight,
        })
    }

    /// The sum of the weighted terms, on the student's vectors [texts, H] of a batch. Adds the
    /// gradients of `weight * sum` to `d_vectors` [texts, H] and to the projection's group.
    pub(super) fn loss(
        &mut self,
        batch: &PairBatch,
        vectors: &[f32],
        weight: f32,
        d_vectors: &mut [f32],
    ) -> Result<f64> {
        let targets = self.targets(&batch.texts)?; // [texts, D]
        let similarities = self.match_similarities(batch, vectors, &targets, weight, d_vectors);
        let vectors = self.match_vectors(vectors, &targets, weight, d_vectors);
        Ok(f64::from(self.similarity_weight) * similarities
            + f64::from(self.vector_weight) * vectors)
    }

    /// The teacher's vectors of texts, [n, D]. They have length one, which rounding has changed.
    fn targets(&mut self, texts: &[&str]) -> Result<Vec<f32>> {
        let outputs = self.teacher.infer(texts)?;
        let rows = outputs.iter().flat_map(|output| &output.rows);
        let mut targets: Vec<f32> = rows.map(|x| x.to_f32()).collect();
        l2_normalize(&mut targets, self.teacher.width(), &mut vec![0.0; texts.len()]);
        Ok(targets)
    }

    /// The divergence of the similarities, not weighted; 0 if their weight is 0.
    fn match_similarities(
        &self,
        batch: &PairBatch,
        vectors: &[f32],
        targets: &[f32],
        weight: f32,
        d_vectors: &mut [f32],
    ) -> f64 {
        if self.similarity_weight == 0.0 {
            return 0.0;
        }
        let PairBatch { anchors, candidates, excluded, .. } = batch;
        let (width, outputs) = (self.width, self.teacher.width());
        let of_teacher = [anchors, candidates].map(|rows| gather(targets, outputs, rows));
        let [of_anchors, of_candidates] = &of_teacher;
        let teacher =
            TeacherPairs { width: outputs, anchors: of_anchors, candidates: of_candidates };
        let (mut a, mut c) = (gather(vectors, width, anchors), gather(vectors, width, candidates));
        let weight = weight * self.similarity_weight;
        let loss = self.similarity.loss(width, &mut a, &mut c, teacher, excluded, weight);
        scatter_add(&a, width, anchors, d_vectors); // a and c are now the gradients
        scatter_add(&c, width, candidates, d_vectors);
        loss
    }

    /// The mean of 1 - cos(P h, t) over the texts, not weighted; 0 without a projection.
    fn match_vectors(
        &mut self,
        vectors: &[f32],
        targets: &[f32],
        weight: f32,
        d_vectors: &mut [f32],
    ) -> f64 {
        let Some(Projection { map, group }) = &mut self.projection else { return 0.0 };
        // The loss of distillation on words, with texts in their place.
        let weights = vec![1.0; targets.len() / map.classes];
        let texts = WordBatch { vectors, targets, weights: &weights };
        let cosine = DistillLoss { kind: DistillLossKind::Cosine, temperature: 1.0 };
        let (weight, mut gradient) = (weight * self.vector_weight, Vec::new());
        let loss = cosine.loss(texts, map, weight, &mut gradient, &mut group.gradients);
        d_vectors.iter_mut().zip(&gradient).for_each(|(sum, d)| *sum += d);
        loss
    }

    /// Forgets the gradients that [`TeacherTerms::loss`] has added to the projection's group.
    pub(super) fn clear_gradients(&mut self) {
        self.projection.iter_mut().for_each(|projection| projection.group.gradients.fill(0.0));
    }

    /// The projection, if there is one.
    pub(super) fn parameters(&mut self) -> Option<Parameters<'_>> {
        let Projection { map, group } = self.projection.as_mut()?;
        Some(Parameters::new(PROJECTION, &mut map.values, group))
    }
}
