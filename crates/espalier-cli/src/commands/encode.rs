use crate::input::read_lines;
use espalier_encoder::{
    Adapter,
    tensors::{FloatType, write_tensors},
};
use espalier_runtime::{Answer, Request, Runtime};
use std::path::PathBuf;

/// The name by which the adapter is attached.
const ADAPTER: &str = "adapter";

/// Embed texts, one vector per line, as SentenceTransformer.encode does
///
/// FILE.safetensors receives one tensor, "embeddings", of dtype F32 and shape [lines, hidden size].
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier encode --backbone all-MiniLM-L6-v2 --input texts.txt \\
             --output vectors.safetensors")]
pub struct Args {
    #[command(flatten)]
    backbone: crate::backbone::BackboneArgs,
    /// Embed with this adapter (any PEFT LoRA that fits the backbone)
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// File with one text per line; - for standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// File to write the vectors to
    #[arg(long, value_name = "FILE.safetensors")]
    output: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    super::not_among(&args.output, &args.input)?;
    let runtime = Runtime::new(args.backbone.open()?);
    let request = match &args.adapter {
        Some(directory) => {
            // Without the head, if it has one: a vector comes from the encoder.
            runtime.attach_lora(ADAPTER, &Adapter::open_lora(directory, runtime.backbone())?)?;
            Request::Adapter(ADAPTER)
        }
        None => Request::Plain,
    };
    let texts = read_lines(Some(&args.input))?;
    let width = runtime.backbone().encoder.width();
    let mut vectors = Vec::with_capacity(texts.len() * width);
    for answer in runtime.run(&texts, &[request])?.into_iter().flat_map(|text| text.answers) {
        if let Answer::Vector(vector) = answer {
            vectors.extend(vector);
        }
    }
    write_tensors(
        &args.output,
        FloatType::F32,
        [("embeddings".to_string(), vec![texts.len(), width], vectors.as_slice())],
    )?;
    note!("{} vectors of {width} in {}", texts.len(), args.output.display());
    Ok(())
}
