//! Tokenizers and encoders trained on plain text.

use crate::workspace::Workspace;
use serde_json::Value;
use std::fs;

#[test]
fn an_encoder_is_pretrained_from_scratch_and_further() {
    let workspace = Workspace::new();
    let text = |city: &str| {
        format!("the cheap hotel near the station of {city} was great .\n\n").repeat(8)
    };
    workspace.lines("texts.txt", ["london", "paris", "berlin"].map(text));
    assert!(workspace.ok("data check texts.txt").contains("plain text, running text, 24 rows"));
    assert_eq!(
        workspace.ok("tokenizer train texts.txt --vocab 60 --out tokenizer").trim(),
        "tokenizer"
    );
    let settings = "backbone = \"scratch\"\n[scratch]\ntokenizer = \"tokenizer\"\nlayers = \
                    1\nwidth = 32\nheads = 2\ninner = 32\n[mlm]\ncorpora = [\"texts.txt\"]\nbatch \
                    = 16\n[train]\nsteps = 60\nlearning_rate = 0.01\n";
    fs::write(workspace.path("pretrain.toml"), settings).unwrap();
    workspace.ok("pretrain pretrain.toml --out raw");
    let question = workspace.path("raw/backbone").display().to_string();
    let ask = |input: &str| {
        workspace.run_with_input(&format!("fill-mask --backbone {question} --top 3 --json"), input)
    };
    let answer = ask("the [MASK] hotel near the station of paris was great .\n");
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(
        (&answer["masks"][0][0]["token"], answer["masks"][0].as_array().unwrap().len()),
        (&"cheap".into(), 3)
    );
    let message = String::from_utf8(ask("no mask\n").stderr).unwrap();
    assert!(message.contains("no [MASK] in \"no mask\""), "{message}");
    assert!(
        workspace
            .ok(&format!("fill-mask --backbone {question} [MASK] [MASK]"))
            .contains("[MASK]\n  ")
    );

    // The result is a backbone like any other, and can be trained further.
    workspace.ok("prefinetune run.toml --set backbone=raw/backbone --set train.steps=1 --out run");
    workspace.ok("finetune --backbone raw/backbone --task intents --out adapter --steps 1");
    workspace
        .ok("pretrain pretrain.toml --set backbone=raw/backbone --set train.steps=1 --out further");
    let output = workspace.run(
        "pretrain pretrain.toml --set backbone=run/backbone --set train.steps=1 --out headless",
    );
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && message.contains("it starts with a fresh one"), "{message}");
    workspace.refuses([
        ("fill-mask --backbone BACKBONE [MASK]", "no head of masked language modelling"),
        ("pretrain run.toml --out x", "mlm.corpora names no file"),
        ("pretrain pretrain.toml --set strategy=tpl --out x", "for tpl run espalier prefinetune"),
        (
            "pretrain pretrain.toml --set scratch.tokenizer=cities --out x",
            "espalier tokenizer train makes the tokenizer that it names: cities: no \
             tokenizer.json or vocab.txt",
        ),
        ("pretrain pretrain.toml --set scratch.heads=3 --out x", "is not a multiple of"),
        ("pretrain pretrain.toml --set mlm.corpora=[\"nowhere.txt\"] --out x", "nowhere.txt"),
        ("tokenizer train nowhere.txt --out x", "nowhere.txt"),
        (
            "tokenizer train texts.txt --vocab 20 --out x",
            "20 tokens are wanted, but the characters alone are",
        ),
        (
            "tokenizer train intents/train.jsonl concepts.jsonl --out x",
            "concepts.jsonl:1: \"text\"",
        ),
    ]);
}
