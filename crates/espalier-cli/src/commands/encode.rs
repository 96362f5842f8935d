use crate::input::read_lines;
use espalier_encoder::{
    Adapter,
    tensors::{FloatType, write_tensors},
};
use espalier_runtime::{Answer, Request, Runtime};
use std::path::PathBuf;

/// What the adapter is called here.
const ADAPTER: &str = "adapter";

/// Turn texts into vectors, one text a line, as sentence-transformers would
///
/// FILE.safetensors receives one tensor, embeddings, f32, [lines, width].
#[derive(clap::Args)]
#[command(after_help = "Example: espalier encode --backbone all-MiniLM-L6-v2 --input texts.txt \
                        --output vectors.safetensors")]
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
    super::not_among(&args.output, &args.input)?;
    let runtime = Runtime::new(args.backbone.open()?);
    let request = match &args.adapter {
        Some(directory) => {
            // The low-rank updates alone: a head, if there is one, has no part in vectors.
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
