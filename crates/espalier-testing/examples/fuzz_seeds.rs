//! Writes the inputs that fuzzing starts from, made of the repository's fixtures and samples and of
//! a model of some hundred weights.
//!
//! `cargo run -p espalier-testing --example fuzz-seeds` adds them to `fuzz/corpus`.

use espalier_encoder::tensors::{FloatType, write_tensors};
use espalier_encoder::{
    Adapter, AdapterCard, Backbone, Encoder, EncoderConfig, Family, Head, Lora, Module, Output,
};
use espalier_encoder::{Pooling, Precision, lora::SiteSpec};
use espalier_testing::fixtures::repository;
use espalier_testing::fuzz::{SEPARATOR, weights::VOCABULARY};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const MODULES: &str = concat!(
    r#"[{"path":"","type":"sentence_transformers.models.Transformer"},"#,
    r#"{"path":"1_Pooling","type":"sentence_transformers.models.Pooling"},"#,
    r#"{"path":"2","type":"sentence_transformers.models.Normalize"}]"#,
);
const POOLING: &str = r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false}"#;
const LIMITS: &str = r#"{"max_seq_length":8}"#;
const RUN: &str = r#"backbone = "a"
strategy = "tpl"
seed = 3
[train]
steps = 20
optimizer = "sgd"
schedule = "cosine"
warmup = 0.5
precision = "bf16"
[ner]
corpora = ["run.toml"]
bias = -4.0
[tc]
corpora = ["b.jsonl"]
pooling = "cls"
[adapter]
modules = ["query", "output"]
rank = 2
"#;
/// Tables and columns as people write them.
const TABLES: [(&str, &str); 6] = [
    ("csv", "text,label\n\"a, \"\"b\"\"\nc\",x\n\nd,y\n"),
    ("semicolons", "id;Text;Label\n1;a b;x\n"),
    ("tsv", "anchor\tpositive\tsource\na\tb \"c\ts\n"),
    ("conll", "-DOCSTART- -X- O\n\n# id 1\nEU NNP B-ORG\nrejects VBZ O\n\nA\tS-x\n"),
    ("bilou", "New B-city\nYork L-city\n\nOslo U-city\n"),
    ("prose", "A first document,\nof two lines.\n\nAnother.\n"),
];
const TEXTS: [&str; 8] = [
    "The quick brown fox, 1234!",
    "na\u{ef}ve caf\u{e9} \u{130}stanbul \u{df}",
    "\u{4e2d}\u{6587} and \u{d55c}\u{ad6d}\u{c5b4}\nabcing [MASK][E1] [mask]",
    "a\u{316}\u{301}b e\u{301}\u{327} \u{1e69}\u{fb01}",
    "\u{feff}\u{200d}x\u{0}y\u{ad}\u{fffd}\tz\r\n",
    "\u{1f642}\u{1f1e9}\u{1f1ea} \u{2f804}\u{f900}",
    "[CLS][SEP] ##b ab abc bcd",
    "\u{1100}\u{1161}\u{11a8} \u{928}\u{93c} \u{e33}",
];

fn main() -> Result {
    let root = repository().canonicalize()?;
    let seeds = Seeds {
        fixtures: root.join("fixtures"),
        samples: root.join("samples"),
        examples: root.join("examples"),
        corpus: root.join("fuzz/corpus"),
    };
    seeds.models()?;
    seeds.adapters()?;
    seeds.tokenizers()?;
    seeds.texts()?;
    seeds.records()
}

struct Seeds {
    fixtures: PathBuf,
    samples: PathBuf,
    examples: PathBuf,
    corpus: PathBuf,
}

impl Seeds {
    fn write(&self, target: &str, name: &str, parts: &[&[u8]]) -> Result {
        let directory = self.corpus.join(target);
        fs::create_dir_all(&directory)?;
        Ok(fs::write(directory.join(name), parts.join(SEPARATOR))?)
    }

    /// A small model in a directory, in packed files, and its configuration.
    fn models(&self) -> Result {
        let directory = tempfile::tempdir()?;
        let at = |name: &str| directory.path().join(name);
        let config = json!({
            "model_type": "bert", "hidden_act": "gelu", "hidden_size": 4, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 3, "vocab_size": 8,
            "max_position_embeddings": 12, "type_vocab_size": 1, "layer_norm_eps": 1e-12
        });
        let config = config.to_string();
        fs::create_dir_all(at("1_Pooling"))?;
        fs::write(at("config.json"), &config)?;
        fs::write(at("modules.json"), MODULES)?;
        fs::write(at("1_Pooling/config.json"), POOLING)?;
        fs::write(at("vocab.txt"), VOCABULARY)?;
        let layout = Encoder::new(EncoderConfig::read(&at("config.json"))?).layout;
        let values: Vec<f32> = (0..layout.len()).map(|i| (i as f32).sin()).collect();
        let tensors = layout
            .tensors
            .iter()
            .map(|spec| (spec.name.clone(), spec.shape.clone(), &values[spec.range.clone()]));
        write_tensors(&at("model.safetensors"), FloatType::F32, tensors)?;
        let weights = fs::read(at("model.safetensors"))?;
        let parts = [
            config.as_bytes(),
            MODULES.as_bytes(),
            POOLING.as_bytes(),
            LIMITS.as_bytes(),
            &weights,
        ];
        self.write("weights", "seed-small", &parts)?;
        self.write("weights", "seed-plain", &[config.as_bytes(), b"", b"", b"", &weights])?;
        self.write(
            "config",
            "seed-small",
            &[config.as_bytes(), RUN.as_bytes(), b"train.steps=4\nstrategy=joint\n"],
        )?;
        let real = fs::read(self.fixtures.join("tiny-bert/config.json"))?;
        self.write("config", "seed-tiny-bert", &[&real, b"seed = 1\n", b"ner.corpora=[\"a\"]\n"])?;
        for (name, overrides) in [
            ("prefinetune", "strategy=pcgrad"),
            ("pretrain", "mlm.corpora=[]"),
            ("teach", "seed=1"),
        ] {
            let run = fs::read(self.examples.join(name).with_extension("toml"))?;
            self.write("config", &format!("seed-{name}"), &[b"{}", &run, overrides.as_bytes()])?;
        }

        let backbone = Backbone::open(directory.path())?;
        for dtype in Precision::ALL {
            backbone.pack(dtype, &at("packed"))?;
            let file = fs::read(at("packed"))?;
            self.write("bundle", &format!("seed-{}-whole", dtype.name()), &[&file])?;
            let length = file[12..16].try_into().map(u32::from_le_bytes)? as usize;
            let (header, sections) =
                (&file[24..24 + length], &file[(24 + length).next_multiple_of(64)..]);
            self.write("bundle", &format!("seed-{}", dtype.name()), &[header, sections])?;
        }
        Ok(())
    }

    /// The adapter that PEFT wrote, with a card, and small ones with heads.
    fn adapters(&self) -> Result {
        let backbone = Backbone::open(&self.fixtures.join("tiny-bert"))?;
        let peft = self.fixtures.join("peft-adapter");
        let config = fs::read(peft.join("adapter_config.json"))?;
        let weights = fs::read(peft.join("adapter_model.safetensors"))?;
        self.write("adapter", "seed-peft", &[b"", &config, &weights])?;
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let outputs = [
            ("vectors", Family::Tc, Output::Vectors),
            ("labels", Family::Tc, Output::Labels { labels: owned(&["yes", "no"]) }),
            ("tags", Family::Ner, Output::Tags { tags: owned(&["O", "B-x", "I-x"]) }),
        ];
        for (name, family, output) in outputs {
            let site = |layer, module, rank| SiteSpec {
                layer,
                module,
                rank,
                alpha: 2.0,
                rank_stabilized: false,
            };
            let mut lora = Lora::zeros(
                &backbone.encoder.config,
                vec![site(1, Module::Query, 1), site(2, Module::Value, 2)],
            );
            lora.values.iter_mut().enumerate().for_each(|(i, value)| *value = (i as f32).cos());
            let head = output
                .classes()
                .map(|classes| Head::random_init(backbone.encoder.width(), classes, || 0.5));
            let fingerprint = backbone.fingerprint().to_string();
            let (pooling, training) = (Pooling::Mean, Default::default());
            let card =
                AdapterCard { format: 1, family, output, pooling, backbone: fingerprint, training };
            let directory = tempfile::tempdir()?;
            // Without the checksums of the others, so that changes of these get further than that.
            let alone = serde_json::to_vec(&card)?;
            Adapter { lora, head, card }.save(directory.path())?;
            let file = |name: &str| fs::read(directory.path().join(name));
            let parts = [alone, file("adapter_config.json")?, file("adapter_model.safetensors")?];
            self.write("adapter", &format!("seed-{name}"), &parts.each_ref().map(Vec::as_slice))?;
        }
        Ok(())
    }

    fn tokenizers(&self) -> Result {
        let json = fs::read(self.fixtures.join("tiny-bert/tokenizer.json"))?;
        let small = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [{ "id": 0, "content": "[MASK]", "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true }],
            "normalizer": { "type": "BertNormalizer", "clean_text": true, "lowercase": true,
                "handle_chinese_chars": true, "strip_accents": null },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": { "type": "BertProcessing", "sep": ["b", 2], "cls": ["a", 1] },
            "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
            "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 5,
                "vocab": { "[UNK]": 3, "a": 1, "b": 2, "##b": 4, "[MASK]": 0 } }
        });
        let config =
            &br#"{"do_lower_case":true,"strip_accents":null,"tokenize_chinese_chars":false}"#[..];
        let (small, lines, none) = (small.to_string(), VOCABULARY, &b""[..]);
        for (index, text) in TEXTS.into_iter().enumerate() {
            let (kind, [json, lines, config]) = match index % 3 {
                0 => ("json", [small.as_bytes(), none, none]),
                1 => ("lines", [none, lines, config]),
                _ => ("bare", [none, lines, none]),
            };
            self.write(
                "tokenizer",
                &format!("seed-{kind}-{index}"),
                &[json, lines, config, text.as_bytes()],
            )?;
        }
        self.write("tokenizer", "seed-tiny-bert", &[&json, b"", b"", TEXTS[0].as_bytes()])
    }

    fn texts(&self) -> Result {
        for (index, text) in TEXTS.into_iter().enumerate() {
            self.write(
                "text",
                &format!("seed-{index}"),
                &[&[&[index as u8], text.as_bytes()].concat()],
            )?;
        }
        Ok(())
    }

    /// The first lines of samples, plain and by gzip, and tables. Those in Parquet are made by
    /// scripts/make_parquet_seeds.py.
    fn records(&self) -> Result {
        let mut records = Vec::new();
        for task in ["banking77", "wikigold"] {
            let lines =
                fs::read_to_string(self.samples.join("tasks").join(task).join("train.jsonl"))?;
            records.push((task, lines.lines().take(2).collect::<Vec<_>>().join("\n")));
        }
        records.push(("pairs", r#"{"anchor":"a","positive":"b c","source":"s"}"#.into()));
        records.push((
            "concepts",
            r#"{"tokens":["a","b"],"spans":[{"start":0,"end":2,"type":"city"}]}"#.into(),
        ));
        for (name, text) in TABLES {
            self.write("data", &format!("seed-{name}"), &[text.as_bytes()])?;
        }
        for (name, text) in records {
            self.write("data", &format!("seed-{name}"), &[text.as_bytes()])?;
            for (how, level) in [("stored", Compression::none()), ("deflated", Compression::best())]
            {
                let mut gzip = GzEncoder::new(Vec::new(), level);
                gzip.write_all(text.as_bytes())?;
                self.write("data", &format!("seed-{name}-{how}"), &[&gzip.finish()?])?;
            }
        }
        Ok(())
    }
}
