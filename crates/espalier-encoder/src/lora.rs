//! LoRA (arXiv 2106.09685) on some linear modules of some layers, with all factors in one flat
//! vector.

use crate::architecture::{Architecture, EncoderConfig, Module};
use espalier_kernels::lora::{LoraPair, LoraPairMut};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// The shape of a new LoRA.
///
/// ```
/// use espalier_encoder::{LoraConfig, Module};
///
/// let config = LoraConfig::for_layers(6).with_rank(4);
/// assert_eq!((config.layers, config.modules.len()), (2, Module::ALL.len()));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LoraConfig {
    /// k: the last k layers are adapted.
    pub layers: usize,
    /// The adapted modules of each of these layers.
    pub modules: Vec<Module>,
    /// r, the rank of the update.
    pub rank: usize,
    /// alpha: the update is scaled by alpha / r.
    pub alpha: f32,
}

impl LoraConfig {
    /// The default for an encoder of L layers: all modules of the last third (2 of 6, 4 of 12), r =
    /// 8, alpha = 16.
    pub fn for_layers(layers: usize) -> Self {
        Self { layers: (layers / 3).max(1), modules: Module::ALL.to_vec(), rank: 8, alpha: 16.0 }
    }

    /// On the last `layers` layers.
    pub fn with_layers(self, layers: usize) -> Self {
        Self { layers, ..self }
    }

    /// On these modules.
    pub fn with_modules(self, modules: impl Into<Vec<Module>>) -> Self {
        Self { modules: modules.into(), ..self }
    }

    /// Of this rank.
    pub fn with_rank(self, rank: usize) -> Self {
        Self { rank, ..self }
    }

    /// With updates scaled by alpha / r.
    pub fn with_alpha(self, alpha: f32) -> Self {
        Self { alpha, ..self }
    }
}

/// The shape of the LoRA of one module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SiteSpec {
    /// Layer, counted from 0.
    pub layer: usize,
    /// Module of that layer.
    pub module: Module,
    /// r.
    pub rank: usize,
    /// alpha.
    pub alpha: f32,
    /// Whether the scale is alpha / sqrt(r) (rsLoRA, arXiv 2312.03732) instead of alpha / r.
    pub rank_stabilized: bool,
}

impl SiteSpec {
    /// The factor of the update.
    pub fn scale(&self) -> f32 {
        let rank = self.rank as f32;
        self.alpha / if self.rank_stabilized { rank.sqrt() } else { rank }
    }
}

/// The LoRA of one module in the flat vector.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraSite {
    /// Its shape.
    pub spec: SiteSpec,
    /// A [r, in]. B follows it.
    pub a: Range<usize>,
    /// B [out, r].
    pub b: Range<usize>,
}

/// The low-rank updates of an adapter: where their factors are, and the values.
///
/// ```
/// use espalier_encoder::{Backbone, Lora, LoraConfig};
///
/// # fn main() -> Result<(), espalier_encoder::EncoderError> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let backbone = Backbone::open(path.as_ref())?;
/// let config = LoraConfig::for_layers(backbone.encoder.layers()); // the last of three
/// let mut random = 0.5f32;
/// let lora = Lora::random_init(&backbone.encoder.config, &config, || {
///     random = (random * 7.3).fract();
///     2.0 * random - 1.0
/// });
/// assert_eq!(lora.first_layer(), Some(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct Lora {
    /// The architecture that has these modules.
    pub architecture: Architecture,
    /// The adapted modules, by layer and module.
    pub sites: Vec<LoraSite>,
    /// All factors, one after the other.
    pub values: Vec<f32>,
    /// For each layer and each of [`Module::ALL`] the index in `sites`.
    index: Vec<[Option<usize>; 6]>,
}

/// Its shape, without the numbers.
impl fmt::Debug for Lora {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Lora")
            .field("architecture", &self.architecture)
            .field("modules", &self.sites.len())
            .field("parameters", &self.values.len())
            .finish_non_exhaustive()
    }
}

impl Lora {
    /// A LoRA of this shape, all zeros: its updates are zero.
    ///
    /// # Panics
    /// If a site names a layer that the encoder does not have or has rank zero.
    pub fn zeros(config: &EncoderConfig, mut specs: Vec<SiteSpec>) -> Self {
        specs.sort_by_key(|spec| (spec.layer, spec.module));
        let index = vec![[None; 6]; config.num_hidden_layers];
        let mut lora = Self {
            architecture: config.architecture,
            sites: Vec::new(),
            values: Vec::new(),
            index,
        };
        let mut next = 0;
        for spec in specs {
            let SiteSpec { layer, module, rank, .. } = spec;
            assert!(rank > 0, "LoRA rank of {module:?} in layer {layer} is zero");
            let (inputs, outputs) = module.shape(config);
            let a = next..next + rank * inputs;
            let b = a.end..a.end + outputs * rank;
            next = b.end;
            lora.index[layer][module as usize] = Some(lora.sites.len());
            lora.sites.push(LoraSite { spec, a, b });
        }
        lora.values = vec![0.0; next];
        lora
    }

    /// Random initialisation, as PEFT does it, on the last k layers: A is Kaiming uniform with a =
    /// sqrt 5, which is uniform in +-1/sqrt(in), and B is zero, so that the update is zero at
    /// first. `uniform` returns numbers from [-1, 1).
    ///
    /// # Panics
    /// If the rank is zero or there are fewer layers than the configuration says.
    pub fn random_init(
        config: &EncoderConfig,
        lora: &LoraConfig,
        mut uniform: impl FnMut() -> f32,
    ) -> Self {
        let first = config
            .num_hidden_layers
            .checked_sub(lora.layers)
            .expect("more adapted layers than layers");
        let mut modules = lora.modules.clone();
        modules.sort_unstable();
        modules.dedup();
        let specs = (first..config.num_hidden_layers).flat_map(|layer| {
            let (rank, alpha) = (lora.rank, lora.alpha);
            modules.iter().map(move |&module| SiteSpec {
                layer,
                module,
                rank,
                alpha,
                rank_stabilized: false,
            })
        });
        let mut adapter = Self::zeros(config, specs.collect());
        for site in &adapter.sites {
            let bound = 1.0 / (site.spec.module.shape(config).0 as f32).sqrt();
            adapter.values[site.a.clone()].fill_with(|| uniform() * bound);
        }
        adapter
    }

    /// The first layer that is adapted, if any is. The layers below it are the trunk.
    pub fn first_layer(&self) -> Option<usize> {
        self.sites.first().map(|site| site.spec.layer)
    }

    /// Number of layers in the trunk: those below the first that is adapted, or all of them.
    pub fn trunk_layers(&self) -> usize {
        self.first_layer().unwrap_or(self.index.len())
    }

    /// Whether it is for encoders of this architecture and shape.
    pub fn fits(&self, config: &EncoderConfig) -> bool {
        let fits = |LoraSite { spec, a, b }: &LoraSite| {
            let (inputs, outputs) = spec.module.shape(config);
            (a.len(), b.len()) == (spec.rank * inputs, outputs * spec.rank)
                && b.end <= self.values.len()
        };
        self.architecture == config.architecture
            && self.index.len() == config.num_hidden_layers
            && self.sites.iter().all(fits)
    }

    /// The factors of one module, if it is adapted.
    pub fn pair(&self, layer: usize, module: Module) -> Option<LoraPair<'_>> {
        self.index[layer][module as usize].map(|site| self.pair_at(site))
    }

    /// The factors of the site with this index.
    pub(crate) fn pair_at(&self, site: usize) -> LoraPair<'_> {
        let site = &self.sites[site];
        let (a, b) = (&self.values[site.a.clone()], &self.values[site.b.clone()]);
        LoraPair { a, b, rank: site.spec.rank, scale: site.spec.scale() }
    }

    /// For each layer and each of [`Module::ALL`] the index in `sites`.
    pub(crate) fn index(&self) -> &[[Option<usize>; 6]] {
        &self.index
    }

    /// Where the gradients of a module's factors are in `gradient`, which is laid out as
    /// [`Lora::values`].
    pub fn pair_mut<'g>(
        &self,
        layer: usize,
        module: Module,
        gradient: &'g mut [f32],
    ) -> Option<LoraPairMut<'g>> {
        let site = self.index[layer][module as usize].map(|site| &self.sites[site])?;
        let (a, b) = gradient[site.a.start..site.b.end].split_at_mut(site.a.len());
        Some(LoraPairMut { a, b })
    }
}
