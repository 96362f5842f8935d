use crate::fetch;

/// Get a backbone from the Hugging Face hub into the cache, and print where it is
///
/// Example: espalier fetch sentence-transformers/all-MiniLM-L6-v2
#[derive(clap::Args)]
pub struct Args {
    /// A hub id such as sentence-transformers/all-MiniLM-L6-v2
    id: String,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let fetched = fetch::fetch(&args.id)?;
    note!("{}: {:.1} MB from {}", args.id, fetched.bytes as f64 / 1e6, fetched.source);
    say!("{}", fetched.dir.display())?;
    Ok(())
}
