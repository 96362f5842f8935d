//! config.json of a backbone, the TOML of a run that trains an encoder, and overrides for it, one a
//! line; in this order.

use super::files;
use espalier_encoder::{Encoder, EncoderConfig};
use espalier_train::PrefinetuneConfig;
use espalier_train::config::NerObjective;
use espalier_train::strategy::Strategy;
use std::path::Path;

/// Reads both files, the second as `prefinetune`, `pretrain` and `teach` do. What is accepted can
/// be laid out, and is the same after it was written and read again.
pub fn read(input: &[u8]) {
    let [config, run, overrides] = files::parts(input);
    let overrides: Vec<String> =
        String::from_utf8_lossy(overrides).lines().map(String::from).collect();
    files::in_directory(|directory| {
        files::put(directory, &[("config.json", config), ("run.toml", run)]);
        if let Ok(config) = EncoderConfig::read(&directory.join("config.json")) {
            assert!(!Encoder::new(config).layout.is_empty());
        }
        let path = directory.join("run.toml");
        let read = |overrides: &[String]| {
            PrefinetuneConfig::read(&path, overrides).map_err(|error| error.to_string())
        };
        let pretraining = [&["strategy=mlm".to_string()], &overrides[..]].concat();
        let (prefinetuning, pretraining) = (read(&overrides), read(&pretraining));
        let teaching = prefinetuning.clone().map(|mut config| {
            config.strategy = Strategy::NER;
            config.ner.objective = Some(NerObjective::Concepts);
            config
        });
        for config in [prefinetuning, pretraining, teaching].into_iter().flatten() {
            check(directory, &config);
        }
    });
}

fn check(directory: &Path, config: &PrefinetuneConfig) {
    // Every message is made, too.
    let _ = config.check().map_err(|error| error.to_string());
    let text = config.to_toml();
    files::put(directory, &[("run.toml", text.as_bytes())]);
    let again = PrefinetuneConfig::read(&directory.join("run.toml"), &[])
        .expect("what was written can be read");
    assert_eq!(text, again.to_toml());
}
