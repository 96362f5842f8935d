//! Fine-tuning against a simple reference implementation, which runs all layers in every step.

use crate::tasks::{TAGS, sentences};
use espalier_data::sampling::generator;
use espalier_encoder::{Activations, Batch, Gradients, Head, Lora};
use espalier_kernels::loss::cross_entropy;
use espalier_kernels::round_through_bf16;
use espalier_testing::adapters::random_lora;
use espalier_testing::compare::bits;
use espalier_testing::fixtures::tiny_bert;
use espalier_train::Finetuner;
use espalier_train::finetune::FinetuneConfig;
use espalier_train::initialization::uniform;
use espalier_train::optimizer::{Optimizer, OptimizerConfig, ParameterGroup, Parameters};

/// Trains for 8 steps on the same batch, by AdamW with weight decay 0.1, a warm-up of 2 steps and
/// clipping to the norm 0.5. Returns the losses too.
fn reference(
    mut lora: Lora,
    mut head: Head,
    batch: &Batch,
    targets: &[Option<u32>],
) -> (Lora, Head, Vec<f64>) {
    let backbone = tiny_bert();
    let group = |length, rate| ParameterGroup::new(length, rate, vec![(0..length, 0.1)]);
    let (mut lora_group, mut head_group) =
        (group(lora.values.len(), 1e-2), group(head.values.len(), 2e-2));
    let mut optimizer = OptimizerConfig::new(8);
    (optimizer.warmup, optimizer.clip_norm) = (2, 0.5);
    let mut optimizer = Optimizer::new(optimizer);
    let mut losses = Vec::new();
    for _ in 0..8 {
        let (mut activations, mut scores, mut d_hidden) =
            (Activations::default(), Vec::new(), Vec::new());
        let model = backbone.trainable_model(Some(&lora)).unwrap();
        model.forward(batch, &mut activations);
        let hidden = activations.output().to_vec(); // [T, H]
        head.forward(&hidden, &mut scores); // [T, C]
        losses.push(cross_entropy(&mut scores, targets, head.classes));
        head.backward(&hidden, &scores, &mut head_group.gradients, &mut d_hidden);
        let gradients =
            Gradients { adapter: Some(&mut lora_group.gradients), ..Gradients::default() };
        model.backward(batch, &mut activations, &mut d_hidden, gradients);
        optimizer
            .step(&mut [
                Parameters::new("adapter", &mut lora.values, &mut lora_group),
                Parameters::new("head", &mut head.values, &mut head_group),
            ])
            .unwrap();
    }
    (lora, head, losses)
}

/// The task is one sentence, so that all batches are the same. "smithville" is one word of two
/// tokens, "smith" and "##ville"; the second has no target.
#[test]
fn fine_tuning_matches_the_reference() {
    let backbone = tiny_bert();
    let words = ["we", "love", "smithville", "the", "new", "york"];
    let tags = |word: &str| match word {
        "smithville" | "new" => TAGS[1],
        "york" => TAGS[2],
        _ => TAGS[0],
    };
    let task = sentences(&[words.to_vec()], tags);
    let mut config = FinetuneConfig::default();
    (config.steps, config.warmup, config.clip_norm) = (8, 0.25, 0.5);
    (config.learning_rate, config.head_learning_rate, config.weight_decay) = (1e-2, 2e-2, 0.1);
    let init = random_lora(&backbone, 2, 7);
    let mut rng = generator(config.seed, "head");
    let head = Head::random_init(backbone.encoder.width(), TAGS.len(), uniform(&mut rng));

    let text = backbone.tokenizer.encode_words(&words);
    let first_tokens = text.first_tokens(words.len());
    assert_eq!(
        (text.ids.len(), first_tokens[3]),
        (9, Some(5)),
        "[CLS], six words of which one has two tokens, [SEP]"
    );
    let mut targets = vec![None; text.ids.len()];
    for (word, token) in words.iter().zip(first_tokens) {
        targets[token.unwrap()] =
            TAGS.iter().position(|tag| *tag == tags(word)).map(|class| class as u32);
    }
    let (mut lora, mut head, losses) =
        reference(init.clone(), head, &Batch::new([text.ids.as_slice()]), &targets);

    let mut found = Vec::new();
    let adapter = Finetuner::new(&backbone)
        .init(Some(&init))
        .config(config.clone())
        .train(&task, |step| found.push(step.loss))
        .unwrap();
    assert_eq!(found, losses);
    round_through_bf16(&mut lora.values);
    round_through_bf16(&mut head.values);
    assert_eq!(bits(&adapter.lora.values), bits(&lora.values));
    assert_eq!(bits(&adapter.head.unwrap().values), bits(&head.values));
}
