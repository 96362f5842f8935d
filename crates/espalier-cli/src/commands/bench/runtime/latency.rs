//! Time of one text, against the number of adapters and against its length.

use super::Args;
use super::adapters::{Attached, MANY};
use super::report::{Latency, Spread};
use super::texts::Composer;
use crate::commands::bench::repeat;
use std::hint::black_box;

/// Texts that are taken in turns.
const TEXTS: usize = 16;
/// Lengths in tokens, as far as the backbone takes them.
const LENGTHS: [usize; 6] = [8, 16, 32, 64, 128, 256];

pub(super) fn against_adapters(args: &Args, many: &Attached) -> anyhow::Result<Vec<Latency>> {
    args.adapters.iter().map(|&adapters| latency(args, many, adapters, args.seq)).collect()
}

pub(super) fn against_lengths(args: &Args, many: &Attached) -> anyhow::Result<Vec<Latency>> {
    let longest = many.runtime.backbone().tokenizer.max_tokens();
    let lengths = LENGTHS.into_iter().filter(|&length| length <= longest);
    lengths
        .flat_map(|length| [1, MANY].map(|adapters| latency(args, many, adapters, length)))
        .collect()
}

/// All of the first so many adapters answer a text.
fn latency(
    args: &Args,
    many: &Attached,
    adapters: usize,
    tokens: usize,
) -> anyhow::Result<Latency> {
    let runtime = &many.runtime;
    let texts = Composer::new(&runtime.backbone().tokenizer)?.texts(tokens, TEXTS)?;
    let requests = many.first(adapters);
    // If anything were to fail, it would here.
    runtime.run(&texts, &requests)?;
    let times = repeat(args.steps, |step| {
        drop(black_box(runtime.run(&texts[step % TEXTS..][..1], &requests)));
    });
    Ok(Latency { tokens, adapters, call: Spread::of(times) })
}
