#![no_main]

use espalier_fuzz::text::{compare, prepare};

libfuzzer_sys::fuzz_target!(init: prepare(), |input: &[u8]| compare(input));
