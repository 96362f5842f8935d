//! Texts of mixed lengths, each for ten adapters, so many in a call.

use super::Args;
use super::adapters::{Attached, MANY};
use super::report::{Spread, Throughput};
use super::texts::Composer;
use std::time::Instant;

/// Times that all texts are answered, for each number of texts in a call. The median counts.
const PASSES: usize = 3;

pub(super) fn measure(args: &Args, many: &Attached) -> anyhow::Result<Vec<Throughput>> {
    let runtime = &many.runtime;
    let texts = Composer::new(&runtime.backbone().tokenizer)?.mixed(args)?;
    let requests = many.first(MANY);
    args.batch
        .iter()
        .map(|&batch| {
            let (mut passes, mut calls) = (Vec::new(), Vec::new());
            runtime.run(&texts[..batch.min(texts.len())], &requests)?;
            for _ in 0..PASSES {
                let start = calls.len();
                for texts in texts.chunks(batch) {
                    let begin = Instant::now();
                    runtime.run(texts, &requests)?;
                    calls.push(begin.elapsed().as_secs_f64() * 1e3);
                }
                passes.push(calls[start..].iter().sum());
            }
            let texts_per_second = texts.len() as f64 / Spread::of(passes).median_ms * 1e3;
            let requests_per_second = texts_per_second * MANY as f64;
            Ok(Throughput { batch, texts_per_second, requests_per_second, call: Spread::of(calls) })
        })
        .collect()
}
