//! Where to listen.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::balance::Address;
use crate::error::{Error, Result};
use crate::server::config::Bind;
use crate::server::config::suggest::shown;

const FORM: &str = "ip:port, [ipv6]:port, unix:/path or unix:@name";

/// What an address is for, as messages about one that is none have it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Listen,
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "the command connects"))]
    Connect,
}

impl FromStr for Bind {
    type Err = Error;

    /// Reads `0.0.0.0:80`, `[::]:80`, `unix:/run/web.sock` or `unix:@abstract`. Port 0 lets the system
    /// choose.
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text, Purpose::Listen)
    }
}

impl Bind {
    /// The same, for another purpose.
    pub(crate) fn parse(text: &str, purpose: Purpose) -> Result<Self> {
        if text.starts_with("unix:") {
            return match text.parse::<Address>() {
                Ok(Address::Unix(path)) => Ok(Bind::Unix(path)),
                Ok(Address::Inet(address)) => Ok(Bind::Inet(address)),
                Err(Error::InvalidArgument { detail, .. }) => Err(Error::invalid("bind", detail)),
                Err(other) => Err(other),
            };
        }
        match text.parse() {
            Ok(address) => Ok(Bind::Inet(address)),
            Err(_) => Err(Error::invalid("bind", why_not(text, purpose))),
        }
    }
}

/// Whether the system chooses the port, so that the same text twice means two places.
pub(super) fn is_port_chosen(bind: &Bind) -> bool {
    matches!(bind, Bind::Inet(address) if address.port() == 0)
}

/// Says what about `text` keeps it from being a place to listen.
fn why_not(text: &str, purpose: Purpose) -> String {
    let quoted = shown(text);
    let is_port = |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit());
    let every = |port: &str| match purpose {
        Purpose::Listen => format!("write 0.0.0.0:{port} or [::]:{port}"),
        Purpose::Connect => format!("write 127.0.0.1:{port} or [::1]:{port}"),
    };
    if let Some(port) = Some(text).filter(|port| is_port(port)) {
        return format!("{quoted} is a port alone; {}", every(port));
    }
    if let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| is_port(port)) {
        if host.is_empty() || host == "*" {
            return format!("{quoted} names no address; {}", every(port));
        }
        if host.parse::<Ipv6Addr>().is_ok() {
            return format!("{quoted} is IPv6 without brackets; write [{host}]:{port}");
        }
        if host == "localhost" {
            return format!("{quoted} is a host name; write 127.0.0.1:{port} or [::1]:{port}");
        }
        if is_host_name(host) {
            return format!("{quoted} is a host name; write the address it stands for: {FORM}");
        }
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => format!("{quoted} has no port; write {ip}:80"),
        Ok(IpAddr::V6(ip)) => format!("{quoted} has no port; write {}", SocketAddr::from((ip, 80))),
        Err(_) if text.trim() != text => format!("{quoted} has blanks around it; expected {FORM}"),
        Err(_) if text.contains("://") => format!("{quoted} is a URL; expected {FORM}"),
        Err(_) if text.starts_with('/') => format!("{quoted} is a path; write unix: before it"),
        Err(_) => match purpose {
            Purpose::Listen => format!("{quoted} is no address to listen on; expected {FORM}"),
            Purpose::Connect => format!("{quoted} is no address to connect to; expected {FORM}"),
        },
    }
}

/// Whether `text` looks like the name of a host rather than an address mistyped.
pub(super) fn is_host_name(text: &str) -> bool {
    text.chars().any(char::is_alphabetic)
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen_parse_and_print_the_same() {
        for text in [
            "0.0.0.0:80",
            "127.0.0.1:0",
            "[::]:8080",
            "[fe80::1%3]:80",
            "255.255.255.255:65535",
            "unix:/run/web.sock",
            "unix:run/web.sock",
            "unix:@web",
        ] {
            assert_eq!(text.parse::<Bind>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_none_is_told_why() {
        let long = format!("unix:/{}", "x".repeat(107));
        for (text, part) in [
            ("", "no address to listen on"),
            ("80", "write 0.0.0.0:80 or [::]:80"),
            (":80", "write 0.0.0.0:80 or [::]:80"),
            ("*:80", "write 0.0.0.0:80 or [::]:80"),
            ("+80", "no address to listen on"),
            ("127.0.0.1", "write 127.0.0.1:80"),
            ("::1", "write [::1]:80"),
            ("::1:80", "write [::1]:80"),
            ("[::1]", "no address to listen on"),
            ("localhost:80", "write 127.0.0.1:80 or [::1]:80"),
            ("web.example:80", "is a host name; write the address it stands for"),
            ("127.0.0.1:http", "no address to listen on"),
            ("127.0.0.1:65536", "no address to listen on"),
            ("127.0.0.256:80", "no address to listen on"),
            (" 127.0.0.1:80", "blanks"),
            ("http://127.0.0.1:80", "is a URL"),
            ("/run/web.sock", "write unix: before it"),
            ("unix:", "names no path"),
            ("unix:@", "names no path"),
            (long.as_str(), "108 bytes"),
            ("unix:/a\0b", "NUL"),
        ] {
            let error = text.parse::<Bind>().unwrap_err();
            let Error::InvalidArgument { what: "bind", .. } = error else { panic!("{error:?}") };
            assert!(error.to_string().contains(part), "{text:?}: {error}");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
        assert!("unix:/".parse::<Bind>().is_ok() && long[..long.len() - 1].parse::<Bind>().is_ok());
    }

    #[test]
    fn port_0_is_chosen_by_the_system() {
        for (text, chosen) in
            [("0.0.0.0:0", true), ("[::]:0", true), ("0.0.0.0:80", false), ("unix:@0", false)]
        {
            assert_eq!(is_port_chosen(&text.parse().unwrap()), chosen, "{text}");
        }
    }
}
