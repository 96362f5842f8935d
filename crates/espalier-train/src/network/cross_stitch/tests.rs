use super::*;
use crate::initialization::uniform;
use espalier_data::sampling::generator;
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{Backbone, Gradients, Lora, Module, Precision, TrainableModel};
use std::path::Path;

/// Two different encoders, stitches that differ from layer to layer, an adapter on the last two
/// layers of the family's own encoder, and a loss: the inner product of the hidden states with
/// noise.
#[derive(Clone)]
struct Setup {
    encoders: [Backbone; 2],
    stitches: Stitches,
    lora: Lora,
    batch: Batch,
    noise: Vec<f32>,
}

fn noise(seed: &str, length: usize, size: f32) -> Vec<f32> {
    let mut rng = generator(0, seed);
    let mut uniform = uniform(&mut rng);
    (0..length).map(|_| size * uniform()).collect()
}

/// a + b.
fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

impl Setup {
    fn new() -> Self {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
        let first = Backbone::open(&tiny).expect("fixtures/tiny-bert is a complete model");
        let config = first.encoder.config.clone();
        let second =
            first.with_weights(sum(first.weights(), &noise("column", first.weights().len(), 0.05)));
        let spec =
            |layer, module| SiteSpec { layer, module, rank: 2, alpha: 2.0, rank_stabilized: false };
        let sites =
            [1, 2].map(|layer| [spec(layer, Module::Query), spec(layer, Module::Output)]).concat();
        let mut lora = Lora::zeros(&config, sites);
        lora.values = noise("adapter", lora.values.len(), 0.3);
        let mut stitches = Stitches::new(config.num_hidden_layers, 0.8, 0.3);
        stitches.values = sum(&stitches.values, &noise("stitches", stitches.values.len(), 0.1));
        let texts = ["the hotel near the river", "john was in london"]
            .map(|text| first.tokenizer.encode(text));
        let batch = Batch::from_texts(&texts);
        let noise = noise("loss", batch.tokens() * config.hidden_size, 1.0);
        Self { encoders: [first, second], stitches, lora, batch, noise }
    }

    fn with_precision(mut self, precision: Precision) -> Self {
        self.encoders = self.encoders.map(|encoder| encoder.with_precision(precision));
        self
    }

    fn network(&self, family: Family) -> CrossStitched<'_, TrainableModel<'_>> {
        let [own, other] = &self.encoders;
        CrossStitched {
            encoders: [
                own.trainable_model(Some(&self.lora)).unwrap(),
                other.trainable_model(None).unwrap(),
            ],
            stitches: &self.stitches,
            family,
        }
    }

    fn layers(&self) -> usize {
        self.encoders[0].encoder.layers()
    }

    fn loss(&self, family: Family) -> f64 {
        let [own, _] = self.network(family).encode(0..self.layers(), None, &self.batch);
        own.iter().zip(&self.noise).map(|(&x, &y)| x as f64 * y as f64).sum()
    }

    /// The gradients of both encoders, the stitches and the adapter.
    fn gradients(&self, family: Family) -> ([Vec<f32>; 2], Vec<f32>, Vec<f32>) {
        let mut weights =
            self.encoders.each_ref().map(|encoder| vec![0.0; encoder.weights().len()]);
        let (mut stitches, mut lora) =
            (vec![0.0; self.stitches.values.len()], vec![0.0; self.lora.values.len()]);
        let (network, mut activations) =
            (self.network(family), CrossStitchedActivations::default());
        network.forward(0..self.layers(), None, &self.batch, &mut activations);
        let [own, other] = &mut weights;
        let gradients = NetworkGradients {
            own: Gradients { weights: Some(own), embeddings: true, adapter: Some(&mut lora) },
            other: Gradients { weights: Some(other), embeddings: true, adapter: None },
            stitches: Some(&mut stitches),
        };
        network.backward(0..self.layers(), &self.batch, &mut activations, &self.noise, gradients);
        (weights, stitches, lora)
    }

    /// Compares a gradient with central differences: in its direction, the slope of the loss must
    /// be the length of the gradient. `moved` returns the setup with a difference, of length
    /// `longest` or less, added to the parameters.
    fn check(
        &self,
        what: &str,
        family: Family,
        gradient: &[f32],
        longest: f64,
        moved: impl Fn(&[f32]) -> Setup,
    ) {
        let length = gradient.iter().map(|&g| g as f64 * g as f64).sum::<f64>().sqrt();
        // Gradients that are zero in theory, such as that of a key's bias, consist of rounding
        // errors.
        if length < 1e-4 {
            return;
        }
        // The loss changes by 0.02, so that rounding errors of about 1e-6 are negligible, unless
        // that is too far for the loss to be nearly linear.
        let step = (0.01 / length).min(longest);
        let towards = |sign: f64| {
            let delta: Vec<f32> =
                gradient.iter().map(|&g| (sign * step * g as f64 / length) as f32).collect();
            moved(&delta).loss(family)
        };
        let slope = (towards(1.0) - towards(-1.0)) / (2.0 * step);
        let tolerance = 5e-3 * length + 1e-6 / step;
        assert!(
            (slope - length).abs() < tolerance,
            "{what}, {family:?}: slope {slope}, gradient {length}"
        );
    }
}

#[test]
fn gradients_match_finite_differences() {
    let setup = Setup::new();
    for family in [Family::Ner, Family::Tc] {
        let (weights, stitches, lora) = setup.gradients(family);
        for (encoder, all) in weights.iter().enumerate() {
            assert!(
                all.iter().filter(|&&g| g != 0.0).count() > all.len() / 4,
                "an encoder without gradients"
            );
            for spec in &setup.encoders[0].encoder.layout.tensors {
                let what = format!("encoder {encoder}, {}", spec.name);
                setup.check(&what, family, &all[spec.range.clone()], 1.0, |delta| {
                    let mut moved = setup.clone();
                    let mut weights = setup.encoders[encoder].weights().to_vec();
                    weights[spec.range.clone()]
                        .iter_mut()
                        .zip(delta)
                        .for_each(|(w, delta)| *w += delta);
                    moved.encoders[encoder] = setup.encoders[encoder].with_weights(weights);
                    moved
                });
            }
        }
        for index in 0..stitches.len() {
            let mut alone = vec![0.0; stitches.len()];
            alone[index] = stitches[index];
            // After the last layer, the mixture for the other encoder is not used.
            let unused =
                index / 4 == setup.layers() - 1 && (index % 4 < 2) == (family == Family::Tc);
            assert_eq!(stitches[index] == 0.0, unused, "{family:?}: {stitches:?}");
            // Small steps, because a stitch changes all hidden states at once.
            setup.check(&format!("stitch {index}"), family, &alone, 5e-3, |delta| {
                let mut moved = setup.clone();
                moved.stitches.values = sum(&setup.stitches.values, delta);
                moved
            });
        }
        for site in &setup.lora.sites {
            for factor in [site.a.clone(), site.b.clone()] {
                let mut alone = vec![0.0; lora.len()];
                alone[factor.clone()].copy_from_slice(&lora[factor]);
                setup.check(&format!("{:?}", site.spec), family, &alone, 1.0, |delta| {
                    let mut moved = setup.clone();
                    moved.lora.values = sum(&setup.lora.values, delta);
                    moved
                });
            }
        }
    }
}

/// Fine-tuning runs the trunk of both encoders once, and starts every pass from its output.
#[test]
fn adapter_gradients_are_the_same_from_the_trunk_and_from_the_text() {
    for precision in [Precision::F32, Precision::Bf16] {
        let setup = Setup::new().with_precision(precision);
        let (network, layers) = (setup.network(Family::Ner), 1..setup.layers());
        let trunk = network.concatenate(network.encode(0..1, None, &setup.batch));
        let (mut activations, mut lora) =
            (CrossStitchedActivations::default(), vec![0.0; setup.lora.values.len()]);
        network.forward(layers.clone(), Some(&trunk), &setup.batch, &mut activations);
        let own = Gradients { adapter: Some(&mut lora), ..Gradients::default() };
        let gradients = NetworkGradients { own, ..NetworkGradients::default() };
        network.backward(layers.clone(), &setup.batch, &mut activations, &setup.noise, gradients);
        assert_eq!(lora, setup.gradients(Family::Ner).2, "{precision:?}");
        let [own, _] = network.encode(layers, Some(&trunk), &setup.batch);
        assert_eq!(own, activations.output(), "{precision:?}");
        let [from_text, _] = network.encode(0..setup.layers(), None, &setup.batch);
        assert_eq!(own, from_text, "{precision:?}");
    }
}
