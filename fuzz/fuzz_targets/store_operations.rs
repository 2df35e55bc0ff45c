//! Commands made of the fuzzer's bytes, on the index and its model.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/store_index/commands.rs"]
mod commands;
#[path = "../../tests/store_index/harness.rs"]
mod harness;
#[path = "../../tests/store_index/model.rs"]
mod model;

/// Takes numbers off the fuzzer's bytes, and zeros when there are none left.
struct Bytes<'a>(&'a [u8]);

impl commands::Draw for Bytes<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        let len = if bound <= 256 { 1 } else { 2 };
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) % bound
    }
}

fuzz_target!(|bytes: &[u8]| {
    let steps = (bytes.len() as u64 / 6).min(300);
    harness::run(&commands::Words::new(), steps, &mut Bytes(bytes));
});
