//! A backbone directory: config.json, modules.json, 1_Pooling/config.json,
//! sentence_bert_config.json and model.safetensors, in this order. If it opens, texts go through
//! it, and it is packed: in f32 a packed file computes the same.

use super::encode::{same, vectors};
use super::files;
use espalier_encoder::{AnyBackbone, Backbone, Precision};

/// vocab.txt of all inputs.
pub const VOCABULARY: &[u8] = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##b\n";

/// Opens a directory, encodes texts, packs it and opens what was packed.
pub fn open(input: &[u8]) {
    let [config, modules, pooling, limits, weights] = files::parts(input);
    files::in_directory(|directory| {
        let all = [
            ("config.json", config),
            ("modules.json", modules),
            ("1_Pooling/config.json", pooling),
            ("sentence_bert_config.json", limits),
            ("model.safetensors", weights),
            ("vocab.txt", VOCABULARY),
        ];
        files::put(directory, &all);
        let Ok(backbone) = Backbone::open(directory) else { return };
        let expected = vectors(&backbone.clone().into());
        for dtype in Precision::ALL {
            let path = directory.join("backbone.espalier");
            backbone.pack(dtype, &path).expect("a backbone that opens can be packed");
            let found =
                vectors(&AnyBackbone::open(&path).expect("a packed backbone can be opened"));
            assert!(
                dtype != Precision::F32 || same(&expected, &found),
                "the packed backbone computes something else"
            );
        }
    });
}
