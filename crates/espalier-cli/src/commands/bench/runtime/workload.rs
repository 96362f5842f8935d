//! Random adapters and texts of known lengths. The numbers mean nothing, but the work is that of
//! trained adapters and real texts.

use super::{Args, Modules};
use crate::input::read_lines;
use anyhow::ensure;
use espalier_data::sampling::generator;
use espalier_encoder::{
    Adapter, AdapterCard, Family, Head, Lora, LoraConfig, Module, Output, Pooling, TextEncoder,
    Tokenizer,
};
use espalier_runtime::Runtime;
use espalier_train::initialization::uniform;
use rand::Rng;
use std::collections::BTreeMap;
use std::ops::Range;

/// Adapters in measurements that do not vary their number.
pub(super) const ADAPTERS: usize = 10;
/// The rank of all adapters.
pub(super) const RANK: usize = 8;

/// A runtime with adapters.
pub(super) struct Attached {
    pub runtime: Runtime,
    /// The names of the adapters, in the order in which they were attached.
    pub names: Vec<String>,
}

impl Attached {
    /// A runtime without adapters.
    pub fn none(args: &Args) -> anyhow::Result<Self> {
        Ok(Self { runtime: Runtime::new(args.backbone.open()?), names: Vec::new() })
    }

    /// A runtime with as many adapters as any measurement needs.
    pub fn all(args: &Args) -> anyhow::Result<Self> {
        let most = args.adapters.iter().copied().max().unwrap_or(ADAPTERS).max(ADAPTERS);
        let mut attached = Self::none(args)?;
        attached.attach(args, 0..most)?;
        Ok(attached)
    }

    /// Attaches the adapters with these numbers.
    pub fn attach(&mut self, args: &Args, numbers: Range<usize>) -> anyhow::Result<()> {
        for number in numbers {
            let name = format!("adapter {number}");
            let adapter = random_adapter(args, self.runtime.backbone(), number)?;
            self.runtime.attach_adapter(&name, adapter)?;
            self.names.push(name);
        }
        Ok(())
    }

    /// The names of the first `count` adapters.
    pub fn first(&self, count: usize) -> Vec<&str> {
        self.names[..count].iter().map(String::as_str).collect()
    }
}

/// An adapter with random numbers: for entities if `number` is even, for labels if it is odd.
pub(super) fn random_adapter(
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
    let shape = LoraConfig::for_layers(args.layers)
        .with_layers(args.layers)
        .with_modules(modules)
        .with_rank(RANK);
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

/// The nine IOB2 tags of four labels.
fn tags() -> Vec<String> {
    let entities = ["person", "place", "organisation", "product"];
    let tags = entities.iter().flat_map(|name| [format!("B-{name}"), format!("I-{name}")]);
    std::iter::once("O".to_string()).chain(tags).collect()
}

/// Words that are one token for most tokenizers. Those that are not are left out.
const WORDS: &str = "a the of in on to and is was at for with from by not this that it you we \
                     they he she his her city river train music play book flight hotel weather \
                     great good time new water light open bank team game price film food heart";

/// Makes random texts with a given number of tokens.
pub(super) struct Texts<'a> {
    tokenizer: &'a Tokenizer,
    words: Vec<&'static str>,
    /// The number of special tokens of a text.
    special: usize,
}

impl<'a> Texts<'a> {
    pub fn new(tokenizer: &'a Tokenizer) -> anyhow::Result<Self> {
        let tokens = |text: &str| tokenizer.encode(text).ids.len();
        let special = tokens("");
        let words: Vec<&str> =
            WORDS.split_whitespace().filter(|word| tokens(word) == special + 1).collect();
        ensure!(
            !words.is_empty(),
            "this backbone's tokenizer has no token for any common English word to make texts of"
        );
        Ok(Self { tokenizer, words, special })
    }

    /// A text of `tokens` tokens; another one for each seed.
    pub fn one(&self, tokens: usize, seed: u64) -> anyhow::Result<String> {
        let mut rng = generator(seed, "bench texts");
        let word = |_| self.words[rng.random_range(0..self.words.len())];
        let text = (self.special..tokens).map(word).collect::<Vec<_>>().join(" ");
        let encoded = self.tokenizer.encode(&text);
        let (least, most) = (self.special, self.tokenizer.max_tokens());
        ensure!(
            encoded.ids.len() == tokens && !encoded.truncated,
            "there is no text of {tokens} tokens: this backbone's have {least} to {most}"
        );
        Ok(text)
    }

    /// `count` texts of `tokens` tokens.
    pub fn same_length(&self, tokens: usize, count: usize) -> anyhow::Result<Vec<String>> {
        (0..count).map(|seed| self.one(tokens, seed as u64)).collect()
    }

    /// Texts of mixed lengths, or the texts or lengths of the file that the arguments name.
    pub fn mixed(&self, args: &Args) -> anyhow::Result<Vec<String>> {
        let longest = self.tokenizer.max_tokens();
        let lengths: Vec<usize> = match &args.lengths {
            // All lengths from 5 to 64 equally often, in an order that mixes short and long.
            None => (0..args.texts).map(|i| (5 + i * 37 % 60).min(longest)).collect(),
            Some(path) => {
                let lines: Vec<String> = read_lines(Some(path))?;
                let lines: Vec<String> =
                    lines.into_iter().filter(|line| !line.trim().is_empty()).collect();
                ensure!(
                    !lines.is_empty(),
                    "{} is empty: one text, or one length, per line is needed",
                    path.display()
                );
                match lines.iter().map(|line| line.trim().parse()).collect() {
                    Ok(lengths) => lengths,
                    Err(std::num::ParseIntError { .. }) => return Ok(lines),
                }
            }
        };
        let texts = lengths.iter().enumerate();
        texts.map(|(seed, &tokens)| self.one(tokens, seed as u64)).collect()
    }
}
