//! Addresses: whatever is taken prints back to text that is taken as the same, and whatever is refused is
//! refused in one line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab::balance::Address;

fuzz_target!(|text: &str| {
    match text.parse::<Address>() {
        Ok(address) => {
            let printed = address.to_string();
            assert_eq!(printed.parse::<Address>().as_ref(), Ok(&address), "{text:?} {printed:?}");
        }
        Err(error) => {
            let told = error.to_string();
            assert_eq!(told.lines().count(), 1, "{told:?}");
            // Sixty characters of the text, each escaped to ten at most, and what is wrong with them.
            assert!(told.len() < 1024, "{told:?}");
        }
    }
});
