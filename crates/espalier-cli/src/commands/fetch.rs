use crate::backbone;

/// Download a backbone from the Hugging Face hub into the cache, and print its path
///
/// A model that is cached already is verified by the checksums of all its files. Other commands
/// download on their own what --backbone names; this one is for preparing a machine without
/// network. The cache is $ESPALIER_CACHE, by default ~/.cache/espalier.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier fetch sentence-transformers/all-MiniLM-L6-v2")]
pub struct Args {
    /// Model id on the hub, such as sentence-transformers/all-MiniLM-L6-v2
    id: String,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let fetched = backbone::fetch(&args.id)?;
    note!("{}: {:.1} MB from {}", args.id, fetched.bytes as f64 / 1e6, fetched.source);
    say!("{}", fetched.directory.display())?;
    Ok(())
}
