//! The gradients of a training step, for each objective and strategy.

use crate::corpora::{Corpora, trained};
use crate::one_step::{assert_gradients, backbone_gradient, one_step, theta_gradient};
use espalier_encoder::{Batch, Encoded, Family, Pooling};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::tiny_bert;
use espalier_train::objectives::concept::loss::{
    ConceptBatch, ConceptGradients, ConceptLoss, ConceptProjections,
};
use espalier_train::objectives::pairs::loss::InfoNce;
use espalier_train::strategy::Strategy;
use serde_json::json;

/// The batch is the whole corpus, so that the order of its pairs affects only the rounding. The
/// first and the last pair have the same anchor: their positives are excluded as negatives.
#[test]
fn a_tc_step_has_the_gradient_of_the_pair_loss() {
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

/// An anchor with two positives makes two pairs, which are not negatives of each other. The hard
/// negative is a negative of every anchor.
#[test]
fn a_tc_step_has_the_gradient_with_several_positives_and_hard_negatives() {
    let records = [
        json!({
            "anchor": "cheap hotel",
            "positives": ["a hotel near you", "not a good hotel"],
            "negatives": ["the good film"],
        }),
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
        let rows = |indices: &[usize]| {
            indices.iter().flat_map(|&i| pooled[i * width..(i + 1) * width].to_vec()).collect()
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

/// "smithville" has two tokens and "zoo" three, which all take part in the loss; special tokens do
/// not. "john" is in two spans.
#[test]
fn a_ner_step_has_the_gradient_of_the_concept_loss() {
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
fn joint_has_the_weighted_sum_of_both_gradients() {
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

/// Theta is frozen, and the first step of the adapters is the same as with a theta that is trained.
#[test]
fn adapters_only_has_the_adapter_gradients_of_tpl() {
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

/// B is zero at first, so that a fresh adapter changes neither the hidden states nor the gradients
/// of the weights.
#[test]
fn the_first_step_of_theta_is_the_same_with_tpl_and_joint() {
    let corpora = Corpora::easy();
    let [joint, tpl] =
        [Strategy::JOINT, Strategy::TPL].map(|strategy| trained(&one_step(&corpora, strategy)));
    assert_eq!(bits(tpl.backbone.weights()), bits(joint.backbone.weights()));
}

#[test]
fn adapters_have_no_gradient_from_the_other_family() {
    let corpora = Corpora::easy();
    let with_tc_weight = |weight| {
        let mut config = one_step(&corpora, Strategy::TPL);
        config.tc.weight = weight;
        trained(&config).adapters
    };
    let (one, three) = (with_tc_weight(1.0), with_tc_weight(3.0));
    assert_eq!(bits(&three[&Family::Ner].values), bits(&one[&Family::Ner].values));
    // B was zero, so that it is now -RATE times its gradient, which is three times as large.
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

/// How many texts are embedded at a time affects only the order of sums.
#[test]
fn chunks_have_the_gradient_of_the_whole_batch() {
    let corpora = Corpora::easy();
    let with_chunk = |chunk, strategy| {
        let mut config = one_step(&corpora, strategy);
        (config.tc.batch, config.tc.chunk) = (12, chunk);
        (theta_gradient(&config), crate::corpora::run(&config).unwrap())
    };
    let (full, (direct, reports)) = with_chunk(0, Strategy::TPL);
    for chunk in [1, 5, 24] {
        let (chunked, (cached, cached_reports)) = with_chunk(chunk, Strategy::TPL);
        assert_gradients(&chunked, &full, 1e-5);
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
fn gradients_are_clipped_by_the_norm_of_all_parameters() {
    let corpora = Corpora::easy();
    let mut config = one_step(&corpora, Strategy::JOINT);
    config.train.learning_rate = 1.0;
    config.ner.projection_group.learning_rate = 0.0; // part of the norm, but not of theta's update
    config.train.clip_norm = 1e-3;
    let (result, reports) = crate::corpora::run(&config).unwrap();
    assert!(reports[0].gradient_norm > 0.1, "{:?}", reports[0]);
    let squares = |(before, after): (&f32, &f32)| ((after - before) as f64).powi(2);
    let update = tiny_bert()
        .weights()
        .iter()
        .zip(result.backbone.weights())
        .map(squares)
        .sum::<f64>()
        .sqrt();
    assert!(update > 0.5e-3 && update <= 1.01e-3, "an update of length {update}");
}
