//! From nothing to the first answer.

use super::report::{Opening, Openings, Spread};
use super::texts::Composer;
use super::{Args, Measure, adapters, fresh};
use crate::commands::bench::report::memory_mib;
use espalier_runtime::Runtime;
use std::time::Instant;

/// Processes after the first. Their medians count.
const PROCESSES: usize = 9;

/// The first process finds the page cache as it was; after it, the backbone is in it.
pub(super) fn measure() -> anyhow::Result<Openings> {
    let first: Opening = fresh::measure(Measure::Open)?;
    let later = (0..PROCESSES)
        .map(|_| fresh::measure(Measure::Open))
        .collect::<anyhow::Result<Vec<Opening>>>()?;
    let median = |part: fn(&Opening) -> f64| Spread::of(later.iter().map(part).collect()).median_ms;
    let later = Opening {
        open_ms: median(|one| one.open_ms),
        attach_ms: median(|one| one.attach_ms),
        answer_ms: median(|one| one.answer_ms),
        total_ms: median(|one| one.total_ms),
        mib: later[0].mib,
    };
    Ok(Openings { first, later })
}

/// In a process of its own: opens the backbone, attaches an adapter, answers one text.
pub(super) fn alone(args: &Args) -> anyhow::Result<Opening> {
    let start = Instant::now();
    let runtime = Runtime::new(args.backbone.open()?);
    let open_ms = start.elapsed().as_secs_f64() * 1e3;

    // Making up an adapter and a text is not what users wait for.
    let adapter = adapters::random(args, runtime.backbone(), 0)?;
    let text = Composer::new(&runtime.backbone().tokenizer)?.text(args.seq, 0)?;

    let start = Instant::now();
    runtime.attach_adapter("adapter", adapter)?;
    let attach_ms = start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    runtime.run(&[text], &["adapter"])?;
    let answer_ms = start.elapsed().as_secs_f64() * 1e3;
    let total_ms = open_ms + attach_ms + answer_ms;
    Ok(Opening { open_ms, attach_ms, answer_ms, total_ms, mib: memory_mib("VmRSS:") })
}
