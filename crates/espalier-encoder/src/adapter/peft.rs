//! PEFT's files: adapter_config.json and adapter_model.safetensors.

use super::card::{AdapterCard, Checksums, Output};
use crate::architecture::{EncoderConfig, Module};
use crate::error::{EncoderError, Result};
use crate::files;
use crate::head::Head;
use crate::lora::{Lora, LoraSite, SiteSpec};
use crate::tensors::{FloatType, TensorFile, tensor_bytes};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(super) const CONFIG_FILE: &str = "adapter_config.json";
pub(super) const WEIGHTS_FILE: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

/// PEFT's patterns are regular expressions. Those with any of these characters are more than a name
/// (a dot also matches itself).
const REGEX: [char; 12] = ['\\', '^', '$', '*', '+', '?', '(', ')', '[', ']', '{', '|'];

/// The keys of adapter_config.json that matter here. Options that change the mathematics and are
/// not implemented are read so that they can be rejected.
#[derive(Serialize, Deserialize)]
struct PeftConfig {
    peft_type: String,
    task_type: Option<String>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f32,
    #[serde(default)]
    lora_dropout: f32,
    #[serde(default)]
    target_modules: serde_json::Value,
    #[serde(default)]
    layers_to_transform: Option<serde_json::Value>,
    #[serde(default)]
    layers_pattern: Option<serde_json::Value>,
    #[serde(default)]
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f32>,
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    lora_bias: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default = "no_bias")]
    bias: String,
    #[serde(default)]
    inference_mode: bool,
}

fn no_bias() -> String {
    "none".into()
}

impl PeftConfig {
    /// Why it is not supported, if it is not.
    fn unsupported(&self) -> Option<String> {
        if self.peft_type != "LORA" {
            return Some(format!(
                "peft_type {:?} is not supported; supported: \"LORA\"",
                self.peft_type
            ));
        }
        if let Some(pattern) = self.alpha_pattern.keys().find(|pattern| pattern.contains(REGEX)) {
            return Some(format!(
                "alpha_pattern {pattern:?} is a regular expression; supported: names of modules"
            ));
        }
        if self.r == 0 {
            return Some("\"r\" is 0; the rank must be at least 1".into());
        }
        if let Some(alpha) =
            self.alpha_pattern.values().chain([&self.lora_alpha]).find(|alpha| !alpha.is_finite())
        {
            return Some(format!(
                "\"lora_alpha\" or \"alpha_pattern\" says {alpha}; the scale must be a finite \
                 number"
            ));
        }
        let options = [
            ("use_dora", self.use_dora),
            ("lora_bias", self.lora_bias),
            ("fan_in_fan_out", self.fan_in_fan_out),
            ("bias", self.bias != "none"),
        ];
        options
            .iter()
            .find(|(_, on)| *on)
            .map(|(name, _)| format!("option {name:?} is on, which is not supported"))
    }

    /// alpha of a module. As in PEFT, a pattern matches the whole name or its end.
    fn alpha(&self, module: &str) -> f32 {
        let matches = |pattern: &str| module == pattern || module.ends_with(&format!(".{pattern}"));
        self.alpha_pattern
            .iter()
            .find(|(pattern, _)| matches(pattern))
            .map_or(self.lora_alpha, |(_, &alpha)| alpha)
    }
}

/// Reads the LoRA and, if there is one, the classifier, from files with these checksums.
pub(super) fn read(
    directory: &Path,
    checksums: &Checksums,
    encoder: &EncoderConfig,
) -> Result<(Lora, Option<Head>)> {
    let config_path = directory.join(CONFIG_FILE);
    let config = checksums.read_file(directory, CONFIG_FILE)?;
    let config: PeftConfig =
        serde_json::from_slice(&config).map_err(EncoderError::json(&config_path))?;
    if let Some(reason) = config.unsupported() {
        return Err(EncoderError::adapter(&config_path, reason));
    }
    let path = directory.join(WEIGHTS_FILE);
    let bytes = checksums.read_file(directory, WEIGHTS_FILE)?;
    let file = TensorFile::parse(&path, &bytes)?;
    let contents = Contents::new(&path, &file, encoder)?;

    let mut specs = Vec::new();
    for (&(layer, module), name) in &contents.modules {
        let rank = file
            .shape(&format!("{name}.lora_A.weight"))
            .and_then(|shape| shape.first().copied())
            .unwrap_or(0);
        if rank == 0 {
            return Err(EncoderError::adapter(
                &path,
                format!("{name}.lora_A.weight is missing or has no rows"),
            ));
        }
        let alpha = config.alpha(name);
        specs.push(SiteSpec { layer, module, rank, alpha, rank_stabilized: config.use_rslora });
    }
    for spec in &specs {
        let (inputs, outputs) = spec.module.shape(encoder);
        let name = &contents.modules[&(spec.layer, spec.module)];
        file.expect(&format!("{name}.lora_A.weight"), &[spec.rank, inputs])?;
        file.expect(&format!("{name}.lora_B.weight"), &[outputs, spec.rank])?;
    }
    let mut lora = Lora::zeros(encoder, specs);
    for LoraSite { spec, a, b } in &lora.sites {
        let (inputs, outputs) = spec.module.shape(encoder);
        let name = &contents.modules[&(spec.layer, spec.module)];
        file.read_into(
            &format!("{name}.lora_A.weight"),
            &[spec.rank, inputs],
            &mut lora.values[a.clone()],
        )?;
        file.read_into(
            &format!("{name}.lora_B.weight"),
            &[outputs, spec.rank],
            &mut lora.values[b.clone()],
        )?;
    }
    let head = contents
        .classifier
        .map(|name| Head::read(&path, &file, &name, encoder.hidden_size))
        .transpose()?;
    Ok((lora, head))
}

/// What is in a weights file, by the names of the tensors.
struct Contents {
    /// Adapted modules and their names without `.lora_A.weight`.
    modules: BTreeMap<(usize, Module), String>,
    /// Name of the classifier without `.weight`.
    classifier: Option<String>,
}

impl Contents {
    fn new(path: &Path, file: &TensorFile, encoder: &EncoderConfig) -> Result<Self> {
        let mut contents = Self { modules: BTreeMap::new(), classifier: None };
        for full in file.names() {
            let name = full.strip_prefix(PREFIX).unwrap_or_default();
            let lora = name.strip_suffix(".lora_A.weight").or(name.strip_suffix(".lora_B.weight"));
            if let Some(name) = lora {
                let site = encoder
                    .architecture
                    .parse_module(name)
                    .filter(|(layer, _)| *layer < encoder.num_hidden_layers);
                let site = site.ok_or_else(|| {
                    EncoderError::adapter(
                        path,
                        format!("{full:?} adapts a module that this encoder does not have"),
                    )
                })?;
                contents.modules.insert(site, format!("{PREFIX}{name}"));
            } else if matches!(name, "classifier.weight" | "classifier.bias") {
                contents.classifier = Some(format!("{PREFIX}classifier"));
            } else {
                return Err(EncoderError::adapter(
                    path,
                    format!("tensor {full:?} is not one this engine knows"),
                ));
            }
        }
        Ok(contents)
    }
}

/// The weights and the configuration as PEFT would write them for the matching class of
/// transformers: that for token classification, that for sequence classification if its head is one
/// linear layer, or the bare encoder if there is no head.
pub(super) fn bytes(
    directory: &Path,
    lora: &Lora,
    head: Option<&Head>,
    card: &AdapterCard,
) -> Result<(Vec<u8>, Vec<u8>)> {
    let architecture = lora.architecture;
    let names = architecture.description();
    let (task_type, prefix) = match card.output {
        Output::Tags { .. } => ("TOKEN_CLS", format!("{}.", names.model_type)),
        Output::Labels { .. } => (names.text_task, format!("{}.", names.model_type)),
        Output::Vectors => ("FEATURE_EXTRACTION", String::new()),
    };
    let module_name =
        |spec: &SiteSpec| format!("{prefix}{}", architecture.module_name(spec.layer, spec.module));
    let mut tensors = Vec::new();
    for LoraSite { spec, a, b } in &lora.sites {
        let name = format!("{PREFIX}{}", module_name(spec));
        let (a, b) = (&lora.values[a.clone()], &lora.values[b.clone()]);
        tensors.push((format!("{name}.lora_A.weight"), vec![spec.rank, a.len() / spec.rank], a));
        tensors.push((format!("{name}.lora_B.weight"), vec![b.len() / spec.rank, spec.rank], b));
    }
    if let Some(head) = head {
        let linear = head.linear();
        tensors.push((
            format!("{PREFIX}classifier.weight"),
            vec![head.classes, head.width()],
            linear.weight,
        ));
        tensors.push((format!("{PREFIX}classifier.bias"), vec![head.classes], linear.bias));
    }
    let dtype = FloatType::exact(tensors.iter().flat_map(|(.., values)| *values));
    let weights = tensor_bytes(&directory.join(WEIGHTS_FILE), dtype, tensors)?;

    let first = lora.sites.first().map(|site| site.spec);
    let (rank, alpha) = first.map_or((1, 1.0), |spec| (spec.rank, spec.alpha));
    let other = lora.sites.iter().map(|site| &site.spec);
    let config = PeftConfig {
        peft_type: "LORA".into(),
        task_type: Some(task_type.into()),
        base_model_name_or_path: None,
        r: rank,
        lora_alpha: alpha,
        lora_dropout: 0.0,
        target_modules: target_modules(lora).into(),
        layers_to_transform: Some(
            lora.sites
                .iter()
                .map(|site| site.spec.layer)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        ),
        layers_pattern: Some("layer".into()),
        rank_pattern: other
            .clone()
            .filter(|spec| spec.rank != rank)
            .map(|s| (module_name(s), s.rank))
            .collect(),
        alpha_pattern: other
            .filter(|spec| spec.alpha != alpha)
            .map(|s| (module_name(s), s.alpha))
            .collect(),
        modules_to_save: head.map(|_| vec!["classifier".to_string()]),
        use_rslora: first.is_some_and(|spec| spec.rank_stabilized),
        use_dora: false,
        lora_bias: false,
        fan_in_fan_out: false,
        bias: no_bias(),
        inference_mode: true,
    };
    Ok((weights, files::json_bytes(&directory.join(CONFIG_FILE), &config)?))
}

/// `target_modules`: PEFT adapts modules whose names end with one of these. If every adapted layer
/// has the same modules, they are the modules' names, else each is named with its layer. In BERT
/// `output.dense` is also the end of `attention.output.dense`, so it is named with its layer unless
/// both are adapted.
fn target_modules(lora: &Lora) -> Vec<String> {
    let name = |module: Module| lora.architecture.description().modules[module as usize];
    let ends_another = |module| {
        Module::ALL.into_iter().find(|&other| name(other).ends_with(&format!(".{}", name(module))))
    };
    let names = lora.sites.iter().map(|LoraSite { spec, .. }| match ends_another(spec.module) {
        Some(_) => format!("{}.{}", spec.layer, name(spec.module)),
        None => format!("layer.{}.{}", spec.layer, name(spec.module)),
    });
    let modules: BTreeSet<Module> = lora.sites.iter().map(|site| site.spec.module).collect();
    let layers: BTreeSet<usize> = lora.sites.iter().map(|site| site.spec.layer).collect();
    let regular = lora.sites.len() == modules.len() * layers.len();
    let unambiguous = modules
        .iter()
        .all(|&module| ends_another(module).is_none_or(|other| modules.contains(&other)));
    match regular && unambiguous {
        true => modules.iter().map(|&module| name(module).to_string()).collect(),
        false => names.collect(),
    }
}
