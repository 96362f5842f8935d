//! What may be shared among threads. If one of these types stops being `Send + Sync`, this file
//! does not compile.

use espalier::encoder::{PackedBackbone, Tokenizer};
use espalier::prelude::*;
use espalier::train::Prefinetuned;

fn shared<T: Send + Sync + 'static>() {}

#[test]
fn models_adapters_data_and_errors_are_send_and_sync() {
    shared::<Backbone>();
    shared::<PackedBackbone>();
    shared::<AnyBackbone>();
    shared::<Tokenizer>();
    shared::<Adapter>();
    shared::<Runtime>();
    shared::<Prefinetuned>();
    shared::<Task>();
    shared::<Examples>();
    shared::<Scores>();
    shared::<PrefinetuneConfig>();
    shared::<FinetuneConfig>();
    shared::<espalier::Error>();
}
