//! [`Resolvers`]: who is asked, and how, as `/etc/resolv.conf` says it.
//!
//! Read as the C library reads it (`resolv.conf(5)`): what is not understood is passed over, for a file made
//! for another resolver must not stop this one. Where the two differ:
//!
//! | | C library | here |
//! |---|---|---|
//! | resolvers | the first 3 | the first [`SERVERS_MAX`] |
//! | search list | any length | the first [`SEARCH_MAX`] |
//! | neither `search` nor `domain` | the domain of the host's own name | no search list |
//! | blanks before a keyword | the line is passed over | taken |
//! | `#` or `;` behind a blank | begins a comment after `nameserver` only | begins a comment |
//! | `timeout` | halved and doubled by the number of resolvers and the round | for each try |
//! | `edns0` | off unless given | on |
//!
//! | line or option | unit | range | default |
//! |---|---|---|---|
//! | `nameserver` | | an address, IPv6 perhaps with `%scope` | 127.0.0.1 |
//! | `search`, `domain` | | names; the last such line counts | none |
//! | `ndots` | dots | 0 to 15 | 1 |
//! | `timeout` | seconds for one try | 1 to 30 | 5 |
//! | `attempts` | rounds through all resolvers | 1 to 5 | 2 |
//! | `rotate` | | | off: the first resolver first |
//! | `use-vc` | | | off: TCP only where UDP does not do |
//! | `no-aaaa` | | | off |
//!
//! As in the C library a number above its range means the end of the range, and so does one below.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use crate::discovery::domain::DomainName;
use crate::error::{Error, Result};

/// The most resolvers that are taken; the C library takes 3.
pub const SERVERS_MAX: usize = 8;
/// The most names of the search list that are taken.
pub const SEARCH_MAX: usize = 32;
/// The most that [`Resolvers::attempts`] can be.
pub const ATTEMPTS_MAX: u8 = 5;
/// The most that [`Resolvers::ndots`] can be.
pub const NDOTS_MAX: u8 = 15;

const PORT: u16 = 53;
const TIMEOUT_MAX: u64 = 30;

/// Who is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolvers {
    /// The resolvers, in the order in which they are tried: 1 to [`SERVERS_MAX`].
    pub servers: Vec<SocketAddr>,
    /// What names are completed with.
    pub search: Vec<DomainName>,
    /// A name with as many dots is asked for as it stands first: 0 to 15.
    pub ndots: u8,
    /// How long one try at one resolver may take: 1 to 30 seconds.
    pub timeout: Duration,
    /// How many times the resolvers are tried, all in a row each time: 1 to 5.
    pub attempts: u8,
    /// Whether each question begins at a resolver drawn at random, and not at the first.
    pub rotate: bool,
    /// Whether questions go over TCP from the start.
    pub tcp: bool,
    /// Whether UDP answers above 512 bytes are asked for (EDNS0). A resolver that does not know of that is
    /// asked again without.
    pub edns: bool,
    /// Whether AAAA records are not asked for, unless IPv6 alone is wanted.
    pub no_aaaa: bool,
}

/// Those of an empty file.
impl Default for Resolvers {
    fn default() -> Self {
        Self {
            servers: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))],
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            tcp: false,
            edns: true,
            no_aaaa: false,
        }
    }
}

impl Resolvers {
    /// Reads the text of a `resolv.conf`, which cannot fail. `scope` gives the number of a network interface by
    /// its name, for `fe80::1%eth0`; a resolver whose interface there is not is passed over.
    pub fn parse(text: &[u8], scope: impl Fn(&str) -> Option<u32>) -> Self {
        let mut read = Self { servers: Vec::new(), ..Self::default() };
        for line in text.split(|&byte| byte == b'\n') {
            // Whatever is no UTF-8 is in a comment, or in a word that is passed over.
            let line = String::from_utf8_lossy(line);
            let mut words = line.split_ascii_whitespace().take_while(|word| !word.starts_with(['#', ';']));
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| server(word, &scope));
                    read.servers.extend(server.filter(|_| read.servers.len() < SERVERS_MAX));
                }
                Some("domain") => read.search = search(words.take(1)),
                Some("search") => read.search = search(words),
                Some("options") => words.for_each(|word| read.option(word)),
                _ => {}
            }
        }
        if read.servers.is_empty() {
            read.servers = Self::default().servers;
        }
        read
    }

    /// Refuses what is out of range, for those that were not read from a file: `InvalidArgument` that names the
    /// field.
    pub fn check(&self) -> Result<()> {
        let seconds = self.timeout.as_secs_f64();
        for (what, value, range) in [
            ("servers", self.servers.len() as f64, 1..=SERVERS_MAX as u32),
            ("search", self.search.len() as f64, 0..=SEARCH_MAX as u32),
            ("ndots", f64::from(self.ndots), 0..=u32::from(NDOTS_MAX)),
            ("timeout", seconds, 1..=TIMEOUT_MAX as u32),
            ("attempts", f64::from(self.attempts), 1..=u32::from(ATTEMPTS_MAX)),
        ] {
            let (least, most) = range.into_inner();
            if !(f64::from(least)..=f64::from(most)).contains(&value) {
                return Err(Error::invalid(what, format!("{value} is outside {least} to {most}")));
            }
        }
        Ok(())
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        // A number too long for u64 is above every range; a sign or anything else is no number.
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| value.parse().unwrap_or(u64::MAX));
        match (name, number) {
            ("ndots", Some(number)) => self.ndots = clamped(number, 0, NDOTS_MAX),
            ("timeout", Some(number)) => self.timeout = Duration::from_secs(number.clamp(1, TIMEOUT_MAX)),
            ("attempts", Some(number)) => self.attempts = clamped(number, 1, ATTEMPTS_MAX),
            ("rotate", _) => self.rotate = true,
            ("use-vc", _) => self.tcp = true,
            ("no-aaaa", _) => self.no_aaaa = true,
            _ => {}
        }
    }
}

fn clamped(number: u64, least: u8, most: u8) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX).clamp(least, most)
}

fn server(word: &str, scope: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    // As in the C library a comment may follow without a blank.
    let word = &word[..word.find(['#', ';']).unwrap_or(word.len())];
    if let Ok(ip) = word.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, PORT));
    }
    let (ip, zone) = word.split_once('%')?;
    let ip = ip.parse::<Ipv6Addr>().ok()?;
    let scope = zone.parse().ok().or_else(|| scope(zone))?;
    Some(SocketAddr::V6(SocketAddrV6::new(ip, PORT, 0, scope)))
}

/// The names among `words`, each once.
fn search<'w>(words: impl Iterator<Item = &'w str>) -> Vec<DomainName> {
    let mut search: Vec<DomainName> = Vec::new();
    // `.` among them asks for the name as it stands, which is asked for anyway.
    for name in words.filter_map(|word| DomainName::parse(word).ok()) {
        if search.len() < SEARCH_MAX && !search.contains(&name) {
            search.push(name);
        }
    }
    search
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Resolvers {
        Resolvers::parse(text.as_bytes(), |zone| (zone == "eth0").then_some(7))
    }

    fn servers(text: &str) -> Vec<String> {
        parse(text).servers.iter().map(ToString::to_string).collect()
    }

    fn search_of(text: &str) -> Vec<String> {
        parse(text).search.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_usual_file_is_read() {
        let read = parse(
            "# made by something\n\
             domain example.org\n\
             search one.test Two.Test. \n\
             nameserver 10.0.0.53\n\
             nameserver\t2001:db8::53\n\
             options ndots:5 timeout:2 attempts:3 rotate use-vc edns0 trust-ad\n",
        );
        assert_eq!(read.servers, ["10.0.0.53:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()]);
        assert_eq!(read.search, ["one.test", "two.test"].map(|name| DomainName::parse(name).unwrap()));
        assert_eq!((read.ndots, read.timeout, read.attempts), (5, Duration::from_secs(2), 3));
        assert!(read.rotate && read.tcp && read.edns && !read.no_aaaa);
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        for text in ["", "\n\n", "# nameserver 10.0.0.1\n", ";nameserver 10.0.0.1", "nameserver\n", "\0\n"] {
            assert_eq!(parse(text), Resolvers::default(), "{text:?}");
        }
        assert_eq!(servers(""), ["127.0.0.1:53"]);
    }

    #[test]
    fn resolvers_of_every_form_are_taken_and_others_passed_over() {
        for (text, expected) in [
            ("nameserver 10.0.0.1 # the first", "10.0.0.1:53"),
            ("nameserver 10.0.0.1#the first", "10.0.0.1:53"),
            ("nameserver 10.0.0.1;", "10.0.0.1:53"),
            ("  nameserver   10.0.0.1\r", "10.0.0.1:53"),
            ("nameserver fe80::1%eth0", "[fe80::1%7]:53"),
            ("nameserver fe80::1%3", "[fe80::1%3]:53"),
            ("nameserver fe80::1%wlan9", "127.0.0.1:53"),
            ("nameserver 10.0.0.1%eth0", "127.0.0.1:53"),
            ("nameserver 10.0.0.256", "127.0.0.1:53"),
            ("nameserver dns.example", "127.0.0.1:53"),
            ("nameserver10.0.0.1", "127.0.0.1:53"),
            ("Nameserver 10.0.0.1", "127.0.0.1:53"),
            ("nameserver ::ffff:10.0.0.1", "[::ffff:10.0.0.1]:53"),
        ] {
            assert_eq!(servers(text), [expected], "{text:?}");
        }
        // The same twice is tried twice, as its owner asked.
        assert_eq!(servers("nameserver ::1\nnameserver ::1").len(), 2);
    }

    #[test]
    fn lists_stop_at_their_limits() {
        let many = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
        for (count, taken) in [(SERVERS_MAX, SERVERS_MAX), (SERVERS_MAX + 1, SERVERS_MAX), (300, SERVERS_MAX)]
        {
            let text = many(count, |n| format!("nameserver 10.0.{}.{}\n", n / 256, n % 256));
            assert_eq!(servers(&text).len(), taken);
            assert_eq!(servers(&text)[SERVERS_MAX - 1], "10.0.0.7:53");
        }
        for (count, taken) in [(SEARCH_MAX, SEARCH_MAX), (SEARCH_MAX + 1, SEARCH_MAX), (999, SEARCH_MAX)] {
            let text = format!("search {}", many(count, |n| format!("s{n} ")));
            assert_eq!(search_of(&text).len(), taken);
            assert_eq!(search_of(&text)[SEARCH_MAX - 1], "s31");
        }
    }

    #[test]
    fn the_last_search_or_domain_counts() {
        assert_eq!(search_of("search a b\ndomain c d\n"), ["c"]);
        assert_eq!(search_of("domain c\nsearch a b a A. # d"), ["a", "b"]);
        assert_eq!(search_of("search a\nsearch\n"), [""; 0]);
        assert_eq!(search_of("search . -x ok 10.0.0.1 bücher"), ["ok"]);
    }

    #[test]
    fn options_are_kept_within_their_ranges() {
        let read = |options: &str| {
            let read = parse(&format!("options {options}\n"));
            (read.ndots, read.timeout.as_secs(), read.attempts)
        };
        assert_eq!(read("ndots:0 timeout:0 attempts:0"), (0, 1, 1));
        assert_eq!(read("ndots:15 timeout:30 attempts:5"), (15, 30, 5));
        assert_eq!(read("ndots:16 timeout:31 attempts:6"), (15, 30, 5));
        let long = "9".repeat(100);
        assert_eq!(read(&format!("ndots:{long} timeout:{long} attempts:{long}")), (15, 30, 5));
        assert_eq!(read("ndots:x timeout:-1 attempts: ndots timeout:+1 attempts:1s"), (1, 5, 2));
        assert_eq!(read("ndots:3 ndots:4 debug inet6 # ndots:5"), (4, 5, 2));
        let flags = parse("options rotate:1 no-aaaa\noptions use-vc\n");
        assert!(flags.rotate && flags.no_aaaa && flags.tcp);
    }

    #[test]
    fn what_is_put_together_by_hand_is_checked() {
        let good = Resolvers::default();
        assert_eq!(good.check(), Ok(()));
        let server = good.servers[0];
        let name = DomainName::parse("a").unwrap();
        for (what, bad) in [
            ("servers", Resolvers { servers: Vec::new(), ..good.clone() }),
            ("servers", Resolvers { servers: vec![server; SERVERS_MAX + 1], ..good.clone() }),
            ("search", Resolvers { search: vec![name; SEARCH_MAX + 1], ..good.clone() }),
            ("ndots", Resolvers { ndots: 16, ..good.clone() }),
            ("timeout", Resolvers { timeout: Duration::from_millis(999), ..good.clone() }),
            ("timeout", Resolvers { timeout: Duration::from_millis(30_001), ..good.clone() }),
            ("attempts", Resolvers { attempts: 0, ..good.clone() }),
            ("attempts", Resolvers { attempts: 6, ..good }),
        ] {
            let told = bad.check().unwrap_err().to_string();
            assert!(told.starts_with(&format!("invalid {what}: ")), "{told}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_spoil_their_line_alone() {
        let read = Resolvers::parse(b"# \xff\xfe\nnameserver 10.0.\xff\nnameserver 10.0.0.2\n", |_| None);
        assert_eq!(read.servers, ["10.0.0.2:53".parse().unwrap()]);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_in_range(
            text in "((nameserver|search|domain|options) ?([a-z0-9.:%# -]|\\PC){0,30}\n?){0,40}"
        ) {
            let read = parse(&text);
            prop_assert!((1..=SERVERS_MAX).contains(&read.servers.len()) && read.search.len() <= SEARCH_MAX);
            prop_assert!(read.ndots <= NDOTS_MAX && (1..=ATTEMPTS_MAX).contains(&read.attempts));
            prop_assert!((1..=30).contains(&read.timeout.as_secs()));
            prop_assert_eq!(read.check(), Ok(()));
        }
    }
}
