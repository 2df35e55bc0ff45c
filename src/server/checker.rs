//! From the text of a check to a [`Prober`] in the hands of a loop of one's own.

use std::sync::Arc;

use crate::balance::Address;
use crate::error::{Error, Result};
use crate::health::{Entropy, Prober, Target};
use crate::server::assembly;
use crate::server::config::Config;
use crate::sys;
use crate::time::Instant;

/// A check of one backend, and where its probes connect to.
#[derive(Debug)]
pub struct Checker {
    prober: Prober,
    target: Address,
}

impl Checker {
    /// A check of the backend at `address`. `text` has the keys `check`, `role` and `lag_max` as a `[[pool]]` of the
    /// configuration has them. The first probe falls due within one `interval` of `now`.
    ///
    /// Errors: `Config` with line, column and what to write instead; `InvalidArgument` for the address, and for a port
    /// asked of a unix socket; `Io` when a password cannot be read. Blocks while a password is read.
    pub fn new(text: &str, address: &str, now: Instant) -> Result<Self> {
        let address: Address = address.parse()?;
        let config = read(text)?;
        let check = config.pools[0].check.as_ref().ok_or_else(|| {
            Error::invalid("check", "it is missing; write check = { kind = \"tcp\" }, or another kind")
        })?;
        let settings = assembly::settings(&config, check)?;
        let target = target(&settings.options().target, &address)?;
        let io = |error| Error::io("ask the system for random bytes", &error);
        let entropy = sys::entropy::bytes().map_err(io)?;
        let seed = sys::entropy::bytes().map_err(io)?;
        let (seed, _) = seed.split_first_chunk().expect("8 is less than 32");
        let (entropy, seed) = (Entropy::new(entropy), u64::from_le_bytes(*seed));
        let prober = Prober::new(Arc::clone(&settings), &address.to_string(), entropy, seed, now);
        Ok(Self { prober, target })
    }

    /// Where a probe connects to.
    pub fn target(&self) -> &Address {
        &self.target
    }

    /// The check itself.
    pub fn prober(&self) -> &Prober {
        &self.prober
    }

    /// The check itself, to be told what happened.
    pub fn prober_mut(&mut self) -> &mut Prober {
        &mut self.prober
    }
}

/// The configuration of a pool that has these keys and no other.
fn read(text: &str) -> Result<Config> {
    let whole = format!("{BEFORE}{text}");
    let mut config = Config::parse(&whole, SOURCE).map_err(|error| match error {
        Error::Config(mut problems) => {
            for problem in &mut problems {
                problem.line = problem.line.saturating_sub(LINES_BEFORE);
                if problem.line == 0 {
                    problem.column = 0;
                }
            }
            Error::Config(problems)
        }
        other => other,
    })?;
    let bare = Config::parse(BEFORE, SOURCE)?;
    let is_more = match &mut config.pools[..] {
        [pool] => {
            let check = pool.check.take();
            let is_more = config != bare;
            config.pools[0].check = check;
            is_more
        }
        _ => true,
    };
    if is_more {
        return Err(Error::invalid(
            "check",
            "beside check, role and lag_max its text has other keys; take them out",
        ));
    }
    Ok(config)
}

fn target(target: &Target, address: &Address) -> Result<Address> {
    match (target, address) {
        (Target::Unix(path), _) => Ok(Address::Unix(Arc::clone(path))),
        (Target::Inet(inet), _) => Ok(Address::Inet(*inet)),
        (Target::Backend, address) => Ok(address.clone()),
        (Target::Port(_), Address::Inet(inet)) => Ok(Address::Inet(target.inet(*inet).unwrap_or(*inet))),
        (Target::Port(_), Address::Unix(_)) => Err(Error::invalid(
            "port",
            "a unix socket has no ports; take port out of the check, or give it an address",
        )),
    }
}

/// A configuration wants a listener; this one is never opened.
const BEFORE: &str =
    "[[listener]]\nname = \"check\"\nbind = \"127.0.0.1:1\"\npool = \"check\"\n[[pool]]\nname = \"check\"\n";
const LINES_BEFORE: u32 = 6;
/// What problems call the text.
const SOURCE: &str = "<check>";

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, address: &str) -> String {
        Checker::new(text, address, Instant::from_millis(1)).unwrap_err().to_string()
    }

    #[test]
    fn the_keys_are_those_of_a_pool() {
        let check = |text, address| Checker::new(text, address, Instant::from_millis(1)).unwrap();
        let http = check("check = { kind = \"http\", path = \"/up\", port = 81 }", "10.0.0.1:80");
        assert_eq!(http.target().to_string(), "10.0.0.1:81");
        let redis = check("role = \"primary\"\n[pool.check]\nkind = \"redis\"\n", "unix:/run/redis.sock");
        assert_eq!(redis.target().to_string(), "unix:/run/redis.sock");
        assert!(redis.prober().check().settings().options().role.is_some());
        let other = check("check = { kind = \"agent\", address = \"10.0.0.9:99\" }", "unix:/run/app.sock");
        assert_eq!(other.target().to_string(), "10.0.0.9:99");
    }

    #[test]
    fn what_is_wrong_is_told_where_it_stands() {
        let text = refused("\ncheck = { kind = \"http\", user = \"x\" }", "10.0.0.1:80");
        assert!(
            text.contains("<check>:2:") && text.contains("user does not go with the kind http"),
            "{text}"
        );
        let text = refused("check = { kind = \"tcp\"", "10.0.0.1:80");
        assert!(text.contains("<check>:1:"), "{text}");
        for (text, says) in [
            ("", "check = { kind = \"tcp\" }"),
            ("check = { kind = \"tcp\" }\npolicy = \"random\"", "take them out"),
            ("check = { kind = \"tcp\" }\n[[pool]]\nname = \"other\"", "take them out"),
            ("check = { kind = \"redis\", password_file = \"/nowhere/at/all\" }", "/nowhere/at/all"),
        ] {
            let said = refused(text, "10.0.0.1:80");
            assert!(said.contains(says), "{text}: {said}");
        }
        assert!(refused("check = { kind = \"tcp\", port = 80 }", "unix:/run/app.sock").contains("no ports"));
        assert!(refused("check = {}", "nowhere").contains("nowhere"));
    }
}
