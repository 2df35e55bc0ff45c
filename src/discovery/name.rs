//! [`Source`]: what a member's address may be, and under which names it is sought.
//!
//! | written | is | members |
//! |---|---|---|
//! | `10.0.0.1:80`, `[2001:db8::1]:80`, `unix:/path`, `unix:@name` | an address | itself, for ever |
//! | `app.example:80` | a host: A and AAAA records | each address, at that port |
//! | `srv:_http._tcp.example` | a service: SRV records | each address of each target, at the record's port |
//!
//! A name with a dot at its end is absolute. Any other is sought as the C library does: one with at least
//! `ndots` dots as it stands and then with each suffix of the search list, one with fewer the other way
//! round.

use std::fmt;
use std::str::FromStr;

use crate::balance::Address;
use crate::discovery::domain::DomainName;
use crate::error::{Error, Result, shown};

/// A name as it was given: absolute, or to be completed from the search list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GivenName {
    name: DomainName,
    is_absolute: bool,
}

/// What a member's address may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An address: no lookup is needed, and none is made.
    Fixed(Address),
    /// A name, whose members are looked up again and again.
    Watched(WatchedName),
}

/// A name with members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WatchedName {
    /// The A and AAAA records of a host, each with this port.
    Host {
        /// The host's name.
        name: GivenName,
        /// The port, 1 to 65,535.
        port: u16,
    },
    /// The SRV records of a service.
    Service {
        /// The service's name, such as `_http._tcp.example`.
        name: GivenName,
    },
}

impl GivenName {
    /// Reads `app`, `app.example` or `app.example.`.
    ///
    /// Errors: as of [`DomainName::parse`].
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self { name: DomainName::parse(text)?, is_absolute: text.ends_with('.') })
    }

    /// The name as it stands.
    pub fn name(&self) -> &DomainName {
        &self.name
    }

    /// The absolute names to ask for, one after the other until one is there. Never empty; suffixes with
    /// which the name would be too long are left out.
    pub fn candidates(&self, search: &[DomainName], ndots: u8) -> Vec<DomainName> {
        if self.is_absolute {
            return vec![self.name.clone()];
        }
        let mut candidates: Vec<DomainName> = Vec::with_capacity(search.len() + 1);
        let completed = search.iter().filter_map(|suffix| self.name.within(suffix));
        if self.name.labels_len() > usize::from(ndots) {
            candidates.push(self.name.clone());
            candidates.extend(completed);
        } else {
            candidates.extend(completed);
            candidates.push(self.name.clone());
        }
        candidates
    }
}

impl fmt::Display for GivenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.is_absolute { "." } else { "" })
    }
}

impl FromStr for Source {
    type Err = Error;

    /// Reads any of the forms at the head of this file.
    ///
    /// Errors: `InvalidArgument` named `address` that says what is wrong and what to write instead.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(name) = text.strip_prefix("srv:") {
            return service(text, name);
        }
        let error = match text.parse() {
            Ok(address) => return Ok(Source::Fixed(address)),
            Err(error) => error,
        };
        if text.starts_with("unix:") {
            return Err(error);
        }
        if text.contains("://") {
            return Err(invalid(format!("{} is a URL; write host:port", shown(text))));
        }
        let Some((host, digits)) = text.rsplit_once(':') else {
            return match DomainName::parse(text) {
                Ok(_) => Err(invalid(format!("{} has no port; write {text}:80", shown(text)))),
                Err(_) => Err(error),
            };
        };
        // What was meant to be an address is told as one.
        if host.is_empty() || host.contains([':', '[', ']']) || text.trim() != text {
            return Err(error);
        }
        let name = match GivenName::parse(host) {
            Ok(name) => name,
            Err(_) if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => return Err(error),
            Err(why) => return Err(invalid(why.into_detail())),
        };
        match digits.parse::<u16>() {
            // `+80` is a number, and no port.
            Ok(port @ 1..) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Source::Watched(WatchedName::Host { name, port }))
            }
            _ => Err(no_port(text)),
        }
    }
}

/// As it is written, in lower case.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Fixed(address) => address.fmt(f),
            Source::Watched(name) => name.fmt(f),
        }
    }
}

/// As it is written, in lower case.
impl fmt::Display for WatchedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WatchedName::Host { name, port } => write!(f, "{name}:{port}"),
            WatchedName::Service { name } => write!(f, "srv:{name}"),
        }
    }
}

fn service(text: &str, name: &str) -> Result<Source> {
    if let Some((host, port)) = name.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(host) = GivenName::parse(host)
    {
        let told = format!("{} has a port, which comes with the SRV records; write srv:{host}", shown(text));
        return Err(invalid(told));
    }
    match GivenName::parse(name) {
        Ok(name) => Ok(Source::Watched(WatchedName::Service { name })),
        Err(why) => Err(invalid(format!("{}; expected srv:_service._tcp.domain", why.into_detail()))),
    }
}

fn no_port(text: &str) -> Error {
    invalid(format!("{} has no port from 1 to 65535 after the last colon", shown(text)))
}

fn invalid(detail: String) -> Error {
    Error::invalid("address", detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(text: &str) -> Source {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_form_parses_and_prints_the_same() {
        for text in [
            "10.0.0.1:80",
            "[2001:db8::1]:8080",
            "unix:/run/app.sock",
            "unix:@app",
            "app:80",
            "app.example:80",
            "app.example.:65535",
            "my_app:1",
            "srv:_http._tcp.example",
            "srv:_http._tcp.example.",
            "srv:web.service.consul",
        ] {
            assert_eq!(source(text).to_string(), text);
        }
        assert!(matches!(source("10.0.0.1:80"), Source::Fixed(_)));
        assert!(matches!(source("app.example:80"), Source::Watched(WatchedName::Host { port: 80, .. })));
        assert!(matches!(source("srv:_http._tcp.example"), Source::Watched(WatchedName::Service { .. })));
    }

    #[test]
    fn what_is_none_is_told_why() {
        let long = format!("{}.example:80", "l".repeat(64));
        let longest = format!("srv:{}:80", "long.".repeat(1000));
        for (text, part) in [
            ("", "is not an address"),
            ("app", "has no port; write app:80"),
            ("app.example", "write app.example:80"),
            ("app:", "no port from 1 to 65535"),
            ("app:0", "no port from 1 to 65535"),
            ("app:65536", "no port from 1 to 65535"),
            ("app:http", "no port from 1 to 65535"),
            ("app:+80", "no port from 1 to 65535"),
            (":80", "is not an address"),
            ("10.0.0.1", "write 10.0.0.1:80"),
            ("10.0.0.256:80", "is not an address"),
            ("10.0.0:80", "is not an address"),
            ("::1", "write [::1]:80"),
            ("2001:db8::1:80", "write ["),
            ("[::1]", "expected ip:port"),
            (" app:80", "blanks"),
            ("app :80", "holds ' '"),
            ("http://app:80", "is a URL"),
            ("app_1.-x:80", "begins or ends with -"),
            ("bücher.example:80", "xn--"),
            (long.as_str(), "a label of 64 bytes"),
            ("srv:", "expected srv:_service._tcp.domain"),
            ("srv:_http._tcp.example:80", "write srv:_http._tcp.example"),
            ("srv:a b", "holds ' '"),
            ("srv:a\n:80", "holds '"),
            (longest.as_str(), "at most 253"),
            ("unix:", "names no path"),
        ] {
            let error = text.parse::<Source>().unwrap_err();
            let Error::InvalidArgument { what: "address", .. } = error else { panic!("{text:?}: {error:?}") };
            assert!(error.to_string().contains(part), "{text:?}: {error}");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            assert!(error.to_string().len() < 300, "{error}");
        }
    }

    #[test]
    fn names_are_completed_as_the_c_library_does() {
        let search: Vec<DomainName> =
            ["one.test", "two.test"].map(|suffix| DomainName::parse(suffix).unwrap()).to_vec();
        let candidates = |name: &str, ndots| -> Vec<String> {
            let given = GivenName::parse(name).unwrap();
            given.candidates(&search, ndots).iter().map(ToString::to_string).collect()
        };
        assert_eq!(candidates("app", 1), ["app.one.test", "app.two.test", "app"]);
        assert_eq!(candidates("app.x", 1), ["app.x", "app.x.one.test", "app.x.two.test"]);
        assert_eq!(candidates("app.x", 2), ["app.x.one.test", "app.x.two.test", "app.x"]);
        assert_eq!(candidates("app", 0), ["app", "app.one.test", "app.two.test"]);
        for ndots in [0, 1, 15] {
            assert_eq!(candidates("app.", ndots), ["app"]);
            assert_eq!(candidates("app.x.", ndots), ["app.x"]);
        }
        let long = ["l".repeat(60), "m".repeat(60), "n".repeat(60), "o".repeat(60)].join(".");
        assert_eq!(candidates(&long, 15), [format!("{long}.one.test"), format!("{long}.two.test"), long]);
        let longest = ["l".repeat(63), "m".repeat(63), "n".repeat(60), "o".repeat(60)].join(".");
        assert_eq!(candidates(&longest, 15), [longest]);
        assert_eq!(GivenName::parse("a").unwrap().candidates(&[], 15).len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_told(text in "\\PC{0,80}|(srv:|unix:)?[a-b0-1.:\\[\\]_-]{0,20}") {
            match text.parse::<Source>() {
                Ok(source) => {
                    let again: Source = source.to_string().parse().unwrap();
                    prop_assert_eq!(again, source);
                }
                Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
            }
        }
    }
}
