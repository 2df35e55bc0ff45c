//! Certificates that are renewed under a store that runs: the files are read by whoever says so, and what they come to is
//! handed to the thread that has the links.

use super::Member;
use super::people::Order;
use crate::driver::peer::Secured;
use crate::driver::store::Store;
use crate::driver::store::shared::{closed, now};
use crate::error::{Error, Result};
use crate::peer::{NodeName, Security};

/// Whose reading of the files counts. Part of what the store's lock guards.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    begun: u64,
    /// The latest that counts.
    done: u64,
}

impl Renewals {
    fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// Whether what was read counts: nobody who began later has been before.
    fn end(&mut self, number: u64) -> bool {
        let is_newest = number > self.done;
        self.done = self.done.max(number);
        is_newest
    }
}

impl Store {
    /// Reads certificates, key and authorities of the links anew, from the files that the security names. Links made from now on
    /// use them; those that are up stay with what they were made with. Whole or not at all. Any thread may call it; it blocks
    /// while files are read, and holds up nobody else.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for certificates that the other nodes would not take, and `Io` for files that cannot be read: all is as
    /// before. `State` when it is in no cluster, its links are in plaintext, or it is closed; `Forked`.
    pub fn reload_certificates(&self) -> Result<()> {
        let shared = self.shared()?;
        let (number, security, name) = {
            let mut core = shared.core.lock();
            if core.is_ending {
                return Err(closed());
            }
            core.member()?.begin_renewal()?
        };
        let secured = Secured::load(&security, &name)?;
        let (mut core, now) = (shared.core.lock(), now());
        if core.is_ending {
            return Err(closed());
        }
        core.member()?.end_renewal(number, secured);
        shared.settle(&mut core, now);
        Ok(())
    }
}

impl Member {
    fn begin_renewal(&mut self) -> Result<(u64, Security, NodeName)> {
        let security = self.options.security.clone();
        if !matches!(security, Security::Tls { .. }) {
            let detail = "are in plaintext: there are no certificates to be read anew".into();
            return Err(Error::State { what: "links", detail });
        }
        Ok((self.renewals.begin(), security, self.options.node.clone()))
    }

    fn end_renewal(&mut self, number: u64, secured: Secured) {
        if self.renewals.end(number) {
            self.people.orders.push(Order::Secure(Box::new(secured)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_earlier_does_not_replace_what_was_read_later() {
        let mut renewals = Renewals::default();
        let (first, second) = (renewals.begin(), renewals.begin());
        assert!(renewals.end(second));
        assert!(!renewals.end(first), "it may have read the files before they changed");
        let third = renewals.begin();
        assert!(renewals.end(third));
    }
}
