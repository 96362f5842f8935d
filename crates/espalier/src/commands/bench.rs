use crate::input::write_json;
use espalier_encoder::{Activations, Batch, Encoder, EncoderConfig, Gradients, Model, Pooling};
use espalier_train::optimizer::{Group, Optimizer, OptimizerKind, Schedule};
use espalier_train::sampling::{generator, uniform};
use rand::Rng;
use serde::Serialize;
use std::io::stdout;
use std::str::FromStr;
use std::time::Instant;

/// Measure the speed of the engine on a random encoder
///
/// A training step is forward, backward and AdamW on all weights (mean pooling, a stand-in loss). GFLOP/s counts the multiplications and
/// additions of all matrix products.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier bench train --batch 32 --seq 64 --freeze-embeddings")]
pub struct Args {
    /// What to measure
    work: Work,
    /// Layers, width, heads, inner width, vocabulary
    #[arg(long, default_value = "6,384,12,1536,30522", value_name = "L,H,HEADS,FFN,VOCAB")]
    shape: Shape,
    /// Sequences per batch
    #[arg(long, default_value_t = 32, value_name = "N")]
    batch: usize,
    /// Tokens per sequence
    #[arg(long, default_value_t = 64, value_name = "N")]
    seq: usize,
    /// Leave the embeddings out of training
    #[arg(long)]
    freeze_embeddings: bool,
    /// Measured repetitions, after two that are not
    #[arg(long, default_value_t = 15, value_name = "N")]
    steps: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Work {
    /// One training step
    Train,
    /// One forward pass without activations
    Infer,
}

#[derive(Clone)]
struct Shape(EncoderConfig);

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<usize> = text.split(',').filter_map(|number| number.trim().parse().ok()).collect();
        let [layers, hidden, heads, inner, vocabulary] = numbers[..] else {
            return Err("give five numbers: layers, width, heads, inner width, vocabulary".into());
        };
        let config = serde_json::json!({
            "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
            "intermediate_size": inner, "vocab_size": vocabulary, "max_position_embeddings": 512,
        });
        let config: EncoderConfig = serde_json::from_value(config).map_err(|error| error.to_string())?;
        config.mistake().map_or(Ok(Self(config)), Err)
    }
}

#[derive(Serialize)]
struct Measurement {
    work: Work,
    batch: usize,
    seq: usize,
    threads: usize,
    median_ms: f64,
    min_ms: f64,
    max_ms: f64,
    tokens_per_second: f64,
    gflops: f64,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.batch > 0 && (1..=512).contains(&args.seq) && args.steps > 0,
        "--batch and --steps must be at least 1, --seq 1 to 512"
    );
    let encoder = Encoder::new(args.shape.0.clone());
    let mut rng = generator(0, "bench");
    let sequences: Vec<Vec<u32>> = (0..args.batch)
        .map(|_| (0..args.seq).map(|_| rng.random_range(0..encoder.config.vocab_size as u32)).collect())
        .collect();
    let batch = Batch::new(sequences.iter().map(Vec::as_slice));
    let mut uniform = uniform(&mut rng);
    let weights: Vec<f32> = (0..encoder.layout.len()).map(|_| 0.05 * uniform()).collect();
    let times = match args.work {
        Work::Train => train(&encoder, weights, &batch, args.freeze_embeddings, args.steps),
        Work::Infer => {
            let model = Model { encoder: &encoder, weights: &weights, adapter: None };
            repeat(args.steps, || drop(std::hint::black_box(model.encode(&batch))))
        }
    };
    report(&args, &encoder, &batch, times)
}

fn train(encoder: &Encoder, mut weights: Vec<f32>, batch: &Batch, freeze_embeddings: bool, steps: usize) -> Vec<f64> {
    let (layers, width) = (encoder.layers(), encoder.width());
    let frozen = if freeze_embeddings { encoder.layout.embeddings.all.end } else { 0 };
    let mut group = Group::new(weights.len(), 1e-5, vec![(frozen..weights.len(), 0.01)]);
    let mut optimizer = Optimizer::new(OptimizerKind::AdamW, Schedule::Constant, steps, 0, 0.0);
    let mut activations = Activations::default();
    let (mut pooled, mut d_hidden) = (Vec::new(), Vec::new());
    repeat(steps, || {
        group.zero_gradients();
        let model = Model { encoder, weights: &weights, adapter: None };
        model.forward(batch, &mut activations);
        // The gradient of half the squared length of the text vectors is the text vectors themselves.
        Pooling::Mean.forward(activations.output(layers - 1), batch, width, &mut pooled);
        Pooling::Mean.backward(&pooled, batch, width, &mut d_hidden);
        let gradients =
            Gradients { weights: Some(&mut group.gradients), embeddings: !freeze_embeddings, adapter: None };
        model.backward(0..layers, batch, &mut activations, &mut d_hidden, gradients);
        // Gradients of a random encoder are finite, and this measures time, not training.
        let _ = optimizer.step(&mut [(&mut weights, &mut group)]);
    })
}

/// Milliseconds of each measured repetition, sorted.
fn repeat(steps: usize, mut work: impl FnMut()) -> Vec<f64> {
    (0..2).for_each(|_| work());
    let mut times: Vec<f64> = (0..steps)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

fn report(args: &Args, encoder: &Encoder, batch: &Batch, times: Vec<f64>) -> anyhow::Result<()> {
    let median_ms = times[times.len() / 2];
    let passes = if matches!(args.work, Work::Train) { 3.0 } else { 1.0 };
    let measurement = Measurement {
        work: args.work,
        batch: args.batch,
        seq: args.seq,
        threads: rayon::current_num_threads(),
        median_ms,
        min_ms: times[0],
        max_ms: times[times.len() - 1],
        tokens_per_second: batch.tokens() as f64 / median_ms * 1e3,
        gflops: passes * forward_flops(&encoder.config, args.batch, args.seq) / median_ms / 1e6,
    };
    if args.json {
        return write_json(&mut stdout(), &measurement);
    }
    let m = measurement;
    println!("{:.1} ms median ({:.1} to {:.1}), {} threads", m.median_ms, m.min_ms, m.max_ms, m.threads);
    println!("{:.0} tokens/s, {:.0} GFLOP/s", m.tokens_per_second, m.gflops);
    Ok(())
}

/// Operations of the matrix products of one forward pass: the linear maps, and scores and mixing of attention.
fn forward_flops(config: &EncoderConfig, batch: usize, seq: usize) -> f64 {
    let (h, f) = (config.hidden_size as f64, config.intermediate_size as f64);
    let (tokens, layers) = ((batch * seq) as f64, config.num_hidden_layers as f64);
    layers * tokens * (2.0 * (4.0 * h * h + 2.0 * h * f) + 4.0 * seq as f64 * h)
}
