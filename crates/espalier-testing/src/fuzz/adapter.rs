//! An adapter for fixtures/tiny-bert: espalier.json (or nothing), adapter_config.json and
//! adapter_model.safetensors, in this order. If it opens, it is attached in every precision,
//! answers, and is the same after it was saved and opened again.

use super::encode::TEXTS;
use super::files;
use crate::fixtures::tiny_bert;
use espalier_encoder::{Adapter, Precision};
use espalier_runtime::{Request, Runtime};
use std::path::Path;

thread_local! {
    static RUNTIMES: [Runtime; 3] = {
        Precision::ALL.map(|precision| Runtime::new(tiny_bert().with_precision(precision)))
    };
}

/// Opens an adapter, saves it again, attaches it and runs it.
pub fn attach(input: &[u8]) {
    let [card, config, weights] = files::parts(input);
    files::in_directory(|directory| {
        let all = [
            ("espalier.json", card),
            ("adapter_config.json", config),
            ("adapter_model.safetensors", weights),
        ];
        files::put(directory, &all);
        RUNTIMES.with(|runtimes| match card.is_empty() {
            true => attach_lora(runtimes, directory),
            false => attach_adapter(runtimes, directory),
        });
    });
}

fn attach_lora(runtimes: &[Runtime], directory: &Path) {
    let Ok(lora) = Adapter::open_lora(directory, runtimes[0].backbone()) else { return };
    for runtime in runtimes {
        runtime.attach_lora("it", &lora).expect("a LoRA that opens can be attached");
        run(runtime);
    }
}

fn attach_adapter(runtimes: &[Runtime], directory: &Path) {
    let backbone = runtimes[0].backbone();
    let Ok(adapter) = Adapter::open(directory, backbone) else { return };
    let copy = directory.join("copy");
    adapter.save(&copy).expect("an adapter that opens can be saved");
    let copied = Adapter::open(&copy, backbone).expect("a saved adapter can be opened");
    // As text, in which every NaN is the same.
    let (before, after) = (
        format!("{:?}", (&adapter.lora, &adapter.head)),
        format!("{:?}", (copied.lora, copied.head)),
    );
    assert_eq!(before, after, "another adapter after it was saved and opened");
    for runtime in runtimes {
        runtime
            .attach_adapter("it", adapter.clone())
            .expect("an adapter that opens can be attached");
        run(runtime);
    }
}

fn run(runtime: &Runtime) {
    let answers =
        runtime.run(&TEXTS, &[Request::Adapter("it"), Request::Plain]).expect("it is attached");
    assert!(answers.len() == TEXTS.len() && answers.iter().all(|text| text.answers.len() == 2));
    runtime.detach("it").expect("it is attached");
}
