//! The adapter that fine-tuning starts from.

use super::config::FinetuneConfig;
use crate::error::{Result, TrainError};
use crate::initialization::uniform;
use espalier_data::sampling::generator;
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{EncoderConfig, Lora, LoraConfig, TextEncoder};

/// A copy of `init`, if it fits the encoder, or a fresh adapter.
pub(super) fn starting_point(
    backbone: &TextEncoder,
    init: Option<&Lora>,
    config: &FinetuneConfig,
) -> Result<Lora> {
    let layers = backbone.encoder.layers();
    if let Some(lora) = init {
        return match fits(lora, &backbone.encoder.config) {
            true => Ok(lora.clone()),
            false => Err(TrainError::Init(format!(
                "the adapter to start from does not fit this encoder of {layers} layers and width \
                 {}; it was made for another",
                backbone.encoder.width()
            ))),
        };
    }
    let shape = config.lora.clone().unwrap_or_else(|| LoraConfig::for_layers(layers));
    if shape.layers > layers {
        let rule = "the encoder has fewer layers than that";
        return Err(TrainError::ConfigValue {
            key: "layers",
            value: shape.layers.to_string(),
            rule,
        });
    }
    let mut rng = generator(config.seed, "adapter");
    Ok(Lora::random_init(&backbone.encoder.config, &shape, uniform(&mut rng)))
}

/// Whether an adapter has the layout that it would have on this encoder.
fn fits(lora: &Lora, config: &EncoderConfig) -> bool {
    let specs: Vec<SiteSpec> = lora.sites.iter().map(|site| site.spec).collect();
    let mut blank = lora.clone();
    blank.values.fill(0.0);
    specs.iter().all(|spec| spec.layer < config.num_hidden_layers)
        && blank == Lora::zeros(config, specs)
}
