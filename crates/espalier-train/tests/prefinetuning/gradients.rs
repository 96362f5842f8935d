//! One step of plain gradient descent moves each weight by its gradient, which can so be read off
//! and compared.

use crate::corpora::{Corpora, trained};
use espalier_encoder::{Activations, Backbone, Batch, Encoded, Family, Gradients, Pooling};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::tiny_bert;
use espalier_train::PrefinetuneConfig;
use espalier_train::config::AdapterConfig;
use espalier_train::objectives::concept::loss::{
    ConceptBatch, ConceptGradients, ConceptLoss, ConceptProjections,
};
use espalier_train::objectives::pairs::loss::InfoNce;
use espalier_train::optimizer::OptimizerKind;
use espalier_train::strategy::Strategy;
use serde_json::json;

/// Large, so that rounding the new weight hides nothing of the gradient; a power of two, so that
/// dividing by it is exact.
pub const RATE: f32 = 1024.0;

pub fn one_step(corpora: &Corpora, strategy: Strategy) -> PrefinetuneConfig {
    let mut config = corpora.config(strategy);
    config.train.steps = 1;
    config.train.optimizer = OptimizerKind::Sgd;
    (config.train.warmup, config.train.clip_norm, config.train.weight_decay) = (0.0, 0.0, 0.0);
    config.train.learning_rate = RATE;
    config.adapter = AdapterConfig::default();
    (config.adapter.group.learning_rate, config.adapter.group.weight_decay) = (RATE, 0.0);
    config
}

/// What a run subtracted from theta, over the learning rate: theta's gradient.
fn theta_gradient(config: &PrefinetuneConfig) -> Vec<f32> {
    let (before, after) = (tiny_bert(), trained(config).backbone);
    before
        .weights()
        .iter()
        .zip(after.weights())
        .map(|(before, after)| (before - after) / RATE)
        .collect()
}

/// Fails unless each tensor of `found` is within `relative` of `expected`, relative to that
/// tensor's largest value. The gradients of the keys' biases are zero in theory; single precision
/// leaves sums of terms below 1 that cancel to about 1e-8.
pub fn assert_gradients(found: &[f32], expected: &[f32], relative: f32) {
    for spec in &tiny_bert().encoder.layout.tensors {
        let (found, expected) = (&found[spec.range.clone()], &expected[spec.range.clone()]);
        let largest = expected.iter().fold(0f32, |max, value| max.max(value.abs()));
        let tolerance = if spec.name.ends_with("key.bias") { 1e-6 } else { relative * largest };
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!(
                (a - b).abs() <= tolerance,
                "{}[{i}] is {a} instead of {b} (+- {tolerance})",
                spec.name
            );
        }
    }
    assert!(expected.iter().any(|&gradient| gradient != 0.0), "nothing to compare");
}

/// The gradient of all weights by a loss on the token vectors [T, H], which returns its gradient
/// there.
pub fn backbone_gradient(
    backbone: &Backbone,
    texts: &[Encoded],
    loss: impl FnOnce(&[f32], &Batch) -> Vec<f32>,
) -> Vec<f32> {
    let (model, batch) = (backbone.model(None), Batch::from_texts(texts));
    let mut activations = Activations::default();
    model.forward(&batch, &mut activations);
    let mut d_hidden = loss(activations.output(), &batch);
    let mut weights = vec![0.0; backbone.weights().len()];
    let gradients = Gradients { weights: Some(&mut weights), embeddings: true, adapter: None };
    model.backward(&batch, &mut activations, &mut d_hidden, gradients);
    weights
}

/// The batch is the whole corpus, so the order that it is drawn in changes nothing but the last
/// digits. The first and the last pair have one anchor: their positives are no negatives of each
/// other.
#[test]
fn a_tc_step_descends_the_contrast_of_its_pairs() {
    let pairs = [
        ("cheap hotel", "a hotel near you"),
        ("play music", "open music"),
        ("cheap hotel", "not a good hotel"),
    ];
    let excluded = [false, false, true, false, false, false, true, false, false];
    let records = pairs.map(|(anchor, positive)| json!({"anchor": anchor, "positive": positive}));
    let corpora = Corpora::of(&[], &records);
    let mut config = one_step(&corpora, Strategy::TC);
    config.tc.weight = 0.5;

    let backbone = tiny_bert();
    let texts = pairs.iter().map(|pair| pair.0).chain(pairs.iter().map(|pair| pair.1));
    let texts: Vec<Encoded> = texts.map(|text| backbone.tokenizer.encode(text)).collect();
    let expected = backbone_gradient(&backbone, &texts, |hidden, batch| {
        let (mut pooled, mut d_hidden, width) = (Vec::new(), Vec::new(), backbone.encoder.width());
        Pooling::Mean.forward(hidden, batch, width, &mut pooled);
        let (anchors, positives) = pooled.split_at_mut(pairs.len() * width);
        InfoNce { temperature: 0.05 }.loss(width, anchors, positives, &excluded, 0.5);
        Pooling::Mean.backward(&pooled, batch, width, &mut d_hidden);
        d_hidden
    });
    assert_gradients(&theta_gradient(&config), &expected, 1e-4);
}

/// An anchor with two positives makes two pairs, which are no negatives of each other, and every
/// anchor is compared with the hard negative.
#[test]
fn a_tc_step_descends_the_contrast_with_further_positives_and_hard_negatives() {
    let records = [
        json!({"anchor": "cheap hotel", "positives": ["a hotel near you", "not a good hotel"], "negatives": ["the good film"]}),
        json!({"anchor": "play music", "positive": "open music"}),
    ];
    let corpora = Corpora::of(&[], &records);
    let backbone = tiny_bert();
    let distinct = [
        "cheap hotel",
        "play music",
        "a hotel near you",
        "not a good hotel",
        "open music",
        "the good film",
    ];
    let texts: Vec<Encoded> = distinct.iter().map(|text| backbone.tokenizer.encode(text)).collect();
    let (anchors, candidates) = ([0, 0, 1], [2, 3, 4, 5]);
    let excluded =
        [false, true, false, false, true, false, false, false, false, false, false, false];
    let expected = backbone_gradient(&backbone, &texts, |hidden, batch| {
        let (mut pooled, mut d_hidden, width) = (Vec::new(), Vec::new(), backbone.encoder.width());
        Pooling::Mean.forward(hidden, batch, width, &mut pooled);
        let rows = |picked: &[usize]| {
            picked.iter().flat_map(|&i| pooled[i * width..(i + 1) * width].to_vec()).collect()
        };
        let (mut a, mut c): (Vec<f32>, Vec<f32>) = (rows(&anchors), rows(&candidates));
        InfoNce { temperature: 0.05 }.loss(width, &mut a, &mut c, &excluded, 1.0);
        pooled.fill(0.0);
        for (row, &text) in
            a.chunks(width).chain(c.chunks(width)).zip(anchors.iter().chain(&candidates))
        {
            pooled[text * width..(text + 1) * width]
                .iter_mut()
                .zip(row)
                .for_each(|(sum, x)| *sum += x);
        }
        Pooling::Mean.backward(&pooled, batch, width, &mut d_hidden);
        d_hidden
    });
    assert_gradients(&theta_gradient(&one_step(&corpora, Strategy::TC)), &expected, 1e-4);
}

/// "smithville" is two tokens and "zoo" three: all tokens of a word count, special tokens do not.
/// "john" is in two spans.
#[test]
fn a_ner_step_descends_the_contrast_of_its_tokens() {
    type Span = (usize, usize, &'static str);
    let sentences: [(&[&str], &[Span]); 3] = [
        (
            &["john", "smithville", "in", "new", "york"],
            &[(0, 2, "person name"), (3, 5, "city"), (0, 1, "first name")],
        ),
        (&["the", "zoo", "in", "london"], &[(3, 4, "city")]),
        (&["not", "this"], &[]),
    ];
    let names = ["city", "first name", "person name"];
    let records = sentences.map(|(tokens, spans)| {
        let span = |&(start, end, name): &Span| json!({"start": start, "end": end, "type": name});
        json!({"tokens": tokens, "spans": spans.iter().map(span).collect::<Vec<_>>()})
    });
    let corpora = Corpora::of(&records, &[]);
    let mut config = one_step(&corpora, Strategy::NER);
    config.ner.weight = Some(2.0);

    let backbone = tiny_bert();
    let width = backbone.encoder.width();
    let texts: Vec<Encoded> =
        sentences.iter().map(|(words, _)| backbone.tokenizer.encode_words(words)).collect();
    let concepts: Vec<f32> = names
        .iter()
        .flat_map(|name| {
            let batch = Batch::new([backbone.tokenizer.encode(name).ids.as_slice()]);
            let mut vector = Vec::new();
            Pooling::Mean.forward(&backbone.model(None).encode(&batch), &batch, width, &mut vector);
            vector
        })
        .collect();
    let (mut row, mut tokens, mut targets) = (0, Vec::new(), Vec::new());
    for (text, (_, spans)) in texts.iter().zip(sentences) {
        for word in &text.word_ids {
            if let Some(word) = word.map(|word| word as usize) {
                tokens.push(row);
                let named = |name: &&str| {
                    spans.iter().any(|span| span.2 == *name && span.0 <= word && word < span.1)
                };
                targets.extend(names.iter().map(named));
            }
            row += 1;
        }
    }
    assert_eq!((row, tokens.len()), (20, 14));
    let expected = backbone_gradient(&backbone, &texts, |hidden, _| {
        let (mut d_hidden, mut d_projections) = (Vec::new(), vec![0.0; 2 * width * width]);
        let batch = ConceptBatch { tokens: &tokens, concepts: &concepts, targets: &targets };
        let projections = ConceptProjections::identity(width);
        let objective = ConceptLoss { scale: 10.0, bias: -4.0 };
        let gradients = ConceptGradients {
            hidden: &mut d_hidden,
            concepts: &mut Vec::new(),
            projections: &mut d_projections,
        };
        objective.loss(hidden, &batch, &projections, 2.0, gradients);
        d_hidden
    });
    assert_gradients(&theta_gradient(&config), &expected, 1e-4);
}

#[test]
fn joint_descends_the_weighted_sum_of_both() {
    let corpora = Corpora::easy();
    let ner = theta_gradient(&one_step(&corpora, Strategy::NER));
    let tc = theta_gradient(&one_step(&corpora, Strategy::TC));
    for (ner_weight, tc_weight) in [(1.0, 1.0), (0.5, 2.0), (0.0, 1.0)] {
        let mut joint = one_step(&corpora, Strategy::JOINT);
        (joint.ner.weight, joint.tc.weight) = (Some(ner_weight), tc_weight);
        let expected: Vec<f32> =
            ner.iter().zip(&tc).map(|(ner, tc)| ner_weight * ner + tc_weight * tc).collect();
        assert_gradients(&theta_gradient(&joint), &expected, 1e-5);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| a as f64 * b as f64).sum()
}

/// The two gradients at right angles or less apart: pcgrad is joint, up to the rounding of one
/// addition.
#[test]
fn pcgrad_is_joint_where_nothing_conflicts() {
    let corpora = Corpora::easy();
    let gradient = |strategy| theta_gradient(&one_step(&corpora, strategy));
    assert!(dot(&gradient(Strategy::NER), &gradient(Strategy::TC)) > 0.0);
    assert_gradients(&gradient(Strategy::PCGRAD), &gradient(Strategy::JOINT), 1e-5);
}

/// Projecting the families' gradients off each other, over all of theta at once, is not what a
/// summed loss gives.
#[test]
fn pcgrad_projects_conflicting_gradients_off_each_other() {
    let corpora = Corpora::long();
    let gradient = |strategy| theta_gradient(&one_step(&corpora, strategy));
    let (ner, tc) = (gradient(Strategy::NER), gradient(Strategy::TC));
    let (product, ner_ner, tc_tc) = (dot(&ner, &tc), dot(&ner, &ner), dot(&tc, &tc));
    let cosine = product / (ner_ner * tc_tc).sqrt();
    assert!(cosine < -0.1, "these corpora conflict: {cosine}");
    // Each off the other as it was before.
    let (off_tc, off_ner) = ((product / tc_tc) as f32, (product / ner_ner) as f32);
    let projected = |(&a, &b): (&f32, &f32)| (a - off_tc * b) + (b - off_ner * a);
    let expected: Vec<f32> = ner.iter().zip(&tc).map(projected).collect();
    let found = gradient(Strategy::PCGRAD);
    assert_gradients(&found, &expected, 1e-4);
    // The sum of the projections is at less than a right angle to both; joint's is not that long.
    assert!(dot(&found, &ner) > 0.0 && dot(&found, &tc) > 0.0);
    let joint = gradient(Strategy::JOINT);
    let apart: Vec<f32> = found.iter().zip(&joint).map(|(a, b)| a - b).collect();
    assert!(dot(&apart, &apart) > 1e-2 * dot(&joint, &joint), "pcgrad did what joint does");
}

/// Theta stays, and the adapters learn what they would learn beside a theta that moves.
#[test]
fn adapters_only_descends_tpls_gradients_on_the_adapters() {
    let corpora = Corpora::easy();
    let [tpl, alone] = [Strategy::TPL, Strategy::ADAPTERS_ONLY]
        .map(|strategy| trained(&one_step(&corpora, strategy)));
    for family in [Family::Ner, Family::Tc] {
        assert_eq!(
            bits(&alone.adapters[&family].values),
            bits(&tpl.adapters[&family].values),
            "{family:?}"
        );
    }
    assert_eq!(bits(alone.backbone.weights()), bits(tiny_bert().weights()));
}

/// B is zero at first, so a fresh adapter changes neither what the encoder computes nor the
/// gradients of its weights.
#[test]
fn in_the_first_step_theta_moves_under_tpl_as_under_joint() {
    let corpora = Corpora::easy();
    let [joint, tpl] =
        [Strategy::JOINT, Strategy::TPL].map(|strategy| trained(&one_step(&corpora, strategy)));
    assert_eq!(bits(tpl.backbone.weights()), bits(joint.backbone.weights()));
}

#[test]
fn no_gradient_reaches_the_other_familys_adapter() {
    let corpora = Corpora::easy();
    let with_tc_weight = |weight| {
        let mut config = one_step(&corpora, Strategy::TPL);
        config.tc.weight = weight;
        trained(&config).adapters
    };
    let (one, three) = (with_tc_weight(1.0), with_tc_weight(3.0));
    assert_eq!(bits(&three[&Family::Ner].values), bits(&one[&Family::Ner].values));
    // B was zero: now it is -RATE times its gradient, which is three times as large.
    for site in &one[&Family::Tc].sites {
        let (b, b3) =
            (&one[&Family::Tc].values[site.b.clone()], &three[&Family::Tc].values[site.b.clone()]);
        let largest = b.iter().fold(0f32, |max, value| max.max(value.abs()));
        assert!(largest > 0.0, "{:?}", site.spec);
        assert!(
            b.iter().zip(b3).all(|(b, b3)| (3.0 * b - b3).abs() <= 3e-5 * largest),
            "{:?}",
            site.spec
        );
    }
}

/// What a batch learns does not depend on how many of its texts are embedded at a time, apart from
/// the order of sums.
#[test]
fn chunks_give_the_gradient_of_the_whole_batch() {
    let corpora = Corpora::easy();
    let with_chunk = |chunk, strategy| {
        let mut config = one_step(&corpora, strategy);
        (config.tc.batch, config.tc.chunk) = (12, chunk);
        (theta_gradient(&config), crate::corpora::run(&config).unwrap())
    };
    let (whole, (direct, reports)) = with_chunk(0, Strategy::TPL);
    for chunk in [1, 5, 24] {
        let (chunked, (cached, cached_reports)) = with_chunk(chunk, Strategy::TPL);
        assert_gradients(&chunked, &whole, 1e-5);
        assert_eq!(cached_reports[0].losses, reports[0].losses, "the loss is the same to the bit");
        assert_eq!(cached_reports[0].tokens, reports[0].tokens);
        let (cached, direct) = (&cached.adapters[&Family::Tc], &direct.adapters[&Family::Tc]);
        for site in &direct.sites {
            let (b, expected) = (&cached.values[site.b.clone()], &direct.values[site.b.clone()]);
            let largest = expected.iter().fold(0f32, |max, value| max.max(value.abs()));
            assert!(
                b.iter().zip(expected).all(|(b, e)| (b - e).abs() <= 1e-5 * largest),
                "{:?}",
                site.spec
            );
        }
    }
}

#[test]
fn gradients_are_clipped_over_everything_trained() {
    let corpora = Corpora::easy();
    let mut config = one_step(&corpora, Strategy::JOINT);
    config.train.learning_rate = 1.0;
    config.ner.projection_group.learning_rate = 0.0; // part of the norm, but not of the update measured here
    config.train.clip_norm = 1e-3;
    let (result, reports) = crate::corpora::run(&config).unwrap();
    assert!(reports[0].gradient_norm > 0.1, "{:?}", reports[0]);
    let squares = |(before, after): (&f32, &f32)| ((after - before) as f64).powi(2);
    let moved = tiny_bert()
        .weights()
        .iter()
        .zip(result.backbone.weights())
        .map(squares)
        .sum::<f64>()
        .sqrt();
    assert!(moved > 0.5e-3 && moved <= 1.01e-3, "moved by {moved}");
}
