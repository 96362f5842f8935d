//! One backbone, many adapters, one pass through the shared trunk.
//!
//! Adapters change only the last layers, so the layers below, the trunk, give the same for all of
//! them. A [`Runtime`] runs the trunk once per text; each adapter's rows join at its own first
//! layer and go through the layers above together.
//!
//! ```no_run
//! use espalier_runtime::{Request, Runtime};
//!
//! let runtime = Runtime::open("demo/tpl/backbone".as_ref())?;
//! runtime.attach("intents", "demo/tpl/tasks/clinc150".as_ref())?;
//! for text in runtime.run(&["wake me up at seven"], &[Request::Adapter("intents"), Request::Plain])? {
//!     println!("{:?}", text.answers);
//! }
//! # Ok::<(), espalier_runtime::RuntimeError>(())
//! ```

mod answer;
mod attached;
mod awake;
mod error;
mod plan;
mod request;
mod run;
mod runtime;

pub use answer::{Answer, EntitySpan, LabelScore, TextAnswers};
pub use error::RuntimeError;
pub use request::Request;
pub use runtime::Runtime;
