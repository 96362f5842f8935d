use crate::commands::open_backbone;
use crate::output;
use espalier_data::check::{Report, check_file, check_folder};
use espalier_encoder::{Compute, Tokenizer};
use espalier_train::PrefinetuneConfig;
use std::path::{Path, PathBuf};

/// Say what is in data files, and what in them is odd or wrong
///
/// A file is checked for what its first record shows it to be; a folder with a training split as a
/// task, any other folder file by file; a configuration by its corpora. Every row is read. Fails
/// when something cannot be used for training.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier data check samples/tasks/wikigold \
                        samples/corpora/pairs.jsonl.gz")]
pub struct Args {
    /// Files, folders and configurations (.toml)
    #[arg(required = true, value_name = "FILE|DIR|CONFIG.toml")]
    paths: Vec<PathBuf>,
    /// Count tokens too, by this encoder's tokenizer
    #[arg(long, value_name = "DIR|FILE|ID")]
    backbone: Option<String>,
    /// Print a JSON object per file or task
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let backbone =
        args.backbone.as_deref().map(|spec| open_backbone(spec, Compute::F32)).transpose()?;
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
