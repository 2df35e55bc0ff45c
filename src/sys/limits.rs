//! How many descriptors the process may have.

use std::io;

/// How many may be open at once: the limit that is in force.
#[cfg(all(feature = "proxy", feature = "store"))]
pub(crate) fn descriptors() -> io::Result<u64> {
    read().map(|limit| limit.rlim_cur)
}

/// How many are open, over all of the process.
#[cfg(all(feature = "proxy", feature = "store"))]
pub(crate) fn open_descriptors() -> io::Result<u64> {
    let count = std::fs::read_dir("/dev/fd")?.count() as u64;
    // The one that counts them is among them.
    Ok(count.saturating_sub(1))
}

/// Raises the limit that is in force to the one that may not be passed. Gives both: what was in force, and what
/// is now.
#[cfg(feature = "cli")]
pub(crate) fn raise_descriptors() -> io::Result<(u64, u64)> {
    let mut limit = read()?;
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

fn read() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a whole rlimit, writable for the call.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "cli")]
    fn what_is_raised_stays_raised() {
        let (_, now) = raise_descriptors().unwrap();
        assert!(now > 0);
        assert_eq!(raise_descriptors().unwrap(), (now, now));
    }

    #[test]
    #[cfg(all(feature = "proxy", feature = "store"))]
    fn what_is_open_is_counted_and_fewer_than_may_be() {
        let held: Vec<_> = (0..20).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let open = open_descriptors().unwrap();
        assert!(open >= held.len() as u64 && open <= descriptors().unwrap(), "{open}");
    }
}
