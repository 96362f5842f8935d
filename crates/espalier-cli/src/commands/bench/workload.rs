//! The model and the batches to measure with.

use super::{Args, Work};
use crate::backbone;
use anyhow::Context;
use espalier_data::sampling::generator;
use espalier_encoder::{AnyBackbone, Batch, Encoder, EncoderConfig, Precision, memory};
use espalier_train::initialization::uniform;
use rand::Rng;
use std::path::Path;
use std::str::FromStr;

/// The shape of a random encoder, parsed from `--shape`.
#[derive(Clone)]
pub struct Shape(EncoderConfig);

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<usize> =
            text.split(',').filter_map(|number| number.trim().parse().ok()).collect();
        let [layers, hidden, heads, inner, vocabulary] = numbers[..] else {
            return Err(
                "give five numbers: layers, hidden size, heads, intermediate size, vocabulary size"
                    .into(),
            );
        };
        let config = serde_json::json!({
            "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
            "intermediate_size": inner, "vocab_size": vocabulary, "max_position_embeddings": 512,
        });
        let config: EncoderConfig =
            serde_json::from_value(config).map_err(|error| error.to_string())?;
        config.validate().map(|()| Self(config))
    }
}

/// A model, and batches for it.
pub(super) struct Workload {
    pub(super) encoder: Encoder,
    /// Empty for a packed file, which has no weights to train.
    pub(super) weights: Vec<f32>,
    pub(super) precision: Precision,
    /// The source of encoder and weights, if they are not random.
    pub(super) backbone: Option<AnyBackbone>,
    /// Used in turns.
    pub(super) batches: Vec<Batch>,
}

impl Workload {
    pub(super) fn new(args: &Args) -> anyhow::Result<Self> {
        let open = |spec: &str| match args.work {
            Work::Infer => backbone::open(spec, args.precision),
            _ => backbone::open_trainable(spec, args.precision).map(AnyBackbone::from),
        };
        let backbone = args.backbone.as_deref().map(open).transpose()?;
        let (encoder, weights) = match &backbone {
            Some(backbone) => {
                let weights = backbone.as_trainable().map(|backbone| backbone.weights().to_vec());
                (backbone.encoder.as_ref().clone(), weights.unwrap_or_default())
            }
            None => random_encoder(&args.shape)?,
        };
        // A lower bound: one vector per token.
        let bytes = args.batch * args.seq * encoder.width() * size_of::<f32>();
        memory::check(format!("a batch of {} sequences", args.batch), bytes as u64)?;
        let batches = match &args.lengths {
            Some(path) => ragged(path, &encoder, backbone.as_ref(), args.batch)?,
            None => vec![random_batch(&encoder, &vec![args.seq; args.batch], 0)],
        };
        let precision = backbone.as_ref().map_or(args.precision.precision(), |b| b.precision());
        Ok(Self { encoder, weights, precision, backbone, batches })
    }

    pub(super) fn batch(&self, step: usize) -> &Batch {
        &self.batches[step % self.batches.len()]
    }
}

fn random_encoder(shape: &Shape) -> anyhow::Result<(Encoder, Vec<f32>)> {
    let parameters = shape.0.parameters();
    memory::check(
        format!("a model of {parameters} parameters"),
        parameters * size_of::<f32>() as u64,
    )?;
    let encoder = Encoder::new(shape.0.clone());
    let mut rng = generator(0, "bench weights");
    let mut uniform = uniform(&mut rng);
    let weights = (0..encoder.layout.len()).map(|_| 0.05 * uniform()).collect();
    Ok((encoder, weights))
}

fn random_batch(encoder: &Encoder, lengths: &[usize], seed: u64) -> Batch {
    let mut rng = generator(seed, "bench tokens");
    let mut id = || rng.random_range(0..encoder.config.vocab_size as u32);
    let sequences: Vec<Vec<u32>> =
        lengths.iter().map(|&length| (0..length).map(|_| id()).collect()).collect();
    Batch::new(sequences.iter().map(Vec::as_slice))
}

/// Batches of the texts in a file, or of random tokens with the lengths in it.
fn ragged(
    path: &Path,
    encoder: &Encoder,
    backbone: Option<&AnyBackbone>,
    size: usize,
) -> anyhow::Result<Vec<Batch>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    anyhow::ensure!(
        !lines.is_empty(),
        "{} is empty: one text, or one length, per line is needed",
        path.display()
    );
    let longest = encoder.config.max_tokens();
    if let Ok(lengths) =
        lines.iter().map(|line| line.trim().parse()).collect::<Result<Vec<usize>, _>>()
    {
        let fits = lengths.iter().all(|length| (1..=longest).contains(length));
        anyhow::ensure!(fits, "{}: lengths must be between 1 and {longest}", path.display());
        let batches = lengths.chunks(size).enumerate();
        return Ok(batches
            .map(|(seed, lengths)| random_batch(encoder, lengths, seed as u64))
            .collect());
    }
    let backbone = backbone.with_context(|| {
        format!("{} holds texts, which need a tokenizer: give --backbone", path.display())
    })?;
    let encoded: Vec<_> = lines.iter().map(|line| backbone.tokenizer.encode(line)).collect();
    Ok(encoded.chunks(size).map(Batch::from_texts).collect())
}
