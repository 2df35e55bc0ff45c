//! Where the server is asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::cli::Failure;
use crate::cli::check;
use crate::error::Error;
use crate::server::config::{Bind, Purpose};

/// The variable that stands in for `--admin`.
const VARIABLE: &str = "TRIMTAB_ADMIN";

/// The address given, that of a configuration, or that of the environment.
pub(in crate::cli) fn choose(admin: Option<&str>, config: Option<&Path>) -> Result<Bind, Failure> {
    match (admin, config) {
        (Some(_), Some(_)) => Err(Failure::Misused(
            "--admin and --config both say where the server is; give one of them".into(),
        )),
        (Some(text), None) => parse(text).map_err(|why| Failure::Misused(format!("--admin: {why}"))),
        (None, Some(file)) => configured(file),
        (None, None) => match std::env::var_os(VARIABLE) {
            Some(text) if !text.is_empty() => parse(&text.to_string_lossy())
                .map_err(|why| Failure::Misused(format!("{VARIABLE} of the environment: {why}"))),
            _ => Err(Failure::Misused(format!(
                "nothing says where the server is; give --admin ADDRESS or --config FILE, or set {VARIABLE}"
            ))),
        },
    }
}

/// What the table `[admin]` of a configuration has.
fn configured(file: &Path) -> Result<Bind, Failure> {
    let config = check::load(file)?;
    let source = config.source;
    let Some(admin) = config.admin else {
        return Err(Failure::Failed(format!(
            "the configuration {source} has no [admin], so its server cannot be asked; add the table with bind"
        )));
    };
    reachable(admin.bind).map_err(|why| Failure::Failed(format!("[admin] of {source}: {why}")))
}

/// `unix:/path`, `/path`, `unix:@name`, `ip:port`; and the path of something that is there.
fn parse(text: &str) -> Result<Bind, String> {
    let is_path = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
    let parsed = |text: &str| Bind::parse(text, Purpose::Connect);
    let bind = match is_path {
        true => parsed(&format!("unix:{text}")),
        // A socket of a name that is an address is told from it by `./`.
        false => parsed(text).or_else(|error| match Path::new(text).exists() {
            true => parsed(&format!("unix:{text}")),
            false => Err(error),
        }),
    };
    match bind {
        Ok(bind) => reachable(bind),
        Err(Error::InvalidArgument { detail, .. }) => Err(detail.into_owned()),
        Err(other) => Err(other.to_string()),
    }
}

/// Where to connect to reach who listens on `bind`.
fn reachable(bind: Bind) -> Result<Bind, String> {
    let Bind::Inet(address) = bind else { return Ok(bind) };
    if address.port() == 0 {
        return Err(format!(
            "{address} lets the system choose the port; the event `started` tells which it is"
        ));
    }
    // Who listens on every address listens on the nearest.
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return Ok(bind),
    };
    Ok(Bind::Inet(SocketAddr::new(ip, address.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_they_are_written() {
        for (text, address) in [
            ("unix:/run/trimtab.sock", "unix:/run/trimtab.sock"),
            ("/run/trimtab.sock", "unix:/run/trimtab.sock"),
            ("./t.sock", "unix:./t.sock"),
            ("../t.sock", "unix:../t.sock"),
            ("unix:t.sock", "unix:t.sock"),
            ("unix:@trimtab", "unix:@trimtab"),
            ("127.0.0.1:9900", "127.0.0.1:9900"),
            ("[::1]:9900", "[::1]:9900"),
            ("0.0.0.0:9900", "127.0.0.1:9900"),
            ("[::]:9900", "[::1]:9900"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), address, "{text}");
        }
        // Tests run in the folder of the package, where this is.
        assert_eq!(parse("Cargo.toml").unwrap().to_string(), "unix:Cargo.toml");
        assert_eq!(parse("src/lib.rs").unwrap().to_string(), "unix:src/lib.rs");
        let long = format!("/{}", "x".repeat(107));
        for (text, part) in [
            ("localhost:9900", "write 127.0.0.1:9900"),
            ("127.0.0.1", "write 127.0.0.1:80"),
            ("127.0.0.1:0", "the event `started`"),
            ("http://127.0.0.1:9900", "is a URL"),
            ("9900", "write 127.0.0.1:9900"),
            (":9900", "write 127.0.0.1:9900"),
            ("nowhere.sock", "\"nowhere.sock\" is no address to connect to; expected ip:port"),
            ("", "expected ip:port"),
            (long.as_str(), "108 bytes"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
