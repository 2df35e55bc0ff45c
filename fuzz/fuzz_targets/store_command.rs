//! Bytes as a command of the store: what is read is within the limits, and is written as the same bytes again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab::store::index::{Command, Index, KEY_MAX, Operation, Options, Settings, Step, VERSION};

fuzz_target!(|bytes: &[u8]| {
    let settings = Settings { value_max: 64, operations_max: 8, ..Settings::default() };
    match Command::decode(bytes, &settings) {
        Ok(command) => {
            let mut encoded = Vec::new();
            command.encode(&mut encoded);
            assert_eq!(encoded, bytes);
            match &command.operation {
                Operation::Transaction(transaction) => {
                    let steps = transaction.then.len() + transaction.otherwise.len();
                    assert!(transaction.conditions.len() + steps <= 8);
                }
                Operation::Step(Step::Put { key, value, .. }) => {
                    assert!(key.len() <= KEY_MAX && value.len() <= 64);
                }
                _ => {}
            }
        }
        Err(malformed) => assert_eq!(malformed.to_string().lines().count(), 1),
    }
    // Whatever it is, it is applied without a panic; only a later version is none of ours.
    let mut index = Index::new(&Options::default());
    match index.apply(1, bytes) {
        Ok(outcome) => assert!(outcome.sequence == 1 && !outcome.is_repeated),
        Err(_) => assert!(bytes[0] > VERSION && index.state().sequence() == 0),
    }
});
