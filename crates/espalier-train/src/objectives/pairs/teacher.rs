//! The teacher of text vectors: a larger sentence encoder.

use crate::config::TcConfig;
use crate::error::Result;
use crate::objectives::teacher::{Teach, TeacherOutput, identity};
use espalier_encoder::{AnyBackbone, Batch, Encoded, Pooling};
use espalier_kernels::Bf16;
use espalier_kernels::pooling::l2_normalize;
use rayon::prelude::*;
use std::path::Path;

/// Texts that run through the teacher at a time. This bounds the memory for hidden states and does
/// not affect the result.
const TEXTS: usize = 256;

/// A sentence encoder of any architecture, whose text vectors a student learns to match. They are
/// pooled as its directory says, and scaled to length one.
#[derive(Debug)]
pub struct TextTeacher {
    backbone: AnyBackbone,
    identity: String,
}

impl TextTeacher {
    /// Opens the encoder in a directory or packed file. The precision is that of `config`.
    ///
    /// ```
    /// use espalier_encoder::Backbone;
    /// use espalier_train::objectives::TextTeacher;
    /// use espalier_train::strategy::Strategy;
    /// use espalier_train::trainer::Encoders;
    /// use espalier_train::{PrefinetuneConfig, prefinetune};
    ///
    /// # let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
    /// # let fixtures = std::path::Path::new(fixtures);
    /// # let (bert, mpnet) = (fixtures.join("tiny-bert"), fixtures.join("kin/mpnet/model"));
    /// # let directory = tempfile::tempdir()?;
    /// let corpus = directory.path().join("pairs.jsonl");
    /// let pairs = r#"{"anchor": "a cheap hotel", "positive": "about hotels"}
    ///                {"anchor": "a train to paris", "positive": "about trains"}"#;
    /// std::fs::write(&corpus, pairs)?;
    ///
    /// let mut config = PrefinetuneConfig::default();
    /// (config.strategy, config.train.steps) = (Strategy::TC, 2);
    /// config.tc.corpora = vec![corpus.into()];
    /// config.tc.teacher = Some(mpnet.display().to_string());
    /// let (student, teacher) = (Backbone::open(&bert)?, TextTeacher::open(&mpnet, &config.tc)?);
    /// let encoders = Encoders::from(&student).with_text_teacher(Some(&teacher));
    /// prefinetune(encoders, &config, |report| assert_eq!(report.losses.len(), 1))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError::Encoder`](crate::TrainError::Encoder) for files that cannot be read, and for a
    /// pooling that is not supported.
    pub fn open(path: &Path, config: &TcConfig) -> Result<Self> {
        let backbone = AnyBackbone::open(path)?.with_compute(config.teacher_precision())?;
        let pooling = match backbone.text_vectors.pooling {
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
        };
        // The fingerprint is of the weights alone.
        let identity = format!("{}, {pooling} pooling", identity(path, &backbone)?);
        Ok(Self { backbone, identity })
    }

    /// A text that identifies the teacher: its fingerprint, its precision and its pooling.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The text vectors of some texts, of length one: [n, D].
    fn vectors(&self, texts: &[&str]) -> Vec<f32> {
        let (tokenizer, width) = (&self.backbone.tokenizer, self.width());
        let encoded: Vec<Encoded> = texts.par_iter().map(|text| tokenizer.encode(text)).collect();
        let batch = Batch::from_texts(&encoded);
        let (hidden, mut vectors) = (self.backbone.model(None).encode(&batch), Vec::new());
        self.backbone.text_vectors.pooling.forward(&hidden, &batch, width, &mut vectors);
        l2_normalize(&mut vectors, width, &mut vec![0.0; texts.len()]);
        vectors
    }
}

impl Teach for TextTeacher {
    /// A text. It counts as one word, whose output is the text vector.
    type Input = str;

    fn words(text: &str) -> Vec<&str> {
        vec![text]
    }

    fn width(&self) -> usize {
        self.backbone.encoder.width()
    }

    fn description(&self) -> String {
        let longest = self.backbone.tokenizer.max_tokens();
        format!("{}, {longest} tokens at most, text vectors of length one", self.identity)
    }

    fn infer(&self, texts: &[&str]) -> Vec<TeacherOutput> {
        let output = |vector: &[f32]| TeacherOutput {
            present: vec![true],
            rows: vector.iter().copied().map(Bf16::from_f32).collect(),
        };
        let of_chunk = |texts: &[&str]| {
            let vectors = self.vectors(texts);
            vectors.chunks_exact(self.width()).map(output).collect::<Vec<_>>()
        };
        texts.chunks(TEXTS).flat_map(of_chunk).collect()
    }
}
