#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| espalier_fuzz::adapter::attach(input));
