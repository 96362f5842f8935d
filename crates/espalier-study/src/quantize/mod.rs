//! Quantization of a backbone, provided that its adapters keep their scores.
//!
//! Every adapter is scored on its task before and after packing in int8. If one of them loses more
//! than is allowed, the matrices that cause the largest errors stay in bf16: as few as necessary,
//! in the order of their sensitivity.

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
use std::fmt;
use std::path::Path;

/// An adapter that has to keep its score, and the examples that it is scored on.
#[derive(Debug)]
#[non_exhaustive]
pub struct ScoredAdapter {
    /// Its name in messages.
    pub name: String,
    /// The adapter.
    pub adapter: Adapter,
    /// The examples.
    pub examples: Examples,
}

impl ScoredAdapter {
    /// An adapter with the examples that it is scored on.
    pub fn new(name: impl Into<String>, adapter: Adapter, examples: Examples) -> Self {
        Self { name: name.into(), adapter, examples }
    }
}

/// An adapter's score in f32 and on the packed file, in points (0 to 100).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AdapterScore {
    /// The adapter.
    pub name: String,
    /// What is scored: strict F1 or accuracy.
    #[serde(rename = "score")]
    pub metric: &'static str,
    /// Number of examples.
    pub examples: usize,
    /// In f32.
    pub before: f64,
    /// On the packed file.
    pub after: f64,
}

impl AdapterScore {
    /// Points lost; negative if it gained.
    pub fn drop(&self) -> f64 {
        self.before - self.after
    }
}

/// The result of a quantization.
#[derive(Debug)]
#[non_exhaustive]
pub struct Quantized {
    /// The file; `None` if some adapter loses more than is allowed whatever stays in bf16.
    pub file: Option<PackedFile>,
    /// The matrices that stay in bf16.
    pub in_bf16: Vec<String>,
    /// The last scores, in the order of the adapters.
    pub adapters: Vec<AdapterScore>,
}

/// What a quantization is doing; displayed as a line for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// All adapters are scored with this many matrices in bf16; `None` is everything in f32.
    Scoring(Option<usize>),
    /// The error that each matrix causes is measured.
    Ranking,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Scoring(None) => f.write_str("scoring in f32"),
            Self::Scoring(Some(0)) => f.write_str("scoring in int8"),
            Self::Scoring(Some(n)) => write!(f, "scoring with {n} matrices in bf16"),
            Self::Ranking => f.write_str("measuring what each matrix costs in int8"),
        }
    }
}

/// Packs a backbone in int8 such that no adapter loses more than is allowed.
///
/// ```
/// use espalier_data::Examples;
/// use espalier_encoder::{Backbone, PackedBackbone};
/// use espalier_study::quantize::{Quantizer, ScoredAdapter};
/// use espalier_train::Finetuner;
/// use espalier_train::finetune::FinetuneConfig;
/// # use std::path::Path;
/// # let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert"));
///
/// let backbone = Backbone::open(directory)?;
/// let rows = [("great music", "good"), ("bad weather", "bad")];
/// let examples = Examples::classification(rows)?;
/// let mut config = FinetuneConfig::default();
/// config.steps = 2;
/// let adapter = Finetuner::new(&backbone).config(config).train(&examples, |_| {})?;
///
/// let adapters = [ScoredAdapter::new("opinions", adapter, examples)];
/// let out = tempfile::tempdir()?;
/// let path = out.path().join("tiny.espalier");
/// let quantizer = Quantizer::new(&backbone, &adapters).max_drop(100.0);
/// let quantized = quantizer.pack(&path, |stage| println!("{stage}"))?;
/// assert!(quantized.file.is_some() && quantized.in_bf16.is_empty());
/// PackedBackbone::open(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Quantizer<'a> {
    backbone: &'a Backbone,
    adapters: &'a [ScoredAdapter],
    max_drop: f64,
    mixed: bool,
}

impl<'a> Quantizer<'a> {
    /// Of `backbone`, for `adapters` of which none may lose more than half a point. Matrices may
    /// stay in bf16.
    pub fn new(backbone: &'a Backbone, adapters: &'a [ScoredAdapter]) -> Self {
        Self { backbone, adapters, max_drop: 0.5, mixed: true }
    }

    /// Sets how many points of strict F1 or accuracy an adapter may lose.
    pub fn max_drop(mut self, points: f64) -> Self {
        self.max_drop = points;
        self
    }

    /// Sets whether matrices may stay in bf16.
    pub fn mixed(mut self, mixed: bool) -> Self {
        self.mixed = mixed;
        self
    }

    /// Packs the backbone into the file `out`.
    ///
    /// # Errors
    /// [`espalier_train::TrainError`] when an adapter is not one for its examples, or a file cannot
    /// be written. There is no file `out` unless all adapters keep their scores.
    pub fn pack(self, out: &Path, mut observe: impl FnMut(Stage)) -> Result<Quantized> {
        observe(Stage::Scoring(None));
        let reference = self.backbone.clone().with_precision(Precision::F32);
        let before = self.scores(&reference)?;
        let pack = |in_bf16: &[String]| Trial::pack(self.backbone, in_bf16, out);
        type Scored = (Trial, Vec<AdapterScore>);
        let score = |in_bf16: &[String], observe: &mut dyn FnMut(Stage)| -> Result<Scored> {
            observe(Stage::Scoring(Some(in_bf16.len())));
            let (file, packed) = pack(in_bf16)?;
            Ok((file, self.compare(&before, &self.scores(&packed)?)))
        };

        let (file, adapters) = score(&[], &mut observe)?;
        if self.keeps(&adapters) || !self.mixed {
            let file = self.keeps(&adapters).then(|| file.publish()).transpose()?;
            return Ok(Quantized { file, in_bf16: Vec::new(), adapters });
        }
        observe(Stage::Ranking);
        let order = by_sensitivity(&reference, self.adapters, |in_bf16| {
            pack(in_bf16).map(|(_, packed)| packed)
        })?;
        let (_, adapters) = score(&order, &mut observe)?;
        if !self.keeps(&adapters) {
            return Ok(Quantized { file: None, in_bf16: order, adapters });
        }
        // Binary search for the smallest number that is enough.
        let (mut few, mut enough) = (0, order.len());
        while few + 1 < enough {
            let middle = (few + enough) / 2;
            match self.keeps(&score(&order[..middle], &mut observe)?.1) {
                true => enough = middle,
                false => few = middle,
            }
        }
        let in_bf16 = order[..enough].to_vec();
        let (file, adapters) = score(&in_bf16, &mut observe)?;
        Ok(Quantized { file: Some(file.publish()?), in_bf16, adapters })
    }

    /// Each adapter's metric and its score in points.
    fn scores(&self, backbone: &TextEncoder) -> Result<Vec<(&'static str, f64)>> {
        let score = |scored: &ScoredAdapter| {
            let scores = evaluate(backbone, &scored.adapter, &scored.examples)?;
            Ok((scores.main_metric(), 100.0 * scores.main_score()))
        };
        self.adapters.iter().map(score).collect()
    }

    fn compare(
        &self,
        before: &[(&'static str, f64)],
        after: &[(&'static str, f64)],
    ) -> Vec<AdapterScore> {
        let pairs = self.adapters.iter().zip(before.iter().zip(after));
        let score = |(scored, (&(metric, before), &(_, after))): (&ScoredAdapter, _)| {
            let (name, examples) = (scored.name.clone(), scored.examples.len());
            AdapterScore { name, metric, examples, before, after }
        };
        pairs.map(score).collect()
    }

    /// Whether no adapter loses too much.
    fn keeps(&self, adapters: &[AdapterScore]) -> bool {
        adapters.iter().all(|adapter| adapter.drop() <= self.max_drop)
    }
}

/// A packed file that is deleted unless it is published. The file that is scored is the one that is
/// published.
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

    /// Moves the file to its place.
    fn publish(self) -> Result<PackedFile> {
        self.staged.publish()?;
        Ok(self.file)
    }
}
