//! One server of a pool: what it is, what an operator ordered, what was observed.
//!
//! Administrative and observed state are two fields, and this table says who wins:
//!
//! | | up | unknown | down | ejected |
//! |---|---|---|---|---|
//! | **ready** | picked | picked | no | no |
//! | **drain** | no | no | no | no |
//! | **maintenance** | no | no | no | no |
//!
//! A backend that is not picked keeps its connections in flight; `done` counts them down as ever.
//! `unknown` is picked so that a pool whose owner runs no checks works. When a tier panics, what was observed is
//! ignored and the first row is picked throughout (`panic.rs`).

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use crate::balance::options::WEIGHT_MAX;
use crate::error::{Error, Result};

/// Names one backend of one pool. Never used again within the pool, even after removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[repr(transparent)]
pub struct BackendId(u64);

impl BackendId {
    /// The number as C carries it.
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }

    /// The number as C carries it; 1 is the first.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A backend as it was ordered: what does not come from counting or observing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub id: BackendId,
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: Address,
    /// Its weight.
    pub weight: u32,
    /// What was ordered.
    pub admin: Admin,
}

/// Where a backend listens: `10.0.0.1:80`, `[2001:db8::1]:80`, `unix:/run/app.sock` or `unix:@abstract`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Inet(SocketAddr),
    /// The path of a unix socket; a leading `@` means the abstract name space.
    Unix(Arc<str>),
}

/// The longest path of a unix socket, in bytes: `sun_path` less its closing NUL.
pub const UNIX_PATH_MAX: usize = 107;

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.trim_start_matches('@').is_empty() {
                return Err(Error::invalid("address", format!("{text:?} names no path after unix:")));
            }
            if path.len() > UNIX_PATH_MAX {
                return Err(Error::invalid(
                    "address",
                    format!("the unix path has {} bytes; the system takes {UNIX_PATH_MAX}", path.len()),
                ));
            }
            if path.contains('\0') {
                return Err(Error::invalid("address", "the unix path holds a NUL byte"));
            }
            return Ok(Address::Unix(path.into()));
        }
        let address: SocketAddr = text.parse().map_err(|_| Error::invalid("address", hint(text)))?;
        if address.port() == 0 {
            return Err(Error::invalid("address", format!("{text:?} has port 0; nothing listens there")));
        }
        Ok(Address::Inet(address))
    }
}

/// Says what about `text` keeps it from being an address.
fn hint(text: &str) -> String {
    const MAX_SHOWN: usize = 60;
    let shown: String = text.chars().take(MAX_SHOWN).collect();
    let form = "ip:port, [ipv6]:port or unix:/path";
    if text.parse::<std::net::IpAddr>().is_ok() {
        return if text.contains(':') {
            format!("{shown:?} has no port; write [{shown}]:80")
        } else {
            format!("{shown:?} has no port; write {shown}:80")
        };
    }
    if text.trim() != text {
        return format!("{shown:?} has blanks around it; expected {form}");
    }
    if let Some((host, port)) = text.rsplit_once(':') {
        if port.parse::<u16>().is_err() {
            return format!("{shown:?} has no port from 1 to 65535 after the last colon; expected {form}");
        }
        if host.parse::<std::net::Ipv6Addr>().is_ok() {
            return format!("{shown:?} is IPv6; write [{host}]:{port}");
        }
        if !host.is_empty() && host.chars().any(char::is_alphabetic) {
            return format!("{shown:?} names a host; a pool takes resolved addresses: {form}");
        }
    }
    format!("{shown:?} is not an address; expected {form}")
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Inet(address)
    }
}

/// What an operator ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admin {
    /// May be picked.
    #[default]
    Ready,
    /// No new picks; what is in flight goes on.
    Drain,
    /// Out of service.
    Maintenance,
}

impl Admin {
    /// Every order with its name in configuration, in JSON and in events.
    pub const NAMES: [(&'static str, Admin); 3] =
        [("ready", Admin::Ready), ("drain", Admin::Drain), ("maintenance", Admin::Maintenance)];

    /// The name in configuration.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, admin)| *admin == self);
        found.map(|(name, _)| *name).expect("NAMES holds every order")
    }
}

/// What probes or traffic showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// Answers.
    Up,
    /// Does not answer.
    Down,
    /// Set aside for a while because of its failures.
    Ejected,
}

/// Whether a backend in these two states may be picked: the table at the head of this file.
pub const fn is_usable(admin: Admin, observed: Observed) -> bool {
    matches!((admin, observed), (Admin::Ready, Observed::Up | Observed::Unknown))
}

/// A backend to add to a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Where it listens; unique in the pool.
    pub address: Address,
    /// Its name, unique in the pool; the address when `None`. 1 to 255 bytes.
    pub name: Option<String>,
    /// Its share relative to the others: 1 (default) to 65,535.
    pub weight: u32,
    /// The most picks in flight; 0 (default) for no limit.
    pub maxconn: u32,
    /// The most picks a second; 0 (default) for no limit. Needs the time of every pick.
    pub connection_rate: u32,
    /// How many of them may come at once; 0 (default) for one second's.
    pub connection_burst: u32,
    /// 0 (default) serves; 1 and up stand by, and serve when no lower tier has a usable backend.
    pub tier: u8,
    /// The owner's own number for it, handed out with each pick. Default 0.
    pub tag: u64,
    /// What the operator ordered. Default ready.
    pub admin: Admin,
    /// What was observed. Default unknown.
    pub observed: Observed,
}

impl Backend {
    /// A backend at `address` with the defaults.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            name: None,
            weight: 1,
            maxconn: 0,
            connection_rate: 0,
            connection_burst: 0,
            tier: 0,
            tag: 0,
            admin: Admin::Ready,
            observed: Observed::Unknown,
        }
    }

    /// Parses `address`.
    pub fn parse(address: &str) -> Result<Self> {
        Ok(Self::new(address.parse()?))
    }
}

/// The longest name, in bytes.
pub const NAME_MAX: usize = 255;

pub(crate) fn check_weight(weight: u32) -> Result<()> {
    match weight {
        1..=WEIGHT_MAX => Ok(()),
        0 => Err(Error::invalid(
            "weight",
            format!("0 is outside 1 to {WEIGHT_MAX}; to give it no new traffic, drain the backend"),
        )),
        _ => Err(Error::invalid("weight", format!("{weight} is outside 1 to {WEIGHT_MAX}"))),
    }
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(Error::invalid("name", format!("it has {} bytes; 1 to {NAME_MAX} fit", name.len())));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid("name", "it holds a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print_the_same() {
        for text in [
            "10.0.0.1:80",
            "[2001:db8::1]:8080",
            "[fe80::1%3]:80",
            "unix:/run/app.sock",
            "unix:@app",
            "127.0.0.1:65535",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        let long = format!("unix:/{}", "x".repeat(UNIX_PATH_MAX));
        for (text, part) in [
            ("", "expected ip:port"),
            ("10.0.0.1", "write 10.0.0.1:80"),
            ("::1", "write [::1]:80"),
            ("2001:db8::1:80", "write ["),
            ("10.0.0.1:", "no port from 1 to 65535"),
            ("10.0.0.1:70000", "no port from 1 to 65535"),
            ("10.0.0.1:0", "port 0"),
            ("10.0.0:80", "is not an address"),
            (" 10.0.0.1:80", "blanks"),
            ("app.internal:80", "names a host"),
            ("unix:", "names no path"),
            ("unix:@", "names no path"),
            ("unix:/a\0b", "NUL"),
            (long.as_str(), "108 bytes"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            let Error::InvalidArgument { what: "address", .. } = error else { panic!("{error:?}") };
            assert!(error.to_string().contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_truth_table() {
        use Admin::*;
        use Observed::*;
        for admin in [Ready, Drain, Maintenance] {
            for observed in [Up, Unknown, Down, Ejected] {
                let picked = admin == Ready && (observed == Up || observed == Unknown);
                assert_eq!(is_usable(admin, observed), picked, "{admin:?} {observed:?}");
            }
        }
    }

    #[test]
    fn weights_and_names_at_their_limits() {
        assert!(check_weight(1).is_ok() && check_weight(65_535).is_ok());
        assert!(check_weight(0).unwrap_err().to_string().contains("drain"));
        assert!(check_weight(65_536).is_err());
        assert!(check_name(&"n".repeat(255)).is_ok() && check_name(&"n".repeat(256)).is_err());
        assert!(check_name("").is_err() && check_name("a\nb").is_err());
    }
}
