use crate::input::read_lines;
use espalier_encoder::{Adapter, tensors::write_tensors};
use espalier_runtime::Runtime;
use std::path::PathBuf;

/// Turn texts into vectors, one text a line, as sentence-transformers would
///
/// FILE.safetensors receives one tensor, embeddings, f32, [lines, width].
#[derive(clap::Args)]
#[command(
    after_help = "Example: espalier encode --backbone all-MiniLM-L6-v2 --input texts.txt --output vectors.safetensors"
)]
pub struct Args {
    #[command(flatten)]
    backbone: super::BackboneArgs,
    /// An adapter to put on (any PEFT LoRA that fits)
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Texts, one a line; - for standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the vectors go
    #[arg(long, value_name = "FILE.safetensors")]
    output: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let runtime = Runtime::new(args.backbone.open()?);
    let backbone = runtime.backbone();
    let lora = args.adapter.as_deref().map(|directory| Adapter::open_lora(directory, backbone)).transpose()?;
    let texts = read_lines(Some(&args.input))?;
    let vectors = runtime.encode(&texts, lora.as_ref());
    let shape = vec![texts.len(), backbone.encoder.width()];
    write_tensors(&args.output, [("embeddings".to_string(), shape, vectors.as_slice())])?;
    eprintln!("{} vectors of {} in {}", texts.len(), backbone.encoder.width(), args.output.display());
    Ok(())
}
