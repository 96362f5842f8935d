//! One backbone, many adapters, one pass through the shared trunk.
//!
//! Adapters change only the last layers, so the layers below, the trunk, give the same for all of them. A [`Runtime`] runs the
//! trunk once per text and then, for each adapter, the layers above and its head.
//!
//! ```no_run
//! use espalier_runtime::Runtime;
//!
//! let mut runtime = Runtime::open("demo/tpl/backbone".as_ref())?;
//! runtime.attach("intents", "demo/tpl/tasks/clinc150".as_ref())?;
//! for answers in runtime.run(&["wake me up at seven"], &["intents"])? {
//!     println!("{:?}", answers.answers);
//! }
//! # Ok::<(), espalier_runtime::RuntimeError>(())
//! ```

mod answer;
mod runtime;

pub use answer::{Answer, EntitySpan, TextAnswers};
pub use runtime::{Runtime, RuntimeError};
