//! The result of a measurement, as text and as JSON.

use super::workload::Workload;
use super::{Args, Work};
use espalier_encoder::{Batch, EncoderConfig};
use espalier_kernels::gemm::Kernel;
use serde::Serialize;
use std::fmt;

#[derive(Serialize)]
pub(super) struct Measurement {
    work: Work,
    precision: &'static str,
    kernel: String,
    batch: usize,
    /// Mean number of tokens per batch.
    tokens: f64,
    threads: usize,
    freeze_embeddings: bool,
    cached_trunk: bool,
    steps: usize,
    median_ms: f64,
    min_ms: f64,
    max_ms: f64,
    tokens_per_second: f64,
    gflops: f64,
    /// GFLOP/s of matrix products alone, in the same precision.
    ceiling_gflops: f64,
    share_of_ceiling: f64,
    /// Peak memory of the process in MiB, where the system tells.
    peak_memory_mib: Option<f64>,
}

impl Measurement {
    pub(super) fn new(
        args: &Args,
        workload: &Workload,
        mut times: Vec<f64>,
        ceiling_gflops: f64,
    ) -> Self {
        times.sort_by(f64::total_cmp);
        let median_ms = times[times.len() / 2];
        let batches = workload.batches.len() as f64;
        let mean =
            |of: &dyn Fn(&Batch) -> f64| workload.batches.iter().map(of).sum::<f64>() / batches;
        let tokens = mean(&|batch| batch.tokens() as f64);
        let gflops = mean(&|batch| flops(args, &workload.encoder.config, batch)) / median_ms / 1e6;
        Self {
            work: args.work,
            precision: workload.precision.name(),
            kernel: format!("{:?}", Kernel::best(workload.precision)),
            batch: args.batch,
            tokens,
            threads: rayon::current_num_threads(),
            freeze_embeddings: args.freeze_embeddings,
            cached_trunk: args.cached_trunk,
            steps: args.steps,
            median_ms,
            min_ms: times[0],
            max_ms: times[times.len() - 1],
            tokens_per_second: tokens / median_ms * 1e3,
            gflops,
            ceiling_gflops,
            share_of_ceiling: gflops / ceiling_gflops,
            peak_memory_mib: memory_mib("VmHWM:"),
        }
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        writeln!(
            out,
            "{:.2} ms median ({:.2} to {:.2})",
            self.median_ms, self.min_ms, self.max_ms
        )?;
        writeln!(
            out,
            "{:.0} tokens/s, {:.0} tokens per batch",
            self.tokens_per_second, self.tokens
        )?;
        writeln!(
            out,
            "{:.0} GFLOP/s, {:.0} % of matrix products alone ({:.0}; {} by {}, {} threads)",
            self.gflops,
            self.share_of_ceiling * 100.0,
            self.ceiling_gflops,
            self.precision,
            self.kernel,
            self.threads,
        )?;
        match self.peak_memory_mib {
            Some(peak) => writeln!(out, "{peak:.0} MiB peak memory"),
            None => Ok(()),
        }
    }
}

/// Floating-point operations of the matrix products of the measured work.
fn flops(args: &Args, config: &EncoderConfig, batch: &Batch) -> f64 {
    let layers = config.num_hidden_layers as f64;
    let adapted = layers.min(2.0);
    let passes = match (args.work, args.cached_trunk) {
        (Work::Train, _) => 3.0 * layers,
        (Work::Finetune, true) => 2.0 * adapted,
        (Work::Finetune, false) => layers + adapted,
        _ => layers,
    };
    passes * layer_flops(config, batch)
}

/// Those of the forward pass of one layer: the linear maps, and the two products of attention.
fn layer_flops(config: &EncoderConfig, batch: &Batch) -> f64 {
    let (h, f) = (config.hidden_size as f64, config.intermediate_size as f64);
    let linear = batch.tokens() as f64 * 2.0 * (4.0 * h * h + 2.0 * h * f);
    let attention =
        (0..batch.sequences()).map(|s| 4.0 * (batch.sequence(s).len() as f64).powi(2) * h);
    linear + attention.sum::<f64>()
}

/// Memory of this process in MiB, by its name in /proc/self/status; `None` on other systems than
/// Linux.
pub(super) fn memory_mib(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}
