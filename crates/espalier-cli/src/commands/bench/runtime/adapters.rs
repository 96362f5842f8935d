//! Random adapters: their numbers mean nothing, but the work is that of trained ones.

use super::{Args, Modules};
use anyhow::ensure;
use espalier_data::sampling::generator;
use espalier_encoder::{
    Adapter, AdapterCard, Family, Head, Lora, LoraConfig, Module, Output, Pooling, TextEncoder,
};
use espalier_runtime::Runtime;
use espalier_train::initialization::uniform;
use std::collections::BTreeMap;
use std::ops::Range;

/// Adapters that answer where nothing else is said.
pub(super) const MANY: usize = 10;
/// The rank of all adapters.
pub(super) const RANK: usize = 8;

/// A runtime with adapters.
pub(super) struct Attached {
    pub runtime: Runtime,
    /// Of the adapters, in the order in which they were attached.
    pub names: Vec<String>,
}

/// A runtime with as many adapters as any measurement asks for.
pub(super) fn attached(args: &Args) -> anyhow::Result<Attached> {
    let most = args.adapters.iter().copied().max().unwrap_or(MANY).max(MANY);
    let mut many = Attached { runtime: Runtime::new(args.backbone.open()?), names: Vec::new() };
    many.attach(args, 0..most)?;
    Ok(many)
}

impl Attached {
    /// Attaches the adapters of these numbers.
    pub fn attach(&mut self, args: &Args, numbers: Range<usize>) -> anyhow::Result<()> {
        for number in numbers {
            let name = format!("adapter {number}");
            self.runtime.attach_adapter(&name, random(args, self.runtime.backbone(), number)?)?;
            self.names.push(name);
        }
        Ok(())
    }

    /// The first so many names.
    pub fn first(&self, count: usize) -> Vec<&str> {
        self.names[..count].iter().map(String::as_str).collect()
    }
}

/// An adapter for entities where the number is even, for labels where it is odd.
pub(super) fn random(
    args: &Args,
    backbone: &TextEncoder,
    number: usize,
) -> anyhow::Result<Adapter> {
    let config = &backbone.encoder.config;
    let most = config.num_hidden_layers;
    ensure!(
        (1..=most).contains(&args.layers),
        "--layers must be 1 to {most}, as many as this backbone has"
    );
    let modules = match args.modules {
        Modules::All => Module::ALL.to_vec(),
        Modules::QueryValue => vec![Module::Query, Module::Value],
    };
    let shape = LoraConfig { layers: args.layers, modules, rank: RANK, alpha: 16.0 };
    let mut rng = generator(number as u64, "bench adapter");
    let mut uniform = uniform(&mut rng);
    let mut lora = Lora::random_init(config, &shape, || 0.0);
    lora.values.fill_with(|| 0.05 * uniform());
    let (family, output) = match number % 2 {
        0 => (Family::Ner, Output::Tags { tags: tags() }),
        _ => (
            Family::Tc,
            Output::Labels { labels: (1..=4).map(|label| format!("label {label}")).collect() },
        ),
    };
    let head =
        output.classes().map(|classes| Head::random_init(config.hidden_size, classes, uniform));
    let (format, pooling, training) = (AdapterCard::FORMAT, Pooling::Mean, BTreeMap::new());
    let card = AdapterCard {
        format,
        family,
        output,
        pooling,
        backbone: backbone.fingerprint().into(),
        training,
    };
    Ok(Adapter { lora, head, card })
}

/// Nine of them.
fn tags() -> Vec<String> {
    let entities = ["person", "place", "organisation", "product"];
    let tags = entities.iter().flat_map(|name| [format!("B-{name}"), format!("I-{name}")]);
    std::iter::once("O".to_string()).chain(tags).collect()
}
