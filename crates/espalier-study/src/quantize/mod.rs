//! A backbone in bytes whose adapters keep their scores: packing with a gate.
//!
//! Every adapter is scored on its task before and after. If bytes everywhere cost one of them more
//! than the budget, the matrices that do the most harm stay in bf16: as few as will do, in the
//! order of their sensitivity.

mod sensitivity;

use crate::evaluate::evaluate;
use espalier_data::Examples;
use espalier_encoder::files::Staged;
use espalier_encoder::{
    Adapter, Backbone, PackedBackbone, PackedFile, Precision, Storage, TextEncoder,
};
use espalier_train::Result;
use sensitivity::by_sensitivity;
use serde::Serialize;
use std::path::Path;

/// An adapter that has to keep its score, and the examples that it is scored on.
#[derive(Debug)]
pub struct Subject {
    /// What it is called in messages.
    pub name: String,
    /// The adapter.
    pub adapter: Adapter,
    /// The examples.
    pub examples: Examples,
}

/// What quantisation may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Points of strict F1 or accuracy that an adapter may lose.
    pub max_drop: f64,
    /// Whether matrices may stay in bf16.
    pub mixed: bool,
}

/// An adapter's score in f32 and on the packed file, in points.
#[derive(Clone, Debug, Serialize)]
pub struct Grade {
    /// The adapter.
    pub name: String,
    /// What is scored: strict F1 or accuracy.
    pub score: &'static str,
    /// Number of examples.
    pub examples: usize,
    /// In f32.
    pub before: f64,
    /// On the packed file.
    pub after: f64,
}

impl Grade {
    /// Points lost; negative when it gained.
    pub fn drop(&self) -> f64 {
        self.before - self.after
    }
}

/// How a quantisation went.
#[derive(Debug)]
pub struct Quantized {
    /// The file, unless some adapter loses more than the budget whatever is done.
    pub file: Option<PackedFile>,
    /// The matrices that stay in bf16.
    pub in_bf16: Vec<String>,
    /// The last grades, in the order of the subjects.
    pub grades: Vec<Grade>,
}

/// What is being done.
#[derive(Clone, Debug)]
pub enum Stage {
    /// All adapters are scored with this many matrices in bf16, none meaning that all is in f32.
    Scoring(Option<usize>),
    /// The harm that each matrix does is measured.
    Ranking,
}

/// Packs `backbone` into the file `out` in bytes, such that no subject loses more than the budget.
///
/// # Errors
/// [`espalier_train::TrainError`] when an adapter is not one for its examples, or a file cannot be
/// written. Nothing is left at `out` unless the budget was kept.
pub fn quantize(
    backbone: &Backbone,
    subjects: &[Subject],
    budget: Budget,
    out: &Path,
    mut observe: impl FnMut(Stage),
) -> Result<Quantized> {
    observe(Stage::Scoring(None));
    let reference = backbone.clone().with_precision(Precision::F32);
    let before = scores(&reference, subjects)?;
    let pack = |in_bf16: &[String]| Trial::pack(backbone, in_bf16, out);
    let grade =
        |in_bf16: &[String], observe: &mut dyn FnMut(Stage)| -> Result<(Trial, Vec<Grade>)> {
            observe(Stage::Scoring(Some(in_bf16.len())));
            let (file, packed) = pack(in_bf16)?;
            Ok((file, grades(subjects, &before, &scores(&packed, subjects)?)))
        };
    let keeps = |grades: &[Grade]| grades.iter().all(|grade| grade.drop() <= budget.max_drop);

    let (file, grades) = grade(&[], &mut observe)?;
    if keeps(&grades) || !budget.mixed {
        let file = keeps(&grades).then(|| file.publish()).transpose()?;
        return Ok(Quantized { file, in_bf16: Vec::new(), grades });
    }
    observe(Stage::Ranking);
    let order =
        by_sensitivity(&reference, subjects, |in_bf16| pack(in_bf16).map(|(_, packed)| packed))?;
    let (_, grades) = grade(&order, &mut observe)?;
    if !keeps(&grades) {
        return Ok(Quantized { file: None, in_bf16: order, grades });
    }
    // Between a number that is too few and one that is enough.
    let (mut few, mut enough) = (0, order.len());
    while few + 1 < enough {
        let middle = (few + enough) / 2;
        match keeps(&grade(&order[..middle], &mut observe)?.1) {
            true => enough = middle,
            false => few = middle,
        }
    }
    let in_bf16 = order[..enough].to_vec();
    let (file, grades) = grade(&in_bf16, &mut observe)?;
    Ok(Quantized { file: Some(file.publish()?), in_bf16, grades })
}

/// Each subject's score, in points.
fn scores(backbone: &TextEncoder, subjects: &[Subject]) -> Result<Vec<(&'static str, f64)>> {
    let score = |subject: &Subject| {
        let scores = evaluate(backbone, &subject.adapter, &subject.examples)?;
        Ok((scores.headline_name(), 100.0 * scores.headline()))
    };
    subjects.iter().map(score).collect()
}

fn grades(
    subjects: &[Subject],
    before: &[(&'static str, f64)],
    after: &[(&'static str, f64)],
) -> Vec<Grade> {
    let pairs = subjects.iter().zip(before.iter().zip(after));
    let grade = |(subject, (&(score, before), &(_, after))): (&Subject, _)| {
        let (name, examples) = (subject.name.clone(), subject.examples.len());
        Grade { name, score, examples, before, after }
    };
    pairs.map(grade).collect()
}

/// A packed file that is only tried, and goes unless it is published. What is scored is what is
/// shipped.
struct Trial {
    file: PackedFile,
    staged: Staged,
}

impl Trial {
    fn pack(backbone: &Backbone, in_bf16: &[String], out: &Path) -> Result<(Self, PackedBackbone)> {
        let storage = Storage::from(Precision::Int8).with_bf16(in_bf16);
        let (file, staged) = backbone.pack_staged(storage, out)?;
        let packed = PackedBackbone::open(staged.partial())?;
        Ok((Self { file, staged }, packed))
    }

    /// Makes it the result.
    fn publish(self) -> Result<PackedFile> {
        self.staged.publish()?;
        Ok(self.file)
    }
}
