//! The espalier command line: thin, one file per subcommand.

// Printing goes through `output`, which escapes, and does not panic where nothing can be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod output;

mod commands;
mod fetch;
mod input;
mod interrupt;
mod progress;

use clap::{Parser, Subcommand};
use commands::{
    bench, conflict, data, demo, doctor, encode, evaluate, fetch as fetch_command, fill_mask,
    finetune, pack, predict, prefinetune, pretrain, quantize, teach, tokenizer,
};
use espalier_encoder::text::escape_control;
use output::Unwritable;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::process::ExitCode;

/// One encoder, many adapters: pre-finetune, fine-tune, evaluate and run small BERT-like encoders.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = "Start with: espalier demo")]
struct Cli {
    /// Threads to compute with [default: one per core]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Fetch(fetch_command::Args),
    Tokenizer(tokenizer::Args),
    Pretrain(pretrain::Args),
    Teach(teach::Args),
    Prefinetune(prefinetune::Args),
    Conflict(conflict::Args),
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

/// Threads that can be asked for: each has a stack, and the system's patience with them ends soon
/// after.
const THREADS: RangeInclusive<usize> = 1..=1024;

fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(answer) => return print(&answer),
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

/// The command line, or what clap says instead: a refusal, help, or the version.
fn parse() -> Result<Cli, clap::Error> {
    Cli::try_parse().map_err(|refusal| {
        // Refused once more with arguments that are safe to show.
        let arguments = std::env::args_os()
            .map(|argument| escape_control(&argument.to_string_lossy()).into_owned());
        Cli::try_parse_from(arguments).err().unwrap_or(refusal)
    })
}

fn print(answer: &clap::Error) -> ExitCode {
    match answer.print() {
        Err(error) if !answer.use_stderr() && error.kind() != ErrorKind::BrokenPipe => {
            note!("error: {}", Unwritable::from(error));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(answer.exit_code() as u8),
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
    // On a thread of the pool: work handed in from outside would wake it up anew for each matrix
    // product.
    pool.install(|| dispatch(cli.command))
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Fetch(args) => fetch_command::run(args),
        Command::Tokenizer(args) => tokenizer::run(args),
        Command::Pretrain(args) => pretrain::run(args),
        Command::Teach(args) => teach::run(args),
        Command::Prefinetune(args) => prefinetune::run(args),
        Command::Conflict(args) => conflict::run(args),
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
