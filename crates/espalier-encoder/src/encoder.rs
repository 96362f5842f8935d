//! What an encoder is before it has weights.

use crate::architecture::EncoderConfig;
use crate::layout::Layout;

/// An encoder's architecture and shape, without weights.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Its shape.
    pub config: EncoderConfig,
    /// Where its tensors are in a flat vector of weights.
    pub layout: Layout,
}

impl Encoder {
    /// The encoder that `config` describes.
    pub fn new(config: EncoderConfig) -> Self {
        let layout = Layout::new(&config);
        Self { config, layout }
    }

    /// The encoder that `config` describes, for weights whose matrices are not in the flat vector.
    pub(crate) fn without_matrices(config: EncoderConfig) -> Self {
        let layout = Layout::without_matrices(&config);
        Self { config, layout }
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.config.num_hidden_layers
    }

    /// H, the width of the hidden states.
    pub fn width(&self) -> usize {
        self.config.hidden_size
    }
}
