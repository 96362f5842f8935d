//! Replacing adapters and tokenizers.

use super::{can_fault, is_killed, kill, partials};
use crate::workspace::{Workspace, backbone};
use espalier_encoder::{Adapter, Backbone, Tokenizer, TokenizerLimits};
use std::fs;
use std::path::Path;

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn an_adapter_is_the_old_one_the_new_one_or_refused() {
    if !can_fault() {
        return;
    }
    let workspace = Workspace::new();
    let line = |(text, label): (&str, &str)| format!(r#"{{"text":"{text}","label":"{label}"}}"#);
    workspace.lines(
        "swapped/train.jsonl",
        [("a cheap hotel", "inn"), ("trains to york", "bus")].map(line),
    );
    let tune = |task: &str, out: &str| {
        format!("finetune --backbone BACKBONE --task {task} --steps 2 --out {out}")
    };
    workspace.ok(&tune("intents", "old"));
    workspace.ok(&tune("swapped", "new"));
    let backbone = Backbone::open(backbone().as_ref()).unwrap();
    let open = |name: &str| Adapter::open(&workspace.path(name), &backbone);
    let (old, new) = (open("old").unwrap(), open("new").unwrap());
    assert_ne!(old.card.output, new.card.output);

    // As earlier versions wrote them: cards without checksums of the other files.
    copy(&workspace.path("old"), &workspace.path("older"));
    let card = workspace.path("older/espalier.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&card).unwrap()).unwrap();
    json.as_object_mut().unwrap().remove("files").unwrap();
    fs::write(&card, json.to_string()).unwrap();

    for (before, call) in
        [("old", "rename"), ("older", "rename"), ("old", "remove"), ("older", "remove")]
    {
        let mut at = 1;
        loop {
            copy(&workspace.path(before), &workspace.path("mix"));
            let killed = is_killed(&workspace, &tune("swapped", "mix"), kill(call, at));
            match open("mix") {
                Ok(adapter) if killed => {
                    assert!(adapter == old || adapter == new, "a mix, killed at {call} {at}")
                }
                Ok(adapter) => assert_eq!(adapter, new),
                Err(error) => {
                    // A card without checksums cannot tell that the files were removed on purpose.
                    let reasons = ["written only in part", "No such file"];
                    let explained = reasons.iter().any(|reason| error.to_string().contains(reason));
                    assert!(killed && explained, "{call} {at}: {error}");
                    assert!(Adapter::open_lora(&workspace.path("mix"), &backbone).is_err());
                }
            }
            if !killed {
                break;
            }
            workspace.ok(&tune("swapped", "mix"));
            assert_eq!(open("mix").unwrap(), new);
            assert!(partials(&workspace.path("mix")).is_empty());
            at += 1;
        }
        assert!(at > 2, "only {at} times {call}");
    }
}

#[test]
fn a_tokenizer_is_the_old_one_or_the_new_one() {
    if !can_fault() {
        return;
    }
    let workspace = Workspace::new();
    let text =
        |n: usize| format!("the Hotel {n} near the station of London was great , not cheap .\n\n");
    fs::write(workspace.path("texts.txt"), (0..60).map(text).collect::<String>()).unwrap();
    let train = |out: &str, options: &str| {
        format!("tokenizer train texts.txt --vocab 60 {options} --out {out}")
    };
    workspace.ok(&train("old", "--cased"));
    workspace.ok(&train("new", ""));
    let read =
        |name: &str| Tokenizer::read(&workspace.path(name), TokenizerLimits::new(usize::MAX, 512));
    let ids = |tokenizer: &Tokenizer| tokenizer.encode("The Hotel of London").ids;
    let (old, new) = (ids(&read("old").unwrap()), ids(&read("new").unwrap()));
    assert_ne!(old, new);
    for call in ["rename", "remove"] {
        let mut at = 1;
        loop {
            copy(&workspace.path("old"), &workspace.path("mix"));
            let killed = is_killed(&workspace, &train("mix", ""), kill(call, at));
            let found = ids(&read("mix").unwrap());
            // All files that exist must be of the same tokenizer.
            let whole = if found == old { "old" } else { "new" };
            assert!(found == old || found == new);
            for file in ["tokenizer.json", "vocab.txt", "tokenizer_config.json"] {
                if let Ok(bytes) = fs::read(workspace.path("mix").join(file)) {
                    assert_eq!(
                        bytes,
                        fs::read(workspace.path(whole).join(file)).unwrap(),
                        "{file}, {call} {at}"
                    );
                }
            }
            if !killed {
                assert_eq!(found, new);
                break;
            }
            at += 1;
        }
        assert!(at > 2, "only {at} times {call}");
    }
}
