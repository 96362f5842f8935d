//! The encoders that a run needs.

use super::Teacher;
use espalier_encoder::Backbone;

/// What a run starts from: a backbone, and for distillation a teacher. A reference to a backbone
/// becomes one without.
#[derive(Clone, Copy, Debug)]
pub struct Encoders<'a> {
    /// The encoder that is trained.
    pub backbone: &'a Backbone,
    /// The encoder that it learns from.
    pub teacher: Option<&'a Teacher>,
}

impl<'a> From<&'a Backbone> for Encoders<'a> {
    fn from(backbone: &'a Backbone) -> Self {
        Self { backbone, teacher: None }
    }
}
