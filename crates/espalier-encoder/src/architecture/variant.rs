//! Keys of config.json that are not shapes but decide whether this engine can run the model at all.

use super::Refused;
use serde::Deserialize;

#[derive(Deserialize)]
struct Keys {
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

/// Fails for a kind of BERT, or of its kin with the same keys, that this engine does not have.
pub(super) fn check(json: &[u8]) -> Result<(), Refused> {
    let Keys { hidden_act, position_embedding_type, is_decoder } = serde_json::from_slice(json)?;
    gelu(hidden_act.as_deref())?;
    if let Some(other) = position_embedding_type.filter(|kind| kind != "absolute") {
        let what = format!(
            "position embeddings of type {other:?} are not supported; supported: \"absolute\""
        );
        return Err(Refused::Unsupported(what));
    }
    if is_decoder {
        let what = "\"is_decoder\" is true; only encoders are supported, which read both ways";
        return Err(Refused::Unsupported(what.into()));
    }
    Ok(())
}

/// Fails for any other activation; a config.json that names none means this one.
pub(super) fn gelu(activation: Option<&str>) -> Result<(), Refused> {
    match activation {
        None | Some("gelu") => Ok(()),
        Some(other) => Err(Refused::Unsupported(format!(
            "activation {other:?} is not supported; supported: \"gelu\""
        ))),
    }
}
