//! Random bytes of the system, for what nobody may guess.

use std::io;

/// 32 bytes of the system's generator. Waits, early in the machine's life, until that has been seeded.
pub(crate) fn bytes() -> io::Result<[u8; 32]> {
    let mut bytes = [0u8; 32];
    loop {
        // SAFETY: `bytes` is 32 writable bytes.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        // Up to 256 bytes come whole once they come at all.
        if got == bytes.len() as isize {
            return Ok(bytes);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_are_alike() {
        assert_ne!(super::bytes().unwrap(), super::bytes().unwrap());
    }
}
