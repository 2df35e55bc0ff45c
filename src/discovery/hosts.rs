//! [`Hosts`]: the names of `/etc/hosts`, which come before DNS, as users expect.
//!
//! Read as `hosts(5)` says: an address, its name, more names; `#` begins a comment; a line that is none is
//! passed over. Case does not count. A name on several lines has all their addresses.
//!
//! `localhost` and names below it are this machine unless the file says otherwise, and are never asked of DNS
//! (RFC 6761, 6.3).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::discovery::domain::DomainName;

/// The most names that are taken from one text; what comes behind is passed over.
pub const NAMES_MAX: usize = 1 << 18;
/// The most addresses of one name.
pub const ADDRESSES_MAX: usize = 1024;

/// The names of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    names: BTreeMap<DomainName, Vec<IpAddr>>,
}

impl Hosts {
    /// Reads the text of a `hosts` file, which cannot fail.
    pub fn parse(text: &[u8]) -> Self {
        let mut names: BTreeMap<DomainName, Vec<IpAddr>> = BTreeMap::new();
        for line in text.split(|&byte| byte == b'\n') {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let mut words = line.split_ascii_whitespace();
            // With a scope it is no address that a name may have here.
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words.filter_map(|word| DomainName::parse(word).ok()) {
                if names.len() >= NAMES_MAX && !names.contains_key(&name) {
                    continue;
                }
                let addresses = names.entry(name).or_default();
                if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self { names }
    }

    /// The addresses of `name`, in the order of the text; empty when DNS is to be asked, which for `localhost`
    /// it never is.
    pub fn lookup(&self, name: &DomainName) -> &[IpAddr] {
        match self.names.get(name) {
            Some(addresses) => addresses,
            None if name.is_localhost() => &LOCALHOST,
            None => &[],
        }
    }
}

const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(text: &str, name: &str) -> Vec<String> {
        let hosts = Hosts::parse(text.as_bytes());
        hosts.lookup(&DomainName::parse(name).unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_have_the_addresses_of_all_their_lines() {
        let text = "127.0.0.1 localhost\n\
                    # 10.0.0.9 app\n\
                    10.0.0.2\tapp.example App # web\r\n\
                    2001:db8::2 app\n\
                    10.0.0.2 app\n\
                    10.0.0.3app\n\
                    10.0.0 app\n\
                    fe80::1%eth0 app\n\
                    10.0.0.4\n\
                    10.0.0.5 -bad good";
        assert_eq!(lookup(text, "APP"), ["10.0.0.2", "2001:db8::2"]);
        assert_eq!(lookup(text, "app.example."), ["10.0.0.2"]);
        assert_eq!(lookup(text, "good"), ["10.0.0.5"]);
        assert_eq!(lookup(text, "web"), [""; 0]);
        assert_eq!(lookup(text, "localhost"), ["127.0.0.1"]);
    }

    #[test]
    fn localhost_is_this_machine_without_a_file() {
        assert_eq!(lookup("", "localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(lookup("", "a.b.LocalHost"), ["127.0.0.1", "::1"]);
        for name in ["localhosts", "localhost.example", "nolocalhost"] {
            assert_eq!(lookup("", name), [""; 0]);
        }
    }

    #[test]
    fn what_is_no_text_spoils_its_line_alone() {
        let hosts = Hosts::parse(b"10.0.0.1 \xff app\n10.0.0.2 app # \xff\n");
        let app = DomainName::parse("app").unwrap();
        assert_eq!(hosts.lookup(&app), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn there_are_no_more_than_the_limits() {
        let mut text: String = (0..NAMES_MAX + 10).map(|n| format!("10.0.0.1 n{n}\n")).collect();
        text.push_str("10.0.0.2 n0\n");
        let hosts = Hosts::parse(text.as_bytes());
        assert_eq!(hosts.names.len(), NAMES_MAX);
        let has = |n: usize| hosts.lookup(&DomainName::parse(&format!("n{n}")).unwrap()).len();
        assert_eq!((has(0), has(NAMES_MAX - 1), has(NAMES_MAX)), (2, 1, 0));
        let text: String =
            (0..ADDRESSES_MAX + 1).map(|n| format!("10.0.{}.{} a\n", n / 256, n % 256)).collect();
        assert_eq!(lookup(&text, "a").len(), ADDRESSES_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(text in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Hosts::parse(&text).names.len() <= 200);
        }
    }
}
