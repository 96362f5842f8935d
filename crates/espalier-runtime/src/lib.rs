//! Many adapters on one backbone.
//!
//! A [`Runtime`] holds a backbone and any number of adapters, each under a name, and answers texts
//! with them: with entities, labels or vectors.
//!
//! Adapters change only the last layers. The layers below, the trunk, have the same output for all
//! of them, so a runtime runs the trunk once per text. In the layers above, the texts of all
//! adapters are one batch. An answer does not depend, to the bit, on the other texts and adapters.
//!
//! ```
//! use espalier_encoder::LoraConfig;
//! use espalier_runtime::{Answer, Request, Runtime};
//! # use espalier_encoder::{Adapter, AdapterCard, Family, Head, Lora, Output, Pooling};
//!
//! # fn main() -> Result<(), espalier_runtime::RuntimeError> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
//! # let directory = std::env::temp_dir().join(format!("intents-{}", std::process::id()));
//! let runtime = Runtime::open(path.as_ref())?;
//! # let backbone = runtime.backbone();
//! # let shape = LoraConfig::for_layers(backbone.encoder.layers());
//! # let adapter = Adapter {
//! #     lora: Lora::random_init(&backbone.encoder.config, &shape, || 0.5),
//! #     head: Some(Head::random_init(backbone.encoder.width(), 2, || 0.5)),
//! #     card: AdapterCard {
//! #         format: AdapterCard::FORMAT,
//! #         family: Family::Tc,
//! #         output: Output::Labels { labels: vec!["hotel".into(), "train".into()] },
//! #         pooling: Pooling::Mean,
//! #         backbone: backbone.fingerprint().into(),
//! #         training: Default::default(),
//! #     },
//! # };
//! # adapter.save(&directory)?;
//! runtime.attach("intents", &directory)?;
//!
//! let requests = [Request::Adapter("intents"), Request::Plain];
//! for text in runtime.run(&["wake me up at seven"], &requests)? {
//!     for answer in text.answers {
//!         match answer {
//!             Answer::Entities(entities) => println!("{entities:?}"),
//!             Answer::Label { label, score, .. } => println!("{label}: {score:.2}"),
//!             Answer::Vector(vector) => println!("{} numbers", vector.len()),
//!         }
//!     }
//! }
//! # let _ = std::fs::remove_dir_all(directory);
//! # Ok(())
//! # }
//! ```

mod answer;
mod attached;
mod error;
mod plan;
mod run;
mod runtime;
mod spin;

pub use answer::{Answer, EntitySpan, LabelScore, Request, TextAnswers};
pub use error::RuntimeError;
pub use runtime::Runtime;
