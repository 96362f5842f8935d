//! The runtime.

use crate::answer::{Request, TextAnswers};
use crate::attached::Attached;
use crate::error::RuntimeError;
use crate::run::{NotFinite, distinct, run};
use crate::spin::with_spinning_threads;
use espalier_encoder::text::first_few;
use espalier_encoder::{Adapter, AnyBackbone, Compute, Lora, TextEncoder, check_threads};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes of text up to which a run is short: it takes a few milliseconds, of which waking up
/// threads would be a large part.
const SHORT: usize = 512;

type ByName = BTreeMap<String, Arc<Attached>>;

/// A backbone with the adapters attached to it.
///
/// It is `Send + Sync`. Threads may share it by reference or in an [`Arc`], and attach, replace and
/// detach adapters while others run texts: [`Runtime::run`] uses the adapters that were attached
/// when it was called.
///
/// ```
/// use espalier_encoder::{Lora, LoraConfig};
/// use espalier_runtime::{Answer, Request, Runtime};
///
/// # fn main() -> Result<(), espalier_runtime::RuntimeError> {
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let runtime = Runtime::open(path.as_ref())?;
/// let shape = LoraConfig::for_layers(runtime.backbone().encoder.layers());
/// let lora = Lora::random_init(&runtime.backbone().encoder.config, &shape, || 0.5);
/// runtime.attach_lora("vectors", &lora)?;
/// assert_eq!(runtime.names(), ["vectors"]);
///
/// let answers = runtime.run(&["to london", "a hotel"], &["vectors"])?;
/// assert!(answers.iter().all(|text| matches!(text.answers[..], [Answer::Vector(_)])));
/// runtime.detach("vectors")?;
/// assert!(runtime.run(&["to london"], &[Request::Adapter("vectors")]).is_err());
/// # Ok(())
/// # }
/// ```
///
/// A fork copies no threads: in a process that was forked after the thread pool had started,
/// functions that need it fail with
/// [`EncoderError::Forked`](espalier_encoder::EncoderError::Forked). Servers that fork open the
/// backbone in each child.
pub struct Runtime {
    backbone: TextEncoder,
    plain: Arc<Attached>,
    adapters: RwLock<ByName>,
}

/// The backbone and the names of the adapters, without their numbers.
impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("backbone", &self.backbone)
            .field("adapters", &self.names())
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Opens a backbone: a directory, to compute in f32, or a packed file, to compute in the
    /// precision in which it is stored.
    ///
    /// While a packed file is open, it must not be written to, only replaced by another file of its
    /// name. [`Runtime::new`] with [`AnyBackbone::open_copied`] has no such condition.
    ///
    /// # Errors
    /// [`RuntimeError::Encoder`] when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RuntimeError> {
        check_threads()?;
        Ok(Self::new(AnyBackbone::open(path)?))
    }

    /// Opens a backbone, a directory or a packed file, to compute in this precision.
    ///
    /// # Errors
    /// [`RuntimeError::Encoder`] when it cannot be opened, or is a packed file that is stored in a
    /// precision that cannot be multiplied in this one.
    pub fn open_with(path: &Path, compute: Compute) -> Result<Self, RuntimeError> {
        check_threads()?;
        Ok(Self::new(AnyBackbone::open(path)?.with_compute(compute)?))
    }

    /// A runtime on a backbone of any kind, in its precision.
    pub fn new(backbone: impl Into<TextEncoder>) -> Self {
        let backbone = backbone.into();
        // Packs the weights now and not in the first request. Without the thread pool this would
        // never finish, and every request will fail anyway.
        if check_threads().is_ok() {
            backbone.model(None);
        }
        let plain = Arc::new(Attached::plain(&backbone));
        Self { backbone, plain, adapters: RwLock::default() }
    }

    /// The backbone.
    pub fn backbone(&self) -> &TextEncoder {
        &self.backbone
    }

    /// Opens an adapter's directory and attaches the adapter as `name`.
    ///
    /// # Errors
    /// [`RuntimeError::Encoder`] when it cannot be opened or was trained on another backbone,
    /// [`RuntimeError::NameTaken`].
    pub fn attach(&self, name: &str, directory: &Path) -> Result<(), RuntimeError> {
        self.attach_adapter(name, Adapter::open(directory, &self.backbone)?)
    }

    /// Attaches an adapter in memory as `name`.
    ///
    /// # Errors
    /// [`RuntimeError::WrongBackbone`], [`RuntimeError::InvalidAdapter`],
    /// [`RuntimeError::NameTaken`].
    pub fn attach_adapter(&self, name: &str, adapter: Adapter) -> Result<(), RuntimeError> {
        check_threads()?;
        self.insert(name, Attached::new(name, adapter, &self.backbone)?)
    }

    /// Attaches low-rank updates alone as `name`. Their answers are text vectors.
    ///
    /// # Errors
    /// [`RuntimeError::InvalidAdapter`], [`RuntimeError::NameTaken`].
    pub fn attach_lora(&self, name: &str, lora: &Lora) -> Result<(), RuntimeError> {
        check_threads()?;
        self.insert(name, Attached::from_lora(name, lora, &self.backbone)?)
    }

    /// Opens an adapter's directory and replaces the adapter `name` by it.
    ///
    /// # Errors
    /// [`RuntimeError::Encoder`] when it cannot be opened or was trained on another backbone,
    /// [`RuntimeError::UnknownAdapter`] when there is none of that name. The old adapter then stays
    /// attached.
    pub fn replace(&self, name: &str, directory: &Path) -> Result<(), RuntimeError> {
        self.replace_adapter(name, Adapter::open(directory, &self.backbone)?)
    }

    /// Replaces the adapter `name` by an adapter in memory.
    ///
    /// # Errors
    /// [`RuntimeError::WrongBackbone`], [`RuntimeError::InvalidAdapter`], and
    /// [`RuntimeError::UnknownAdapter`] when there is none of that name. The old adapter then stays
    /// attached.
    pub fn replace_adapter(&self, name: &str, adapter: Adapter) -> Result<(), RuntimeError> {
        check_threads()?;
        let attached = Arc::new(Attached::new(name, adapter, &self.backbone)?);
        let mut adapters = self.write();
        match adapters.get_mut(name) {
            Some(place) => *place = attached,
            None => return Err(unknown(name, &adapters)),
        }
        Ok(())
    }

    /// Detaches the adapter `name`. Runs that have begun still use it.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownAdapter`].
    pub fn detach(&self, name: &str) -> Result<(), RuntimeError> {
        let mut adapters = self.write();
        adapters.remove(name).map(drop).ok_or_else(|| unknown(name, &adapters))
    }

    /// The names of the attached adapters, sorted.
    pub fn names(&self) -> Vec<String> {
        self.read().keys().cloned().collect()
    }

    /// The answers to all requests for each text. A request may also be an adapter's name.
    ///
    /// Texts and requests that occur several times are computed once. An answer does not depend, to
    /// the bit, on the other texts and requests.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownAdapter`] for a name that is not attached,
    /// [`RuntimeError::NotFinite`] for an answer that is not finite, [`RuntimeError::Encoder`] in a
    /// forked process.
    pub fn run<'r, R: Copy + Into<Request<'r>>>(
        &self,
        texts: &[impl AsRef<str>],
        requests: &[R],
    ) -> Result<Vec<TextAnswers>, RuntimeError> {
        check_threads()?;
        let (requests, request_of) = distinct(requests.iter().map(|&request| request.into()));
        let (texts, text_of) = distinct(texts.iter().map(AsRef::as_ref));
        let adapters = self.snapshot(&requests)?;
        // On a thread of the pool from here on: from outside, each matrix product would have to
        // enter the pool again.
        let found = match texts.iter().map(|text| text.len()).sum::<usize>() <= SHORT {
            true => with_spinning_threads(|| run(&self.backbone, &texts, &adapters)),
            false => rayon::scope(|_| run(&self.backbone, &texts, &adapters)),
        };
        let found = found.map_err(|NotFinite(request)| RuntimeError::NotFinite {
            name: match requests[request] {
                Request::Plain => "the backbone".into(),
                Request::Adapter(name) => name.into(),
            },
        })?;
        let of_text = |text: usize| {
            let TextAnswers { truncated, answers } = &found[text];
            TextAnswers {
                truncated: *truncated,
                answers: request_of.iter().map(|&r| answers[r].clone()).collect(),
            }
        };
        Ok(text_of.into_iter().map(of_text).collect())
    }

    /// The adapters of all requests, at one moment.
    fn snapshot(&self, requests: &[Request]) -> Result<Vec<Arc<Attached>>, RuntimeError> {
        let adapters = self.read();
        let found = requests.iter().map(|request| match request {
            Request::Plain => Ok(self.plain.clone()),
            Request::Adapter(name) => {
                adapters.get(*name).cloned().ok_or_else(|| unknown(name, &adapters))
            }
        });
        found.collect()
    }

    fn insert(&self, name: &str, attached: Attached) -> Result<(), RuntimeError> {
        match self.write().entry(name.to_string()) {
            Entry::Occupied(_) => Err(RuntimeError::NameTaken { name: name.to_string() }),
            Entry::Vacant(place) => {
                place.insert(Arc::new(attached));
                Ok(())
            }
        }
    }

    // The map is always consistent when the lock is released, so a poisoned lock does no harm.
    fn read(&self) -> RwLockReadGuard<'_, ByName> {
        self.adapters.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ByName> {
        self.adapters.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(name: &str, adapters: &ByName) -> RuntimeError {
    RuntimeError::UnknownAdapter { name: name.to_string(), attached: first_few(adapters.keys()) }
}
