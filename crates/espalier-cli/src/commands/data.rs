use crate::backbone;
use crate::output;
use espalier_data::check::{Report, check_file, check_folder};
use espalier_encoder::{Compute, Tokenizer};
use espalier_train::PrefinetuneConfig;
use std::path::{Path, PathBuf};

/// Inspect corpora and tasks
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Check(Check),
}

/// Report what data files contain, and what is wrong or suspicious in them
///
/// Reads every row and reports counts and labels, rows that cannot be read, duplicates, texts with
/// contradicting labels, test texts that are in train too, and more. The first record of a file
/// decides what kind of data it is. A folder with a training split is checked as a task, any other
/// folder file by file, and a configuration (.toml) by its corpora. The exit status is 1 if
/// something cannot be used for training.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier data check samples/tasks/wikigold \
                        samples/corpora/pairs.jsonl.gz")]
struct Check {
    /// Files, folders and configurations
    #[arg(required = true, value_name = "FILE|DIR|CONFIG.toml")]
    paths: Vec<PathBuf>,
    /// Also count tokens, with the tokenizer of this encoder
    #[arg(long, value_name = "DIR|FILE|ID")]
    backbone: Option<String>,
    /// Print a JSON object per file or task
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Check(args) => check(args),
    }
}

fn check(args: Check) -> anyhow::Result<()> {
    let backbone =
        args.backbone.as_deref().map(|spec| backbone::open(spec, Compute::F32)).transpose()?;
    let tokenizer = backbone.as_ref().map(|backbone| &*backbone.tokenizer);
    let mut refused = 0;
    for path in &args.paths {
        for report in reports(path, tokenizer)? {
            refused += usize::from(!report.usable);
            match args.json {
                true => output::json(&report)?,
                false => output::lines(format!("{report}\n\n"))?,
            }
        }
    }
    anyhow::ensure!(refused == 0, "{refused} of the above cannot be used");
    Ok(())
}

fn reports(path: &Path, tokenizer: Option<&Tokenizer>) -> anyhow::Result<Vec<Report>> {
    let reports = match path.extension().is_some_and(|extension| extension == "toml") {
        true => PrefinetuneConfig::read(path, &[])?.check_corpora(tokenizer),
        false if path.is_dir() => check_folder(path, tokenizer)?,
        false => vec![check_file(path, None, tokenizer)],
    };
    anyhow::ensure!(!reports.is_empty(), "{}: no data files here", path.display());
    Ok(reports)
}
