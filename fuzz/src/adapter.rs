//! An adapter for fixtures/tiny-bert: espalier.json (or nothing), adapter_config.json and
//! adapter_model.safetensors, in this order. If it opens, it is attached in every precision,
//! answers, and is the same after it was written and read again.

use crate::encode::TEXTS;
use crate::files;
use espalier_encoder::{Adapter, Backbone, Precision};
use espalier_runtime::{Request, Runtime};
use std::path::Path;

thread_local! {
    static RUNTIMES: [Runtime; 3] = {
        let backbone = Backbone::open(&files::fixture("tiny-bert")).expect("fixtures/tiny-bert is a whole model");
        Precision::ALL.map(|precision| Runtime::new(backbone.clone().with_precision(precision)))
    };
}

/// Opens an adapter, writes it again, attaches it and asks it.
pub fn attach(input: &[u8]) {
    let [card, config, weights] = files::parts(input);
    files::in_directory(|directory| {
        let whole = [
            ("espalier.json", card),
            ("adapter_config.json", config),
            ("adapter_model.safetensors", weights),
        ];
        files::put(directory, &whole);
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
        ask(runtime);
    }
}

fn attach_adapter(runtimes: &[Runtime], directory: &Path) {
    let backbone = runtimes[0].backbone();
    let Ok(adapter) = Adapter::open(directory, backbone) else { return };
    let copy = directory.join("copy");
    adapter.save(&copy).expect("an adapter that opens can be written");
    let copied = Adapter::open(&copy, backbone).expect("an adapter that was written can be opened");
    // As text, in which every NaN is the same.
    let (before, after) = (
        format!("{:?}", (&adapter.lora, &adapter.head)),
        format!("{:?}", (copied.lora, copied.head)),
    );
    assert_eq!(before, after, "another adapter after it was written and read");
    for runtime in runtimes {
        runtime
            .attach_adapter("it", adapter.clone())
            .expect("an adapter that opens can be attached");
        ask(runtime);
    }
}

fn ask(runtime: &Runtime) {
    let answers =
        runtime.run(&TEXTS, &[Request::Adapter("it"), Request::Plain]).expect("it is attached");
    assert!(answers.len() == TEXTS.len() && answers.iter().all(|text| text.answers.len() == 2));
    runtime.detach("it").expect("it is attached");
}
