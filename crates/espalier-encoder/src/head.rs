//! A linear head on hidden states or on text vectors.

use crate::error::{EncoderError, Result};
use crate::files;
use crate::layout::Linear;
use crate::tensors::TensorFile;
use espalier_kernels::gemm::{Matrix, MatrixMut, Start, gemm};
use espalier_kernels::linear::linear_parameter_gradients;
use serde::Deserialize;
use std::fmt;
use std::path::Path;

/// A linear layer H -> C with its parameters in one flat vector: weight [C, H], then bias `[C]`.
///
/// ```
/// use espalier_encoder::{Head, best_class};
///
/// let head = Head { classes: 2, values: vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.5] };
/// let mut scores = Vec::new();
/// head.forward(&[3.0, 1.0], &mut scores); // [n, H] to [n, C]
/// assert_eq!(scores, [3.0, 1.5]);
/// assert_eq!(best_class(&scores).0, 0);
/// ```
#[derive(Clone, PartialEq)]
pub struct Head {
    /// C.
    pub classes: usize,
    /// Weight, then bias.
    pub values: Vec<f32>,
}

/// Its shape, without the numbers.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Head")
            .field("classes", &self.classes)
            .field("parameters", &self.values.len())
            .finish_non_exhaustive()
    }
}

impl Head {
    /// Random initialisation: weights uniform in +-1/sqrt(H), bias zero. `uniform` returns numbers
    /// from [-1, 1); `width` is H.
    pub fn random_init(width: usize, classes: usize, mut uniform: impl FnMut() -> f32) -> Self {
        let bound = 1.0 / (width as f32).sqrt();
        let mut values: Vec<f32> = (0..width * classes).map(|_| uniform() * bound).collect();
        values.resize(width * classes + classes, 0.0);
        Self { classes, values }
    }

    /// The classifier in a Hugging Face directory of a model for token classification
    /// (`classifier.weight` and `classifier.bias`), whose encoder has width H. `None` if
    /// config.json names another class of models or there is no classifier.
    ///
    /// # Errors
    /// [`EncoderError`] for files that cannot be read or a classifier of another shape.
    pub fn from_token_classifier(directory: &Path, width: usize) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            architectures: Option<Vec<String>>,
        }
        let config: Config = files::read_json(&directory.join("config.json"))?;
        if config
            .architectures
            .is_some_and(|names| !names.iter().any(|name| name.ends_with("TokenClassification")))
        {
            return Ok(None);
        }
        let path = directory.join("model.safetensors");
        let bytes = files::read(&path)?;
        let file = TensorFile::parse(&path, &bytes)?;
        match file.shape("classifier.weight") {
            Some(_) => Self::read(&path, &file, "classifier", width).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the tensors `NAME.weight` [C, H] and `NAME.bias` `[C]`.
    pub(crate) fn read(path: &Path, file: &TensorFile, name: &str, width: usize) -> Result<Self> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let classes = file.shape(&weight).and_then(|shape| shape.first().copied()).unwrap_or(0);
        if classes == 0 {
            return Err(EncoderError::adapter(path, format!("{weight} is missing or has no rows")));
        }
        file.expect(&weight, &[classes, width])?;
        file.expect(&bias, &[classes])?;
        let mut values = vec![0.0; classes * width + classes];
        file.read_into(&weight, &[classes, width], &mut values[..classes * width])?;
        file.read_into(&bias, &[classes], &mut values[classes * width..])?;
        Ok(Self { classes, values })
    }

    /// H, the width of its input.
    pub fn width(&self) -> usize {
        self.values.len() / self.classes - 1
    }

    /// Whether its input has this width.
    pub(crate) fn fits(&self, width: usize) -> bool {
        self.classes > 0 && self.values.len() == self.classes * (width + 1)
    }

    /// Its parameters.
    pub fn linear(&self) -> Linear<'_> {
        let (weight, bias) = self.values.split_at(self.classes * self.width());
        Linear { weight, bias }
    }

    /// Scores [n, C] of vectors [n, H].
    pub fn forward(&self, vectors: &[f32], scores: &mut Vec<f32>) {
        let (rows, Linear { bias, .. }) = (vectors.len() / self.width(), self.linear());
        scores.resize(rows * self.classes, 0.0);
        let scores = MatrixMut::new(scores, rows, self.classes);
        let vectors = Matrix::new(vectors, rows, self.width());
        gemm(vectors, self.linear().matrix().t(), Start::Bias(bias), scores);
    }

    /// Adds the gradient of the parameters to `gradient` (laid out as `values`) and writes that at
    /// the vectors to `d_vectors` [n, H].
    pub fn backward(
        &self,
        vectors: &[f32],
        d_scores: &[f32],
        gradient: &mut [f32],
        d_vectors: &mut Vec<f32>,
    ) {
        let (d_weight, d_bias) = gradient.split_at_mut(self.classes * self.width());
        linear_parameter_gradients(vectors, d_scores, d_weight, d_bias);
        let rows = vectors.len() / self.width();
        d_vectors.resize(vectors.len(), 0.0);
        let d_vectors = MatrixMut::new(d_vectors, rows, self.width());
        let d_scores = Matrix::new(d_scores, rows, self.classes);
        gemm(d_scores, self.linear().matrix(), Start::Zero, d_vectors);
    }
}

/// The index of the highest score, and its probability under softmax. Of equal scores the first.
pub fn best_class(scores: &[f32]) -> (usize, f32) {
    let (mut best, mut max) = (0, f32::NEG_INFINITY);
    for (class, &score) in scores.iter().enumerate() {
        if score > max {
            (best, max) = (class, score);
        }
    }
    let sum: f32 = scores.iter().map(|score| (score - max).exp()).sum();
    (best, 1.0 / sum)
}
