//! Invalid settings, corpora and tokenizers.

use crate::texts::Texts;
use espalier_encoder::Backbone;
use espalier_testing::fixtures::{copy_of, fixture, tiny_bert};
use espalier_train::config::ScratchConfig;
use espalier_train::prefinetune;
use espalier_train::trainer::fresh_backbone;
use std::fs;

fn expect_error(
    texts: &Texts,
    backbone: &Backbone,
    change: impl FnOnce(&mut espalier_train::PrefinetuneConfig),
) -> String {
    let mut config = texts.config();
    change(&mut config);
    prefinetune(backbone, &config, |_| ()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn settings_must_fit_the_encoder() {
    let texts = Texts::new();
    let message = expect_error(&texts, &tiny_bert(), |config| config.mlm.max_tokens = 65);
    assert_eq!(
        message,
        "configuration: mlm.max_tokens is 65; the encoder has positions for fewer tokens"
    );
    let message = expect_error(&texts, &tiny_bert(), |config| config.mlm.probability = 0.0);
    assert!(message.contains("mlm.probability is 0"), "{message}");
    let message = expect_error(&texts, &tiny_bert(), |config| config.mlm.corpora.clear());
    assert!(
        message.contains("\"mlm\" trains on mlm data, but mlm.corpora names no file"),
        "{message}"
    );
    let message = expect_error(&texts, &tiny_bert(), |config| config.backbone = "scratch".into());
    assert!(
        message.contains("scratch.tokenizer is empty")
            && message.contains("espalier tokenizer train"),
        "{message}"
    );
}

#[test]
fn texts_must_have_words() {
    let texts = Texts::new();
    for (content, expected) in [
        ("", "texts.jsonl: holds no records"),
        ("{\"text\": \"good\"}\n{\"text\": \" \"}\n", "texts.jsonl:2: \"text\" is blank"),
        // Text without tokens.
        ("{\"text\": \"\\u200b\\u200b\"}\n", "texts.jsonl: holds no records"),
        (
            "{\"texts\": \"good\"}\n",
            "\"text\" (or \"sentence\", \"utterance\", \"content\") expected, but the record has \
             \"texts\"",
        ),
    ] {
        fs::write(texts.path(), content).unwrap();
        let message = expect_error(&texts, &tiny_bert(), |_| ());
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn there_must_be_a_tokenizer_with_a_mask_token() {
    let texts = Texts::new();
    let mut config = texts.scratch();
    config.scratch.tokenizer = fixture("peft-adapter");
    let message = fresh_backbone(&config).unwrap_err().to_string();
    assert!(message.contains("peft-adapter: no tokenizer.json or vocab.txt"), "{message}");

    let directory = copy_of("tiny-bert");
    fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
    let path = directory.path().join("vocab.txt");
    let vocabulary = fs::read_to_string(&path).unwrap().replace("[MASK]", "[HIDDEN]");
    fs::write(path, vocabulary).unwrap();
    let message = expect_error(&texts, &Backbone::open(directory.path()).unwrap(), |_| ());
    assert!(message.starts_with("the tokenizer has no token [MASK] or <mask>"), "{message}");
}

/// Without the check of the memory, allocating these would abort the process.
#[test]
fn an_encoder_larger_than_the_memory_is_refused_with_its_size() {
    let texts = Texts::new();
    let mut config = texts.scratch();
    let shape = &mut config.scratch;
    (shape.layers, shape.width, shape.inner, shape.positions) = (1000, 65_536, 262_144, 1_000_000);
    let message = fresh_backbone(&config).unwrap_err().to_string();
    for part in [
        "training 51605995847680 parameters takes at least 825696 GB, and this machine has ",
        "choose smaller sizes",
    ] {
        assert!(message.contains(part), "the message lacks {part:?}: {message}");
    }
    for (change, key) in [
        ((|shape| shape.width = usize::MAX) as fn(&mut ScratchConfig), "hidden_size"),
        (|shape| shape.layers = usize::MAX / 2, "num_hidden_layers"),
        (|shape| shape.inner = 1 << 60, "intermediate_size"),
        (|shape| shape.positions = 1 << 40, "max_position_embeddings"),
    ] {
        let mut config = texts.scratch();
        change(&mut config.scratch);
        let message = fresh_backbone(&config).unwrap_err().to_string();
        assert!(message.contains(key) && message.contains("must be between"), "{message}");
    }
}
