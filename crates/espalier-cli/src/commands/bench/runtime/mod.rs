//! `espalier bench runtime`: one backbone with many adapters, as a device runs it.

mod adapters;
mod fresh;
mod latency;
mod memory;
mod open;
mod report;
mod texts;
mod throughput;

use crate::commands::BackboneArgs;
use crate::output;
use crate::progress::Progress;
use anyhow::ensure;
use clap::ValueEnum;
use report::{Report, Setting};
use std::path::PathBuf;

/// Measure one backbone with many adapters
///
/// open: from nothing to the first answer, in fresh processes. memory: what attached adapters add
/// to a process. adapters: time of one text, against the number of adapters that answer it.
/// lengths: the same against the text's length, for one adapter and ten. throughput: many texts of
/// mixed lengths, each for ten adapters, against the number of texts in a call.
///
/// Texts are random words, adapters random numbers of rank 8 with heads of 9 entity tags and of 4
/// labels in turns. Times are those of whole calls, with tokenizer and decoding; p95 is what 95 of
/// 100 calls do not exceed.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier bench runtime --backbone backbone.espalier
  espalier bench runtime --backbone all-MiniLM-L6-v2 --precision int8 --measure \
                        adapters,throughput --adapters 1,10 --json")]
pub struct Args {
    #[command(flatten)]
    backbone: BackboneArgs,
    /// What to measure
    #[arg(long, value_name = "WHAT,...", value_enum, value_delimiter = ',', default_values_t = Measure::value_variants().to_vec())]
    measure: Vec<Measure>,
    /// Numbers of adapters (adapters, memory)
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 2, 5, 10, 20, 50, 100])]
    adapters: Vec<usize>,
    /// Layers that an adapter is on, counted from the last
    #[arg(long, default_value_t = 2, value_name = "N")]
    layers: usize,
    /// Modules of a layer that an adapter is on
    #[arg(long, value_enum, default_value_t = Modules::All, value_name = "WHICH")]
    modules: Modules,
    /// Tokens of the single text (adapters, memory, open)
    #[arg(long, default_value_t = 16, value_name = "N")]
    seq: usize,
    /// Texts, of 5 to 64 tokens (throughput)
    #[arg(long, default_value_t = 1000, value_name = "N")]
    texts: usize,
    /// Other texts: a file with one text per line, or one length in tokens per line (throughput)
    #[arg(long, value_name = "FILE", conflicts_with = "texts")]
    lengths: Option<PathBuf>,
    /// Numbers of texts in a call (throughput)
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 8, 32, 128, 512])]
    batch: Vec<usize>,
    /// Measured calls for each time of a single text, after three that are not (adapters, lengths)
    #[arg(long, default_value_t = 100, value_name = "N")]
    steps: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Measure this alone, in this process, for the one that started it
    #[arg(long, hide = true, value_enum)]
    fresh: Option<Measure>,
}

/// In the order in which they are measured.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Measure {
    Open,
    Memory,
    Adapters,
    Lengths,
    Throughput,
}

#[derive(Clone, Copy, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
enum Modules {
    /// Every linear map
    All,
    /// Attention's query and value
    QueryValue,
}

/// The most adapters: with all modules of MiniLM's last two layers they take some 2 GB.
const ADAPTERS: usize = 10_000;
/// The most of anything else that is counted.
const COUNT: usize = 1 << 20;

pub fn run(args: Args) -> anyhow::Result<()> {
    let within =
        |numbers: &[usize], most: usize| numbers.iter().all(|number| (1..=most).contains(number));
    ensure!(within(&args.adapters, ADAPTERS), "--adapters takes numbers from 1 to {ADAPTERS}");
    ensure!(
        within(&args.batch, COUNT) && within(&[args.texts, args.steps], COUNT),
        "--batch, --texts and --steps take numbers from 1 to {COUNT}"
    );
    match args.fresh {
        Some(Measure::Open) => output::json(&open::alone(&args)?),
        Some(_) => output::json(&memory::alone(&args)?),
        None => {
            let report = measure(&args)?;
            match args.json {
                true => output::json(&report),
                false => Ok(output::lines(report)?),
            }
        }
    }
}

fn measure(args: &Args) -> anyhow::Result<Report> {
    // Fetched now if it must be: what follows is not to measure a network.
    args.backbone.locate()?;
    let mut wanted = Wanted {
        of: &args.measure,
        done: 0,
        progress: Progress::new("bench runtime", args.measure.len()),
    };
    // Opening comes before this process has read the backbone, so that the first one finds the page
    // cache as it was.
    let open = wanted.measure(Measure::Open, open::measure)?;
    let memory = wanted.measure(Measure::Memory, memory::measure)?;
    let many = &adapters::attached(args)?;
    let adapters = wanted.measure(Measure::Adapters, || latency::against_adapters(args, many))?;
    let lengths = wanted.measure(Measure::Lengths, || latency::against_lengths(args, many))?;
    let throughput = wanted.measure(Measure::Throughput, || throughput::measure(args, many))?;
    wanted.progress.finish("done");
    Ok(Report {
        setting: Setting::new(args, many),
        open,
        memory: memory.flatten(),
        adapters,
        lengths,
        throughput,
    })
}

/// What a value is called on the command line.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
}

/// What has been asked for, and how far it has got.
struct Wanted<'a> {
    of: &'a [Measure],
    done: usize,
    progress: Progress,
}

impl Wanted<'_> {
    fn measure<T>(
        &mut self,
        what: Measure,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        if !self.of.contains(&what) {
            return Ok(None);
        }
        let found = work()?;
        self.done += 1;
        self.progress.step(self.done, self.of.len(), || name(what));
        Ok(Some(found))
    }
}
