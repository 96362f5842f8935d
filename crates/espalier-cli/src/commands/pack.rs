use crate::backbone;
use crate::output;
use espalier_encoder::{Compute, PackedFile, Precision};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Pack a backbone into one small file for inference
///
/// The file holds weights and tokenizer and is memory-mapped, so that it opens fast. Adapters of
/// the backbone work on the packed file too. Give it as --backbone to predict, encode, evaluate and
/// bench, or open it from Rust and C. espalier quantize also checks what int8 costs in scores.
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier pack --backbone run/backbone --dtype int8 --out backbone.espalier
         espalier predict --backbone backbone.espalier --adapter banking --input texts.txt")]
pub struct Args {
    /// The backbone: a directory or a hub id
    #[arg(long, value_name = "DIR|ID")]
    backbone: String,
    /// Type of the stored matrices and token embeddings: int8, bf16 or f32
    #[arg(long, default_value = "int8", value_name = "TYPE", value_parser = precision)]
    dtype: Precision,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print sizes as JSON
    #[arg(long)]
    json: bool,
}

fn precision(name: &str) -> Result<Precision, String> {
    let known = Precision::ALL.into_iter().find(|precision| precision.name() == name);
    known.ok_or_else(|| "give int8, bf16 or f32".to_string())
}

pub fn run(args: Args) -> anyhow::Result<()> {
    super::not_among(&args.out, Path::new(&args.backbone))?;
    let packed =
        backbone::open_trainable(&args.backbone, Compute::F32)?.pack(args.dtype, &args.out)?;
    let parts = parts(&packed);
    if args.json {
        let sections =
            serde_json::Map::from_iter(parts.map(|(name, bytes)| (name.to_string(), bytes.into())));
        return output::json(&json!({
            "file": packed.path,
            "dtype": args.dtype.name(),
            "bytes": packed.bytes,
            "sections": sections,
        }));
    }
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    say!("{}: {}, {:.1} MB", packed.path.display(), args.dtype, megabytes(packed.bytes))?;
    for (name, bytes) in parts {
        say!("  {name:<12} {:>6.1} MB", megabytes(bytes))?;
    }
    Ok(())
}

/// The parts of a packed backbone and their sizes in bytes.
fn parts(packed: &PackedFile) -> [(&'static str, usize); 4] {
    let mut parts = [("words", 0), ("layers", 0), ("parameters", 0), ("tokenizer", 0)];
    for (name, bytes) in &packed.sections {
        let part = match name.split('.').next() {
            Some("words") => 0,
            Some("layer") => 1,
            Some("parameters") => 2,
            _ => 3,
        };
        parts[part].1 += bytes;
    }
    parts
}
