//! An adapter's pairs, packed.

use crate::architecture::Module;
use crate::lora::Lora;
use espalier_kernels::Precision;
use espalier_kernels::lora::PackedPair;

/// A [`Lora`] in the form in which products read it. It no longer follows the values it was packed
/// from.
#[derive(Clone, Debug)]
pub struct PackedLora {
    precision: Precision,
    pairs: Vec<PackedPair>,
    /// For each layer and each of [`Module::ALL`] the index of its pair.
    index: Vec<[Option<usize>; 6]>,
}

impl PackedLora {
    /// Packs an adapter for a model whose products are computed in `precision`.
    pub fn new(precision: Precision, lora: &Lora) -> Self {
        let pairs = (0..lora.sites.len())
            .map(|site| PackedPair::new(precision, lora.pair_at(site)))
            .collect();
        Self { precision, pairs, index: lora.index().to_vec() }
    }

    /// Packs `lora` into `packed`: into the same memory when it has the same shape, as it has from
    /// step to step of a training.
    pub fn pack_into(packed: &mut Option<Self>, precision: Precision, lora: &Lora) {
        match packed {
            Some(packed) if packed.precision == precision && packed.fits(lora) => {
                for (site, pair) in packed.pairs.iter_mut().enumerate() {
                    pair.pack(lora.pair_at(site));
                }
            }
            _ => *packed = Some(Self::new(precision, lora)),
        }
    }

    fn fits(&self, lora: &Lora) -> bool {
        let ranks = lora.sites.iter().map(|site| site.spec.rank);
        self.index == lora.index() && self.pairs.iter().map(PackedPair::rank).eq(ranks)
    }

    /// The pair at one module, if it is adapted.
    pub fn pair(&self, layer: usize, module: Module) -> Option<&PackedPair> {
        self.index[layer][module as usize].map(|site| &self.pairs[site])
    }

    /// Number of layers below the first that carries a pair, or all when there is none.
    pub fn trunk_layers(&self) -> usize {
        self.index
            .iter()
            .position(|sites| sites.iter().any(Option::is_some))
            .unwrap_or(self.index.len())
    }
}
