//! The command line of espalier: a thin layer over the library crates, one file per subcommand.

// All printing goes through `output`, which escapes control characters and never panics.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod output;

mod backbone;
mod commands;
mod input;
mod interrupt;
mod progress;

use clap::{Parser, Subcommand};
use commands::{
    bench, conflict, data, demo, doctor, encode, evaluate, fetch, fill_mask, finetune, pack,
    predict, prefinetune, pretrain, quantize, study, teach, tokenizer,
};
use espalier_encoder::text::escape_control;
use output::Unwritable;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::process::ExitCode;

/// One encoder, many adapters: pretrain, pre-finetune, fine-tune, evaluate and run small BERT-like
/// encoders
#[derive(Parser)]
#[command(
    name = "espalier",
    version,
    arg_required_else_help = true,
    after_help = "\
Start with: espalier demo
Or train an adapter of your own and use it:
    espalier data check TASK                 # TASK/train.jsonl, TASK/test.jsonl
    espalier finetune --backbone all-MiniLM-L6-v2 --task TASK --out ADAPTER
    espalier predict --backbone all-MiniLM-L6-v2 --adapter ADAPTER --input TEXTS.txt"
)]
struct Cli {
    /// Number of threads [default: one per core]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Fetch(fetch::Args),
    Tokenizer(tokenizer::Args),
    Pretrain(pretrain::Args),
    Teach(teach::Args),
    Prefinetune(prefinetune::Args),
    Conflict(conflict::Args),
    Study(study::Args),
    Finetune(finetune::Args),
    Evaluate(evaluate::Args),
    Predict(predict::Args),
    FillMask(fill_mask::Args),
    Encode(encode::Args),
    Pack(pack::Args),
    Quantize(quantize::Args),
    Data(data::Args),
    Bench(bench::Command),
    Doctor(doctor::Args),
}

/// Accepted numbers of threads. Each has a stack, and systems refuse many more.
const THREADS: RangeInclusive<usize> = 1..=1024;

fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(message) => return print(&message),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.chain().any(is_closed_pipe) => ExitCode::SUCCESS,
        Err(error) if error.is::<interrupt::Interrupted>() => {
            note!("{error}");
            ExitCode::from(interrupt::STATUS)
        }
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Parses the command line. Help and the version come as errors, too.
fn parse() -> Result<Cli, clap::Error> {
    Cli::try_parse().map_err(|error| {
        // Clap quotes arguments, so that it gets them once more, escaped.
        let arguments = std::env::args_os()
            .map(|argument| escape_control(&argument.to_string_lossy()).into_owned());
        Cli::try_parse_from(arguments).err().unwrap_or(error)
    })
}

/// Prints what clap says.
fn print(message: &clap::Error) -> ExitCode {
    match message.print() {
        Err(error) if !message.use_stderr() && error.kind() != ErrorKind::BrokenPipe => {
            note!("error: {}", Unwritable::from(error));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(message.exit_code() as u8),
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    espalier_kernels::check_environment().map_err(anyhow::Error::msg)?;
    if let Some(threads) = cli.threads {
        anyhow::ensure!(
            THREADS.contains(&threads),
            "--threads is {threads}; give between 1 and {}",
            THREADS.end()
        );
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(cli.threads.unwrap_or(0)).build()?;
    // The command runs on a thread of the pool: called from outside, the pool would have to wake up
    // for each matrix product.
    pool.install(|| dispatch(cli.command))
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Tokenizer(args) => tokenizer::run(args),
        Command::Pretrain(args) => pretrain::run(args),
        Command::Teach(args) => teach::run(args),
        Command::Prefinetune(args) => prefinetune::run(args),
        Command::Conflict(args) => conflict::run(args),
        Command::Study(args) => study::run(args),
        Command::Finetune(args) => finetune::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Predict(args) => predict::run(args),
        Command::FillMask(args) => fill_mask::run(args),
        Command::Encode(args) => encode::run(args),
        Command::Pack(args) => pack::run(args),
        Command::Quantize(args) => quantize::run(args),
        Command::Data(args) => data::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Doctor(args) => doctor::run(args),
    }
}

fn is_closed_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref().is_some_and(Unwritable::is_closed_pipe)
}
