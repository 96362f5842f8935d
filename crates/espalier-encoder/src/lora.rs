//! LoRA adapters on chosen linear modules of chosen layers, in one flat vector.

use crate::architecture::Architecture;
use crate::architecture::{EncoderConfig, Module};
use espalier_kernels::lora::{LoraPair, LoraPairMut};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The shape of a fresh adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// k: adapters go on the last k layers.
    pub layers: usize,
    /// The modules of each of these layers.
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
}

/// The shape of one module's pair.
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
    /// Factor of the update.
    pub fn scale(&self) -> f32 {
        let rank = self.rank as f32;
        self.alpha / if self.rank_stabilized { rank.sqrt() } else { rank }
    }
}

/// The adapter of one module.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraSite {
    /// Its shape.
    pub spec: SiteSpec,
    /// A [r, in] in the flat vector; B follows it.
    pub a: Range<usize>,
    /// B [out, r] in the flat vector.
    pub b: Range<usize>,
}

/// An adapter: where its factors lie, and their values.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// The architecture that has these modules.
    pub architecture: Architecture,
    /// The adapted modules, by layer and module.
    pub sites: Vec<LoraSite>,
    /// All factors, one after the other.
    pub values: Vec<f32>,
    /// For each layer and each of [`Module::ALL`] the index of its site.
    index: Vec<[Option<usize>; 6]>,
}

impl Lora {
    /// An adapter of this shape, all zeros: it changes nothing.
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

    /// A fresh adapter on the last k layers: A drawn by `uniform` from +-1/sqrt(in) (PEFT's
    /// Kaiming-uniform with a = sqrt 5), B zero, so that it changes nothing yet. `uniform` gives
    /// numbers from [-1, 1).
    ///
    /// # Panics
    /// If the configuration asks for rank zero or for more layers than there are.
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

    /// The first layer that carries an adapter; layers below it are the trunk. `None` when nothing
    /// is adapted.
    pub fn first_layer(&self) -> Option<usize> {
        self.sites.first().map(|site| site.spec.layer)
    }

    /// Number of layers in the trunk: those below the first that carries an adapter, or all when
    /// nothing is adapted.
    pub fn trunk_layers(&self) -> usize {
        self.first_layer().unwrap_or(self.index.len())
    }

    /// Whether it is an adapter for encoders of this architecture and shape.
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

    /// The pair at one module, if it is adapted.
    pub fn pair(&self, layer: usize, module: Module) -> Option<LoraPair<'_>> {
        self.index[layer][module as usize].map(|site| self.pair_at(site))
    }

    /// The pair of the site with this index.
    pub(crate) fn pair_at(&self, site: usize) -> LoraPair<'_> {
        let site = &self.sites[site];
        let (a, b) = (&self.values[site.a.clone()], &self.values[site.b.clone()]);
        LoraPair { a, b, rank: site.spec.rank, scale: site.spec.scale() }
    }

    /// For each layer and each of [`Module::ALL`] the index of its site.
    pub(crate) fn index(&self) -> &[[Option<usize>; 6]] {
        &self.index
    }

    /// The pair's place in a gradient vector laid out as [`Lora::values`].
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
