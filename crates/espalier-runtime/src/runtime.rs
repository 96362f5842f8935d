use crate::answer::TextAnswers;
use crate::attached::Attached;
use crate::awake::awake;
use crate::error::RuntimeError;
use crate::request::Request;
use crate::run::{NotFinite, distinct, run};
use espalier_encoder::text::first_few;
use espalier_encoder::{Adapter, AnyBackbone, Compute, Lora, TextEncoder, check_threads};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes of text up to which a run is short: over in a few milliseconds, of which waking threads
/// would be a large part.
const SHORT: usize = 512;

type ByName = BTreeMap<String, Arc<Attached>>;

/// A backbone with the adapters attached to it.
///
/// Any number of threads may share one, by reference or in an [`Arc`], and attach, replace and
/// detach adapters while others run: a [`Runtime::run`] goes to its end with the adapters that were
/// attached when it began.
///
/// A fork copies no threads: in a process that was forked after the threads of the pool had
/// started, what needs them is refused
/// ([`EncoderError::Forked`](espalier_encoder::EncoderError::Forked)). Servers that fork open the
/// backbone in each child.
#[derive(Debug)]
pub struct Runtime {
    backbone: TextEncoder,
    plain: Arc<Attached>,
    adapters: RwLock<ByName>,
}

impl Runtime {
    /// Opens a backbone: a directory, to compute in f32, or a packed file, to compute in what it
    /// stores.
    ///
    /// A packed file must not be written to while it is open, only replaced by another of its name.
    /// To copy it instead, take [`Runtime::new`] of [`AnyBackbone::open_copied`].
    ///
    /// # Errors
    /// [`RuntimeError::Encoder`] when it cannot be read.
    pub fn open(path: &Path) -> Result<Self, RuntimeError> {
        check_threads()?;
        Ok(Self::new(AnyBackbone::open(path)?))
    }

    /// Opens a backbone, a directory or a packed file, to compute as `compute` says.
    ///
    /// # Errors
    /// [`RuntimeError::Encoder`] when it cannot be read, or is a packed file that cannot be
    /// computed with in this way.
    pub fn open_with(path: &Path, compute: Compute) -> Result<Self, RuntimeError> {
        check_threads()?;
        Ok(Self::new(AnyBackbone::open(path)?.with_compute(compute)?))
    }

    /// A runtime on a backbone of any kind, in the precision that the backbone computes in.
    pub fn new(backbone: impl Into<TextEncoder>) -> Self {
        let backbone = backbone.into();
        // The weights are packed when a model is first asked for, which is better now than in the
        // first request. Without threads it would never end, and is left out, as every request will
        // be refused.
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

    /// Reads an adapter directory and makes it available as `name`.
    ///
    /// # Errors
    /// [`RuntimeError::Encoder`] when it cannot be read or belongs to another backbone,
    /// [`RuntimeError::NameTaken`].
    pub fn attach(&self, name: &str, directory: &Path) -> Result<(), RuntimeError> {
        self.attach_adapter(name, Adapter::open(directory, &self.backbone)?)
    }

    /// Makes an adapter in memory available as `name`.
    ///
    /// # Errors
    /// [`RuntimeError::WrongBackbone`], [`RuntimeError::InvalidAdapter`],
    /// [`RuntimeError::NameTaken`].
    pub fn attach_adapter(&self, name: &str, adapter: Adapter) -> Result<(), RuntimeError> {
        check_threads()?;
        self.insert(name, Attached::new(name, adapter, &self.backbone)?)
    }

    /// Makes low-rank updates alone available as `name`. They answer with text vectors.
    ///
    /// # Errors
    /// [`RuntimeError::InvalidAdapter`], [`RuntimeError::NameTaken`].
    pub fn attach_lora(&self, name: &str, lora: &Lora) -> Result<(), RuntimeError> {
        check_threads()?;
        self.insert(name, Attached::of_lora(name, lora, &self.backbone)?)
    }

    /// Reads an adapter directory and puts it in the place of the adapter `name`.
    ///
    /// # Errors
    /// [`RuntimeError::Encoder`] when it cannot be read or belongs to another backbone,
    /// [`RuntimeError::UnknownAdapter`] when there is none of that name. The adapter that was there
    /// is then still attached.
    pub fn replace(&self, name: &str, directory: &Path) -> Result<(), RuntimeError> {
        self.replace_adapter(name, Adapter::open(directory, &self.backbone)?)
    }

    /// Puts an adapter in memory in the place of the adapter `name`.
    ///
    /// # Errors
    /// [`RuntimeError::WrongBackbone`], [`RuntimeError::InvalidAdapter`], and
    /// [`RuntimeError::UnknownAdapter`] when there is none of that name. The adapter that was there
    /// is then still attached.
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

    /// Forgets the adapter `name`. Runs that have begun still answer with it.
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

    /// The answers to all requests on each text; a request may be given as an adapter's name.
    ///
    /// Layers below an adapter's first are run once per distinct text for all adapters that share
    /// them, and the rows of all adapters go through the layers above together. An answer is, to
    /// the bit, the same as alone.
    ///
    /// # Errors
    /// [`RuntimeError::NotFinite`]; [`RuntimeError::UnknownAdapter`] for a name that is not
    /// attached, [`RuntimeError::Encoder`] in a forked process.
    pub fn run<'r, R: Copy + Into<Request<'r>>>(
        &self,
        texts: &[impl AsRef<str>],
        requests: &[R],
    ) -> Result<Vec<TextAnswers>, RuntimeError> {
        check_threads()?;
        let (requests, request_of) = distinct(requests.iter().map(|&request| request.into()));
        let (texts, text_of) = distinct(texts.iter().map(AsRef::as_ref));
        let adapters = self.snapshot(&requests)?;
        // Within the pool's own threads from here on: from outside, each product would have to
        // enter it anew.
        let found = match texts.iter().map(|text| text.len()).sum::<usize>() <= SHORT {
            true => awake(|| run(&self.backbone, &texts, &adapters)),
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

    /// What requests ask for, all as of one moment.
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

    // Nothing is ever left half done under the lock, so that a panic elsewhere in a thread that
    // held it does no harm.
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
