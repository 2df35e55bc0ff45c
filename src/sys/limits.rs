//! How many descriptors the process may have.

use std::io;

/// Raises the limit that is in force to the one that may not be passed. Gives both: what was in force, and what
/// is now.
pub(crate) fn raise_descriptors() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a whole rlimit, writable for the call.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let before = limit.rlim_cur;
    if before < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a whole rlimit, readable for the call.
        let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok((before, limit.rlim_cur))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_raised_stays_raised() {
        let (_, now) = raise_descriptors().unwrap();
        assert!(now > 0);
        assert_eq!(raise_descriptors().unwrap(), (now, now));
    }
}
