//! The names that most programs need: `use espalier::prelude::*`.

pub use crate::FromPretrained;
pub use espalier_data::{AnnotatedText, Examples, LabelledText, Task};
pub use espalier_encoder::{
    Adapter, AnyBackbone, Backbone, Compute, Family, LoraConfig, Precision,
};
pub use espalier_runtime::{Answer, Request, Runtime};
pub use espalier_study::{Scores, evaluate};
pub use espalier_train::strategy::Strategy;
pub use espalier_train::{FinetuneConfig, Finetuner, PrefinetuneConfig, prefinetune};
