#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| zocp_fuzz::passed_nodes::run(data));
