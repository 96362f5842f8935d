//! `espalier bench runtime`: one backbone with many adapters, as an application runs it.

mod measure;
mod report;
mod workload;

use crate::backbone::BackboneArgs;
use crate::output;
use crate::progress::Progress;
use anyhow::ensure;
use clap::ValueEnum;
use report::{Report, Setting};
use std::path::PathBuf;
use workload::Attached;

/// Measure the speed and memory of one backbone with many adapters
///
/// There are five measurements. open: time from the start of a process to its first answer.
/// memory: what attached adapters add to a process. adapters: latency of one text, by the number of
/// adapters that answer it. lengths: latency of one text, by its length, for one adapter and ten.
/// throughput: texts per second for texts of mixed lengths with ten adapters, by the number of
/// texts per call.
///
/// Texts are random words. Adapters have random numbers, rank 8, and heads of 9 entity tags or 4
/// labels. Times include tokenizer and decoding; p95 is the 95th percentile.
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier bench runtime --backbone backbone.espalier
         espalier bench runtime --backbone all-MiniLM-L6-v2 --precision int8 --measure \
                        adapters,throughput --adapters 1,10 --json")]
pub struct Args {
    #[command(flatten)]
    backbone: BackboneArgs,
    /// Measurements to do, separated by commas
    #[arg(long, value_name = "WHAT,...", value_enum, value_delimiter = ',')]
    #[arg(default_values_t = Measure::value_variants().to_vec())]
    measure: Vec<Measure>,
    /// Numbers of adapters to measure with (adapters, memory)
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    #[arg(default_values_t = [1, 2, 5, 10, 20, 50, 100])]
    adapters: Vec<usize>,
    /// Number of last layers that each adapter is on
    #[arg(long, default_value_t = 2, value_name = "N")]
    layers: usize,
    /// Modules of these layers that each adapter is on
    #[arg(long, value_enum, default_value_t = Modules::All, value_name = "WHICH")]
    modules: Modules,
    /// Tokens of the text (adapters, memory, open)
    #[arg(long, default_value_t = 16, value_name = "N")]
    seq: usize,
    /// Number of texts, of 5 to 64 tokens (throughput)
    #[arg(long, default_value_t = 1000, value_name = "N")]
    texts: usize,
    /// Take the texts from a file with one text per line, or one length in tokens per line
    /// (throughput)
    #[arg(long, value_name = "FILE", conflicts_with = "texts")]
    lengths: Option<PathBuf>,
    /// Numbers of texts per call (throughput)
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    #[arg(default_values_t = [1, 8, 32, 128, 512])]
    batch: Vec<usize>,
    /// Measured calls for each latency, after three to warm up (adapters, lengths)
    #[arg(long, default_value_t = 100, value_name = "N")]
    steps: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Do this measurement in this process, for the process that started it
    #[arg(long, hide = true, value_enum)]
    fresh: Option<Measure>,
}

/// The measurements, in their order.
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

/// Adapters at most: on all modules of MiniLM's last two layers they take about 2 GB.
const MAX_ADAPTERS: usize = 10_000;
/// Texts, texts per call and calls at most.
const MAX_COUNT: usize = 1 << 20;

pub fn run(args: Args) -> anyhow::Result<()> {
    let within =
        |numbers: &[usize], most: usize| numbers.iter().all(|number| (1..=most).contains(number));
    ensure!(
        within(&args.adapters, MAX_ADAPTERS),
        "--adapters takes numbers from 1 to {MAX_ADAPTERS}"
    );
    ensure!(
        within(&args.batch, MAX_COUNT) && within(&[args.texts, args.steps], MAX_COUNT),
        "--batch, --texts and --steps take numbers from 1 to {MAX_COUNT}"
    );
    match args.fresh {
        Some(Measure::Open) => output::json(&measure::open_here(&args)?),
        Some(_) => output::json(&measure::memory_here(&args)?),
        None => {
            let report = report(&args)?;
            match args.json {
                true => output::json(&report),
                false => Ok(output::lines(report)?),
            }
        }
    }
}

fn report(args: &Args) -> anyhow::Result<Report> {
    // Downloaded now if it is not cached, so that the download is not measured.
    args.backbone.locate()?;
    let mut plan = Plan {
        measurements: &args.measure,
        done: 0,
        progress: Progress::new("bench runtime", args.measure.len()),
    };
    // Opening is measured before this process reads the backbone, so that the first process finds
    // the page cache as it was.
    let open = plan.run(Measure::Open, measure::open)?;
    let memory = plan.run(Measure::Memory, measure::memory)?;
    let many = &Attached::all(args)?;
    let adapters = plan.run(Measure::Adapters, || measure::latency_by_adapters(args, many))?;
    let lengths = plan.run(Measure::Lengths, || measure::latency_by_length(args, many))?;
    let throughput = plan.run(Measure::Throughput, || measure::throughput(args, many))?;
    plan.progress.finish("done");
    Ok(Report {
        setting: Setting::new(args, many),
        open,
        memory: memory.flatten(),
        adapters,
        lengths,
        throughput,
    })
}

/// The name of a value on the command line.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
}

/// The measurements that were asked for, and how many are done.
struct Plan<'a> {
    measurements: &'a [Measure],
    done: usize,
    progress: Progress,
}

impl Plan<'_> {
    /// Does the work if the measurement was asked for.
    fn run<T>(
        &mut self,
        what: Measure,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        if !self.measurements.contains(&what) {
            return Ok(None);
        }
        let found = work()?;
        self.done += 1;
        self.progress.step(self.done, self.measurements.len(), || name(what));
        Ok(Some(found))
    }
}
