//! The five measurements. Two of them run in processes of their own, in which nothing else has
//! happened yet: this program starts itself again, with the option `--fresh`.

use super::report::{Latency, Opening, Openings, Resident, Spread, Throughput};
use super::workload::{ADAPTERS, Attached, Texts, random_adapter};
use super::{Args, Measure, name};
use crate::commands::bench::repeat;
use crate::commands::bench::report::memory_mib;
use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Fresh processes after the first one that open the backbone; their medians count.
const PROCESSES: usize = 9;
/// Texts that latency is measured on, in turns.
const TEXTS: usize = 16;
/// Lengths in tokens, as far as the backbone takes them.
const LENGTHS: [usize; 6] = [8, 16, 32, 64, 128, 256];
/// Passes over all texts for each throughput. The median counts.
const PASSES: usize = 3;

/// From nothing to the first answer, in fresh processes. The first one finds the page cache as it
/// was; for the others the backbone is in it.
pub(super) fn open() -> anyhow::Result<Openings> {
    let first: Opening = in_fresh_process(Measure::Open)?;
    let later = (0..PROCESSES)
        .map(|_| in_fresh_process(Measure::Open))
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

/// The fresh process of [`open`]: opens the backbone, attaches an adapter, answers one text.
pub(super) fn open_here(args: &Args) -> anyhow::Result<Opening> {
    let start = Instant::now();
    let runtime = Attached::none(args)?.runtime;
    let open_ms = start.elapsed().as_secs_f64() * 1e3;

    // Making the adapter and the text is not part of what users wait for.
    let adapter = random_adapter(args, runtime.backbone(), 0)?;
    let text = Texts::new(&runtime.backbone().tokenizer)?.one(args.seq, 0)?;

    let start = Instant::now();
    runtime.attach_adapter("adapter", adapter)?;
    let attach_ms = start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    runtime.run(&[text], &["adapter"])?;
    let answer_ms = start.elapsed().as_secs_f64() * 1e3;
    let total_ms = open_ms + attach_ms + answer_ms;
    Ok(Opening { open_ms, attach_ms, answer_ms, total_ms, mib: memory_mib("VmRSS:") })
}

/// What attached adapters add to the memory of a process, in a fresh one: memory that other
/// measurements have used and freed would hide it.
pub(super) fn memory() -> anyhow::Result<Option<Vec<Resident>>> {
    let rows: Option<Vec<_>> = in_fresh_process(Measure::Memory)?;
    if rows.is_none() {
        note!("memory is left out: this system has no /proc/self/status to read it from");
    }
    Ok(rows)
}

/// The fresh process of [`memory`]: memory after each number of adapters has been attached and each
/// adapter has answered. `None` if the system does not tell.
pub(super) fn memory_here(args: &Args) -> anyhow::Result<Option<Vec<Resident>>> {
    let mut many = Attached::none(args)?;
    let text = Texts::new(&many.runtime.backbone().tokenizer)?.one(args.seq, 0)?;
    let mut counts = args.adapters.clone();
    counts.push(1);
    counts.sort_unstable();
    counts.dedup();
    let (mut rows, mut attached) = (Vec::new(), 0);
    for adapters in counts {
        many.attach(args, attached..adapters)?;
        // One by one: the buffers of a run with many adapters would count as theirs.
        for name in &many.names[attached..] {
            many.runtime.run(&[&text], &[name.as_str()])?;
        }
        attached = adapters;
        let Some(mib) = memory_mib("VmRSS:") else { return Ok(None) };
        let above_one_mib = mib - rows.first().map_or(mib, |one: &Resident| one.mib);
        rows.push(Resident { adapters, mib, above_one_mib });
    }
    Ok(Some(rows))
}

/// Starts this program again, with the same arguments, for one measurement.
fn in_fresh_process<T: DeserializeOwned>(what: Measure) -> anyhow::Result<T> {
    let program =
        std::env::current_exe().context("cannot find this program to start it once more")?;
    let output = Command::new(program)
        .args(std::env::args_os().skip(1))
        .args(["--fresh", &name(what)])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start this program once more")?;
    ensure!(
        output.status.success(),
        "the process that was to measure {} failed: {}",
        name(what),
        output.status
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Time of one text, by the number of adapters that answer it.
pub(super) fn latency_by_adapters(args: &Args, many: &Attached) -> anyhow::Result<Vec<Latency>> {
    args.adapters.iter().map(|&adapters| latency(args, many, adapters, args.seq)).collect()
}

/// Time of one text, by its length.
pub(super) fn latency_by_length(args: &Args, many: &Attached) -> anyhow::Result<Vec<Latency>> {
    let longest = many.runtime.backbone().tokenizer.max_tokens();
    let lengths = LENGTHS.into_iter().filter(|&length| length <= longest);
    lengths
        .flat_map(|length| [1, ADAPTERS].map(|adapters| latency(args, many, adapters, length)))
        .collect()
}

/// Time of one text of `tokens` tokens that the first `adapters` adapters answer.
fn latency(
    args: &Args,
    many: &Attached,
    adapters: usize,
    tokens: usize,
) -> anyhow::Result<Latency> {
    let runtime = &many.runtime;
    let texts = Texts::new(&runtime.backbone().tokenizer)?.same_length(tokens, TEXTS)?;
    let requests = many.first(adapters);
    runtime.run(&texts, &requests)?;
    let times = repeat(args.steps, |step| {
        black_box(runtime.run(&texts[step % TEXTS..][..1], &requests)?);
        Ok(())
    })?;
    Ok(Latency { tokens, adapters, call: Spread::of(times) })
}

/// Texts per second for texts of mixed lengths, each for ten adapters, by the number of texts per
/// call.
pub(super) fn throughput(args: &Args, many: &Attached) -> anyhow::Result<Vec<Throughput>> {
    let runtime = &many.runtime;
    let texts = Texts::new(&runtime.backbone().tokenizer)?.mixed(args)?;
    let requests = many.first(ADAPTERS);
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
            let requests_per_second = texts_per_second * ADAPTERS as f64;
            Ok(Throughput { batch, texts_per_second, requests_per_second, call: Spread::of(calls) })
        })
        .collect()
}
