//! config.json of a backbone, the TOML of a pre-finetuning run, and overrides for it, one a line; in this order.

use crate::files;
use espalier_encoder::{Encoder, EncoderConfig};
use espalier_train::PrefinetuneConfig;

/// Reads both files. What is accepted can be laid out, and is the same after it was written and read again.
pub fn read(input: &[u8]) {
    let [config, run, overrides] = files::parts(input);
    let overrides: Vec<String> = String::from_utf8_lossy(overrides).lines().map(String::from).collect();
    files::in_directory(|directory| {
        files::put(directory, &[("config.json", config), ("run.toml", run)]);
        if let Ok(config) = EncoderConfig::read(&directory.join("config.json")) {
            assert!(!Encoder::new(config).layout.is_empty());
        }
        let Ok(config) = PrefinetuneConfig::read(&directory.join("run.toml"), &overrides) else { return };
        // Every message is made, too.
        let _ = config.check().map_err(|error| error.to_string());
        let text = config.to_toml();
        files::put(directory, &[("run.toml", text.as_bytes())]);
        let again = PrefinetuneConfig::read(&directory.join("run.toml"), &[]).expect("what was written can be read");
        assert_eq!(text, again.to_toml());
    });
}
