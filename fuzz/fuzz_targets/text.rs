#![no_main]

use espalier_testing::fuzz::text::{compare, prepare};

libfuzzer_sys::fuzz_target!(init: prepare(), |input: &[u8]| compare(input));
