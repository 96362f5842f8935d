//! Small encoders that many applications share.
//!
//! An encoder such as BERT turns a text into vectors, one per token. Espalier is for small ones (22
//! million parameters for all-MiniLM-L6-v2) and for programs with many tasks: one *backbone*, the
//! encoder, is loaded once, and each task has an *adapter*, a low-rank update (LoRA) of the
//! backbone's last layers and a linear *head* that turns vectors into labels or entities. An
//! adapter has about one per cent of the backbone's size, trains in seconds to minutes on a laptop,
//! and adds little time to a text that other adapters read too.
//!
//! Everything is Rust and runs on the CPU. Files are those of the Hugging Face ecosystem: model
//! directories, PEFT adapters, sentence-transformers pooling.
//!
//! This page is a tour. Its programs run on a tiny model with random weights; put a model id such
//! as `"sentence-transformers/all-MiniLM-L6-v2"` in its place for real answers.
//!
//! Run your program with `--release`: without optimisation it is many times slower. For debug
//! builds, add `[profile.dev.package."*"]` with `opt-level = 2` to its `Cargo.toml`.
//!
//! # Load a backbone and embed texts
//!
//! [`from_pretrained`](FromPretrained::from_pretrained) takes the path of a directory or a model id
//! of the Hugging Face hub. A [`Runtime`](runtime::Runtime) answers texts. Without an adapter, the
//! answer is the vector of the text, as sentence-transformers computes it:
//!
//! ```
//! use espalier::prelude::*;
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
//!
//! let runtime = Runtime::from_pretrained("fixtures/tiny-bert")?;
//! let texts = ["a cheap hotel in london", "the train to paris"];
//! for text in runtime.run(&texts, &[Request::Plain])? {
//!     if let Answer::Vector(vector) = &text.answers[0] {
//!         assert_eq!(vector.len(), 32); // the hidden size of the tiny model
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Below that there is the model itself: [`TextEncoder::model`](encoder::TextEncoder::model) gives
//! the hidden states of all tokens, and gradients.
//!
//! # Fine-tune an adapter
//!
//! Examples are rows in memory, or files of a folder that [`Task::open`](data::Task::open) reads.
//! The backbone stays as it is. What is trained is an [`Adapter`](encoder::Adapter), which is saved
//! in PEFT's format:
//!
//! ```
//! use espalier::prelude::*;
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//!
//! let backbone = Backbone::from_pretrained("fixtures/tiny-bert")?;
//! let train = Examples::classification([
//!     ("a cheap hotel", "hotel"),
//!     ("the hotel near the station", "hotel"),
//!     ("a train to london", "train"),
//!     ("the trains from paris", "train"),
//! ])?;
//!
//! let mut config = FinetuneConfig::default(); // more settings may come: start from the defaults
//! (config.steps, config.learning_rate) = (40, 0.01);
//! let adapter = Finetuner::new(&backbone).config(config).train(&train, |step| {
//!     println!("step {}: loss {:.3}", step.step, step.loss);
//! })?;
//! adapter.save(&directory.join("intents"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Evaluate
//!
//! [`evaluate`](study::evaluate()) runs an adapter over examples and scores its answers: accuracy
//! and macro F1 for labels, strict and lenient F1 for entities.
//!
//! ```
//! use espalier::prelude::*;
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
//!
//! let backbone = Backbone::from_pretrained("fixtures/tiny-bert")?;
//! let rows = ["london", "paris", "berlin"].map(|city| (["to", city], ["O", "B-city"]));
//! let examples = Examples::ner_from_tags(rows)?;
//!
//! let mut config = FinetuneConfig::default();
//! (config.steps, config.learning_rate) = (40, 0.01);
//! let adapter = Finetuner::new(&backbone).config(config).train(&examples, |_| {})?;
//! match evaluate(&backbone, &adapter, &examples)? {
//!     Scores::Ner(scores) => assert_eq!(scores.strict.f1, 1.0),
//!     other => unreachable!("{other:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Run many adapters on one backbone
//!
//! A runtime holds one backbone and any number of adapters, each under a name. Layers that adapters
//! have in common run once per text. Adapters can be attached, replaced and detached while other
//! threads run texts.
//!
//! ```
//! use espalier::prelude::*;
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
//! # let backbone = Backbone::from_pretrained("fixtures/tiny-bert")?;
//! # let mut config = FinetuneConfig::default();
//! # (config.steps, config.learning_rate) = (40, 0.01);
//! # let rows = ["london", "paris", "berlin"].map(|city| (["to", city], ["O", "B-city"]));
//! # let train = Examples::ner_from_tags(rows)?;
//! # let cities = Finetuner::new(&backbone).config(config.clone()).train(&train, |_| {})?;
//! # let rows = [("a cheap hotel", "hotel"), ("a train to london", "train")];
//! # let train = Examples::classification(rows)?;
//! # let intents = Finetuner::new(&backbone).config(config).train(&train, |_| {})?;
//!
//! let runtime = Runtime::new(backbone);
//! runtime.attach_adapter("cities", cities)?; // or attach("cities", &path)
//! runtime.attach_adapter("intents", intents)?;
//!
//! for text in runtime.run(&["a train to paris"], &["cities", "intents"])? {
//!     for answer in text.answers {
//!         match answer {
//!             Answer::Entities(entities) => println!("{entities:?}"),
//!             Answer::Label { label, score, .. } => println!("{label}: {score:.2}"),
//!             Answer::Vector(_) => unreachable!("both adapters have heads"),
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Pre-finetune a backbone
//!
//! Few labels go further on a backbone that has seen similar tasks. Pre-finetuning trains the
//! backbone on two kinds of corpora at once, one for each *family* of tasks: sentences with
//! concepts marked, for named entities, and pairs of texts that mean the same, for classification.
//! A *strategy* says how the two share the weights; `tpl` (arXiv 2510.07566) gives each family an
//! adapter of its own, which is also a good starting point for fine-tuning:
//!
//! ```
//! use espalier::prelude::*;
//! use std::fs;
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//!
//! let (concepts, pairs) = (directory.join("concepts.jsonl"), directory.join("pairs.jsonl"));
//! fs::write(
//!     &concepts,
//!     r#"{"tokens": ["trains", "to", "london"], "spans": [{"start": 2, "end": 3, "type": "city"}]}
//!        {"tokens": ["a", "train", "in", "may"], "spans": [{"start": 3, "end": 4, "type": "month"}]}"#,
//! )?;
//! fs::write(
//!     &pairs,
//!     r#"{"anchor": "a cheap hotel", "positive": "about hotels"}
//!        {"anchor": "a train to paris", "positive": "about trains"}"#,
//! )?;
//!
//! let backbone = Backbone::from_pretrained("fixtures/tiny-bert")?;
//! let mut config = PrefinetuneConfig::default();
//! config.strategy = Strategy::TPL;
//! config.ner.corpora = vec![concepts.into()];
//! config.tc.corpora = vec![pairs.into()];
//! config.ner.batch = 2;
//! config.tc.batch = 2;
//! config.train.steps = 3;
//! let model = prefinetune(&backbone, &config, |step| println!("{:?}", step.losses))?;
//! model.save(&directory.join("run"), &config)?; // backbone/ and adapters/
//! # assert!(directory.join("run/adapters/tc/adapter_model.safetensors").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For long runs there is [`RunDirectory`](train::run::RunDirectory), with checkpoints and metrics:
//! a killed run resumes to the same weights, bit by bit.
//!
//! # Threads
//!
//! Backbones, adapters, runtimes, tokenizers, data and errors are `Send + Sync`: share them by
//! reference or in an [`Arc`](std::sync::Arc). Computation uses the current rayon thread pool, and
//! results do not depend on the number of threads.
//!
//! # Crates and features
//!
//! | module | crate | what it is |
//! |---|---|---|
//! | [`encoder`] | `espalier-encoder` | models, tokenizers, adapters |
//! | [`data`] | `espalier-data` | corpora and tasks |
//! | [`train`] | `espalier-train` | pretraining, pre-finetuning, fine-tuning |
//! | [`study`] | `espalier-study` | scores, comparisons, quantization |
//! | [`runtime`] | `espalier-runtime` | many adapters on one backbone |
//! | `hub` | `espalier-hub` | downloads; feature `hub`, on by default |
//!
//! The feature `parquet` reads Parquet corpora and tasks. A program that only runs adapters can
//! depend on `espalier-runtime` alone, which has neither training nor network code.

mod error;
mod from_pretrained;
pub mod prelude;

pub use error::{Error, Result};
pub use espalier_data as data;
pub use espalier_encoder as encoder;
#[cfg(feature = "hub")]
pub use espalier_hub as hub;
pub use espalier_runtime as runtime;
pub use espalier_study as study;
pub use espalier_train as train;
pub use from_pretrained::FromPretrained;
