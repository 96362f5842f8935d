use crate::tasks::{config, names, opinions, sentences};
use espalier_data::Examples;
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{Adapter, Lora, LoraConfig, Module, Output};
use espalier_kernels::round_through_bf16;
use espalier_testing::adapters::random_lora;
use espalier_testing::compare::{bits, on_threads};
use espalier_testing::fixtures::tiny_bert;
use espalier_train::finetune::{FinetuneConfig, Predictions, predict};
use espalier_train::{Finetuner, TrainError};

/// An adapter trained on the tiny BERT, and the losses on the way.
fn trained(init: Option<&Lora>, task: &Examples, config: &FinetuneConfig) -> (Adapter, Vec<f64>) {
    let mut losses = Vec::new();
    let adapter = Finetuner::new(&tiny_bert())
        .init(init)
        .config(config.clone())
        .train(task, |step| losses.push(step.loss))
        .unwrap();
    (adapter, losses)
}

/// The share of examples whose label, or whose every tag, is predicted.
fn share_right(adapter: &Adapter, examples: &Examples) -> f64 {
    let right = match (predict(&tiny_bert(), adapter, examples).unwrap(), examples) {
        (Predictions::Labels(labels), Examples::Classification(texts)) => {
            labels.iter().zip(texts).filter(|(label, text)| **label == text.label).count()
        }
        (Predictions::Entities(found), Examples::Ner(texts)) => {
            found.iter().zip(texts).filter(|(found, text)| **found == text.entities).count()
        }
        (predictions, _) => panic!("predictions of the other kind: {predictions:?}"),
    };
    right as f64 / examples.len() as f64
}

#[test]
fn separable_tasks_are_learned() {
    for task in [opinions(), names()] {
        let (adapter, losses) = trained(None, &task, &config());
        assert_eq!(losses.len(), 120);
        assert!(losses[119] < 0.2 * losses[0], "from {} to {}", losses[0], losses[119]);
        let right = share_right(&adapter, &task);
        assert!(right > 0.95, "{right}");
    }
}

/// `@john/york.` is six words of the tokenizer, all of them outside: none may be taken for a city,
/// though some are cities elsewhere.
#[test]
fn words_in_runs_of_punctuation_are_learned_too() {
    let cities = ["london", "paris", "berlin", "york"];
    let runs = ["@john/york.", "@paris", "london-7/zoo", "the.berlin/river"];
    let sentence = |n: usize| vec!["we", "love", runs[n / 4], "in", cities[n % 4]];
    let task = sentences(&(0..16).map(sentence).collect::<Vec<_>>(), |word| {
        if cities.contains(&word) { "B-city" } else { "O" }
    });
    let (adapter, _) = trained(None, &task, &config());
    assert_eq!(share_right(&adapter, &task), 1.0);
}

#[test]
fn the_classes_are_those_of_the_training_examples() {
    let short = FinetuneConfig { steps: 1, ..config() };
    let tags = ["O", "B-city", "I-city", "B-person", "I-person"].map(String::from).to_vec();
    assert_eq!(trained(None, &names(), &short).0.card.output, Output::Tags { tags });
    let labels = ["kind", "unkind"].map(String::from).to_vec();
    assert_eq!(trained(None, &opinions(), &short).0.card.output, Output::Labels { labels });
}

#[test]
fn training_starts_from_the_adapter_given() {
    let backbone = tiny_bert();
    let mut init = random_lora(&backbone, 2, 7);
    round_through_bf16(&mut init.values);
    let still = FinetuneConfig { steps: 1, learning_rate: 0.0, ..config() };
    let ((from_init, init_losses), (fresh, fresh_losses)) =
        (trained(Some(&init), &opinions(), &still), trained(None, &opinions(), &still));
    assert_eq!(from_init.lora, init, "at a learning rate of zero an adapter stays what it was");
    assert_ne!(init_losses, fresh_losses);
    assert_eq!(
        (&from_init.card.training["started_from"], &fresh.card.training["started_from"]),
        (&"adapter".into(), &"fresh".into())
    );
    let (moved, _) = trained(Some(&init), &opinions(), &FinetuneConfig { steps: 3, ..config() });
    assert_eq!(moved.lora.sites, init.sites);
    assert_ne!(moved.lora.values, init.values);
}

#[test]
fn a_fresh_adapter_has_the_shape_asked_for() {
    let shape =
        LoraConfig::for_layers(6).with_modules([Module::Value]).with_rank(3).with_alpha(6.0);
    let (adapter, _) =
        trained(None, &opinions(), &FinetuneConfig { steps: 1, lora: Some(shape), ..config() });
    let specs: Vec<SiteSpec> = adapter.lora.sites.iter().map(|site| site.spec).collect();
    let spec = |layer| SiteSpec {
        layer,
        module: Module::Value,
        rank: 3,
        alpha: 6.0,
        rank_stabilized: false,
    };
    assert_eq!(specs, [spec(1), spec(2)]);
}

/// Adapting no layer leaves the head to be trained on the encoder as it is.
#[test]
fn a_head_alone_is_trained_too() {
    let shape = LoraConfig::for_layers(3).with_layers(0);
    let (adapter, losses) =
        trained(None, &opinions(), &FinetuneConfig { lora: Some(shape), ..config() });
    assert!(adapter.lora.values.is_empty());
    assert!(losses[119] < losses[0], "from {} to {}", losses[0], losses[119]);
    assert!(share_right(&adapter, &opinions()) > 0.5);
}

/// A pair of zeros in the first layer does nothing and receives no gradient, but it leaves no trunk
/// to cache.
#[test]
fn the_cached_trunk_changes_nothing() {
    let backbone = tiny_bert();
    let cached = random_lora(&backbone, 1, 7);
    let first =
        SiteSpec { layer: 0, module: Module::Query, rank: 1, alpha: 1.0, rank_stabilized: false };
    let specs = std::iter::once(first).chain(cached.sites.iter().map(|site| site.spec));
    let mut whole = Lora::zeros(&backbone.encoder.config, specs.collect());
    let zeros = whole.values.len() - cached.values.len();
    whole.values[zeros..].copy_from_slice(&cached.values);
    assert_eq!((cached.first_layer(), whole.first_layer()), (Some(2), Some(0)));

    for task in [opinions(), names()] {
        let short = FinetuneConfig { steps: 10, ..config() };
        let (from_cache, losses) = trained(Some(&cached), &task, &short);
        let (from_text, same_losses) = trained(Some(&whole), &task, &short);
        assert_eq!(losses, same_losses);
        assert_eq!(bits(&from_text.lora.values[zeros..]), bits(&from_cache.lora.values));
        assert_eq!(from_text.head, from_cache.head);
        assert_eq!(
            predict(&backbone, &from_text, &task).unwrap(),
            predict(&backbone, &from_cache, &task).unwrap()
        );
    }
}

fn fingerprint(adapter: &Adapter) -> [Vec<u32>; 2] {
    [bits(&adapter.lora.values), bits(&adapter.head.as_ref().unwrap().values)]
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    for task in [opinions(), names()] {
        let with_seed = |seed| {
            fingerprint(&trained(None, &task, &FinetuneConfig { steps: 8, seed, ..config() }).0)
        };
        let first = with_seed(1);
        assert!(with_seed(1) == first, "a second run differs");
        let other = with_seed(2);
        assert!(first[0] != other[0] && first[1] != other[1], "the seed changes nothing");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for task in [opinions(), names()] {
        let with_threads = |threads| {
            let config = FinetuneConfig { steps: 5, batch: 32, ..config() };
            fingerprint(&on_threads(threads, || trained(None, &task, &config).0))
        };
        let one = with_threads(1);
        assert!(with_threads(2) == one && with_threads(3) == one);
    }
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let absurd = FinetuneConfig { learning_rate: 1e30, warmup: 0.0, ..config() };
    let error =
        Finetuner::new(&tiny_bert()).config(absurd.clone()).train(&opinions(), |_| {}).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, TrainError::NotFinite { step: 2.., .. }), "{message}");
    assert!(message.contains("at step ") && message.contains("examples ["), "{message}");
}
