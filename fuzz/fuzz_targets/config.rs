#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| espalier_testing::fuzz::config::read(input));
