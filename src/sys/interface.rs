//! Network interfaces.

use std::ffi::CString;

/// The number of the interface of this name; `None` when there is none.
pub(crate) fn number(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` is a C string that outlives the call.
    let number = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (number != 0).then_some(number)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_loopback_has_a_number() {
        assert!(super::number("lo").is_some());
        assert_eq!(super::number("no-such-interface"), None);
        assert_eq!(super::number("l\0o"), None);
    }
}
