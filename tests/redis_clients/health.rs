//! Which node this is, over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use trimtab::proxy::options::Bind;
use trimtab::server::Server;

use crate::process::DEADLINE;
use crate::support::Served;

/// The status and the body.
pub(crate) fn get(server: &Server, path: &str) -> (u16, String) {
    let Ok(Some(Bind::Inet(address))) = server.health_address() else { panic!("it listens nowhere") };
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or_else(|| panic!("{answer}")), body.to_owned())
}

#[test]
fn a_store_of_its_own_is_primary_and_says_nothing_else() {
    let served = Served::start(2, "health = \"127.0.0.1:0\"");
    served.connect().ask("SET a 1");
    let (status, body) = get(&served.server, "/primary");
    assert!(
        status == 200 && body.contains("\"role\":\"primary\"") && body.contains("\"sequence\":1"),
        "{body}"
    );
    assert_eq!(get(&served.server, "/replica?lag=1s").0, 503);
    assert_eq!(get(&served.server, "/replica?lag=soon").0, 400);
    for path in ["/v1/status", "/v1/events", "/"] {
        assert_eq!(get(&served.server, path).0, 404, "{path}");
    }
    served.end();
}
