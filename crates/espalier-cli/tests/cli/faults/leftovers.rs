//! Temporary files of killed commands are removed by the next one; files of others stay.

use super::{can_fault, is_killed, kill, partials};
use crate::workspace::{Workspace, json};
use std::fs;
use std::path::PathBuf;

#[test]
fn the_next_command_with_the_same_output_removes_temporary_files() {
    if !can_fault() {
        return;
    }
    let workspace = Workspace::new();
    fs::write(workspace.path("texts.txt"), "cheap hotels\n\nnear the station\n\n".repeat(9))
        .unwrap();
    workspace.ok("finetune --backbone BACKBONE --task intents --steps 2 --out adapter");
    for arguments in [
        "pack --backbone BACKBONE --out p.espalier",
        "encode --backbone BACKBONE --input texts.txt --output vectors.safetensors",
        "finetune --backbone BACKBONE --task intents --steps 2 --out fresh",
        "tokenizer train texts.txt --vocab 60 --out tokenizer",
        "quantize --backbone BACKBONE --adapters adapter --tasks intents --max-drop 100 --out \
         q.espalier",
        "prefinetune run.toml --out run --resume",
    ] {
        assert!(is_killed(&workspace, arguments, kill("rename", 1)));
        assert!(!partials(&workspace.path(".")).is_empty(), "{arguments} was killed too late");
        let others = ["p.espalier.mine.partial", "film.mkv.1.partial", "q.trial"]
            .map(|name| workspace.path(name));
        others.iter().for_each(|path| fs::write(path, "precious").unwrap());
        workspace.ok(arguments);
        assert!(others.iter().all(|path| fs::read(path).unwrap() == b"precious"), "{arguments}");
        others.iter().for_each(|path| fs::remove_file(path).unwrap());
        assert_eq!(partials(&workspace.path(".")), Vec::<PathBuf>::new(), "{arguments}");
    }
}

#[test]
fn a_directory_with_other_files_is_refused_and_not_changed() {
    let workspace = Workspace::new();
    fs::write(workspace.path("texts.txt"), "cheap hotels\n\n".repeat(9)).unwrap();
    let precious = [
        "home/film.mkv.partial",
        "home/README.md.1.partial",
        "home/config.toml",
        "other/y.1.partial",
    ];
    for name in precious {
        fs::create_dir_all(workspace.path(name).parent().unwrap()).unwrap();
        fs::write(workspace.path(name), "precious").unwrap();
    }
    std::os::unix::fs::symlink(workspace.path("other"), workspace.path("home/link")).unwrap();
    let refused = |arguments: &str, kind: &str| {
        let expected = format!("home is neither empty nor {kind}: it holds ");
        workspace
            .refuses([(arguments, expected.as_str()), (arguments, "choose another directory")]);
        assert_eq!(fs::read_dir(workspace.path("home")).unwrap().count(), 4, "{arguments}");
        assert!(
            precious.iter().all(|name| fs::read(workspace.path(name)).unwrap() == b"precious"),
            "{arguments}"
        );
    };
    refused("prefinetune run.toml --out home", "a run");
    refused("prefinetune run.toml --out home --resume", "a run");
    refused("teach run.toml --out home", "a run");
    refused("pretrain run.toml --set mlm.corpora=[\"texts.txt\"] --out home", "a run");
    refused(
        "finetune --backbone BACKBONE --task intents --steps 1 --out home",
        "an adapter of espalier's",
    );
    refused("tokenizer train texts.txt --vocab 60 --out home", "a tokenizer");
    refused("demo --backbone BACKBONE --out home", "an earlier demo");

    // A tokenizer that belongs to a model.
    workspace.ok("prefinetune run.toml --out run");
    workspace.refuses([(
        "tokenizer train texts.txt --out run/backbone",
        "neither empty nor a tokenizer",
    )]);
    // Other files next to an adapter stay there.
    workspace.ok("finetune --backbone BACKBONE --task intents --steps 1 --out adapter");
    fs::write(workspace.path("adapter/notes.txt"), "precious").unwrap();
    workspace.ok("finetune --backbone BACKBONE --task intents --steps 2 --out adapter --json");
    assert_eq!(fs::read(workspace.path("adapter/notes.txt")).unwrap(), b"precious");
    let card = fs::read_to_string(workspace.path("adapter/espalier.json")).unwrap();
    assert!(json(&card)["files"]["adapter_model.safetensors"].is_string(), "{card}");
}
