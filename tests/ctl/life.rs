//! The end of a server, as it is ordered and watched.

use std::io::Read;

use crate::support::{Server, err, expect_echo};

/// Wherever the sessions are, the interface answers until the last is over.
#[test]
fn a_drain_is_watched_to_its_end() {
    let mut server = Server::start();
    let mut sessions: Vec<_> = (0..12).map(|_| server.relayed()).collect();
    sessions.iter_mut().for_each(|stream| expect_echo(stream, b"hello"));
    let told = server.good(&["drain", "--all", "--within", "1m"]);
    assert_eq!(told, "the server accepts nothing new, and ends when its sessions have\n");
    server.event("draining");
    while let Some(mut stream) = sessions.pop() {
        expect_echo(&mut stream, b"still served");
        drop(stream);
        if sessions.is_empty() {
            break;
        }
        let left = sessions.len();
        let status = server.until("one less", |status| status["totals"]["sessions"] == left);
        assert_eq!(status["state"], "draining");
    }
    assert!(server.wait().success());
}

#[test]
fn a_drain_cuts_what_has_not_ended_by_then() {
    let server = Server::start();
    let mut session = server.relayed();
    expect_echo(&mut session, b"hello");
    server.good(&["drain", "--all", "--within", "50ms"]);
    let ended = session.read(&mut [0; 16]);
    assert!(!matches!(ended, Ok(1..)), "{ended:?}");
    assert!(server.wait().success());
}

#[test]
fn a_stop_cuts_everything_and_is_answered() {
    let server = Server::start();
    let mut session = server.relayed();
    expect_echo(&mut session, b"hello");
    assert_eq!(server.good(&["stop"]), "the server ends\n");
    let ended = session.read(&mut [0; 16]);
    assert!(!matches!(ended, Ok(1..)), "{ended:?}");
    let (admin, path) = (server.admin.clone(), server.admin["unix:".len()..].to_string());
    let folder_goes_with_it = server.wait();
    assert!(folder_goes_with_it.success() && !std::path::Path::new(&path).exists());
    let output = crate::support::ctl(&["status", "--admin", &admin]);
    assert!(err(&output).contains("there is no socket at"), "{}", err(&output));
}

#[test]
fn json_orders_say_what_was_ordered() {
    let server = Server::start();
    assert_eq!(server.good(&["drain", "--all", "--json"]), "{\"ordered\":\"drain\"}\n");
    assert!(server.wait().success());
    let server = Server::start();
    assert_eq!(server.good(&["stop", "--json"]), "{\"ordered\":\"stop\"}\n");
    assert!(server.wait().success());
}
