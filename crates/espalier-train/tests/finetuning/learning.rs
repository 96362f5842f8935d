//! What is learned, from which initial adapter, and that results are reproducible.

use crate::tasks::{
    accuracy, adapter_bits, config, config_of_steps, names, opinions, sentences, trained,
    with_zeros_in_first_layer,
};
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{LoraConfig, Module, Output};
use espalier_kernels::round_through_bf16;
use espalier_testing::adapters::random_lora;
use espalier_testing::compare::{bits, on_threads};
use espalier_testing::fixtures::tiny_bert;
use espalier_train::finetune::predict;
use espalier_train::{Finetuner, TrainError};

#[test]
fn separable_tasks_are_learned() {
    let backbone = tiny_bert();
    for task in [opinions(), names()] {
        let (adapter, losses) = trained(&backbone, None, &task, &config());
        assert_eq!(losses.len(), 120);
        assert!(losses[119] < 0.2 * losses[0], "from {} to {}", losses[0], losses[119]);
        let accuracy = accuracy(&backbone, &adapter, &task);
        assert!(accuracy > 0.95, "{accuracy}");
    }
}

/// `@john/york.` is six words for the tokenizer, all outside of entities. None of them must be
/// predicted as a city, although some are cities in other texts.
#[test]
fn words_in_compounds_are_learned() {
    let cities = ["london", "paris", "berlin", "york"];
    let compounds = ["@john/york.", "@paris", "london-7/zoo", "the.berlin/river"];
    let sentence = |n: usize| vec!["we", "love", compounds[n / 4], "in", cities[n % 4]];
    let task = sentences(&(0..16).map(sentence).collect::<Vec<_>>(), |word| {
        if cities.contains(&word) { "B-city" } else { "O" }
    });
    let (adapter, _) = trained(&tiny_bert(), None, &task, &config());
    assert_eq!(accuracy(&tiny_bert(), &adapter, &task), 1.0);
}

#[test]
fn the_classes_are_those_of_the_training_examples() {
    let (backbone, short) = (tiny_bert(), config_of_steps(1));
    let tags = ["O", "B-city", "I-city", "B-person", "I-person"].map(String::from).to_vec();
    assert_eq!(trained(&backbone, None, &names(), &short).0.card.output, Output::Tags { tags });
    let labels = ["kind", "unkind"].map(String::from).to_vec();
    let (labeller, _) = trained(&backbone, None, &opinions(), &short);
    assert_eq!(labeller.card.output, Output::Labels { labels });
}

#[test]
fn training_starts_from_the_initial_adapter() {
    let backbone = tiny_bert();
    let mut init = random_lora(&backbone, 2, 7);
    round_through_bf16(&mut init.values);
    let mut frozen = config_of_steps(1);
    frozen.learning_rate = 0.0;
    let (from_init, init_losses) = trained(&backbone, Some(&init), &opinions(), &frozen);
    let (fresh, fresh_losses) = trained(&backbone, None, &opinions(), &frozen);
    assert_eq!(from_init.lora, init, "with learning rate zero the adapter does not change");
    assert_ne!(init_losses, fresh_losses);
    assert_eq!(
        (&from_init.card.training["started_from"], &fresh.card.training["started_from"]),
        (&"adapter".into(), &"fresh".into())
    );
    let (trained, _) = trained(&backbone, Some(&init), &opinions(), &config_of_steps(3));
    assert_eq!(trained.lora.sites, init.sites);
    assert_ne!(trained.lora.values, init.values);
}

#[test]
fn a_fresh_adapter_has_the_configured_shape() {
    let mut config = config_of_steps(1);
    config.lora =
        Some(LoraConfig::for_layers(6).with_modules([Module::Value]).with_rank(3).with_alpha(6.0));
    let (adapter, _) = trained(&tiny_bert(), None, &opinions(), &config);
    let specs: Vec<SiteSpec> = adapter.lora.sites.iter().map(|site| site.spec).collect();
    let module = Module::Value;
    let spec = |layer| SiteSpec { layer, module, rank: 3, alpha: 6.0, rank_stabilized: false };
    assert_eq!(specs, [spec(1), spec(2)]);
}

/// Without adapted layers the head is trained on the frozen encoder.
#[test]
fn a_head_can_be_trained_alone() {
    let mut config = config();
    config.lora = Some(LoraConfig::for_layers(3).with_layers(0));
    let (adapter, losses) = trained(&tiny_bert(), None, &opinions(), &config);
    assert!(adapter.lora.values.is_empty());
    assert!(losses[119] < losses[0], "from {} to {}", losses[0], losses[119]);
    assert!(accuracy(&tiny_bert(), &adapter, &opinions()) > 0.5);
}

#[test]
fn caching_the_trunk_changes_nothing() {
    let backbone = tiny_bert();
    let cached = random_lora(&backbone, 1, 7);
    let (uncached, zeros) = with_zeros_in_first_layer(&backbone.encoder.config, &cached);
    assert_eq!((cached.first_layer(), uncached.first_layer()), (Some(2), Some(0)));

    for task in [opinions(), names()] {
        let config = config_of_steps(10);
        let (from_cache, losses) = trained(&backbone, Some(&cached), &task, &config);
        let (from_text, same_losses) = trained(&backbone, Some(&uncached), &task, &config);
        assert_eq!(losses, same_losses);
        assert_eq!(bits(&from_text.lora.values[zeros..]), bits(&from_cache.lora.values));
        assert_eq!(from_text.head, from_cache.head);
        assert_eq!(
            predict(&backbone, &from_text, &task).unwrap(),
            predict(&backbone, &from_cache, &task).unwrap()
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    for task in [opinions(), names()] {
        let with_seed = |seed| {
            let mut config = config_of_steps(8);
            config.seed = seed;
            adapter_bits(&trained(&tiny_bert(), None, &task, &config).0)
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
            let mut config = config_of_steps(5);
            config.batch = 32;
            let train = || trained(&tiny_bert(), None, &task, &config).0;
            adapter_bits(&on_threads(threads, train))
        };
        let one = with_threads(1);
        assert!(with_threads(2) == one && with_threads(3) == one);
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run() {
    let mut config = config();
    (config.learning_rate, config.warmup) = (1e30, 0.0);
    let error = Finetuner::new(&tiny_bert()).config(config).train(&opinions(), |_| {}).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, TrainError::NotFinite { step: 2.., .. }), "{message}");
    assert!(message.contains("at step ") && message.contains("examples ["), "{message}");
}
