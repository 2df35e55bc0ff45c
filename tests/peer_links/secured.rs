//! Links over mutual TLS, and certificates that are not as they should be.

use std::time::Duration;

use trimtab::links::{Links, Notice, Setup};
use trimtab::peer::{Class, End, Reason, Security};

use crate::certificates::{Authority, BOTH_USES, Issued, Wanted};
use crate::folder::Folder;
use crate::support::{Node, name, setups, until};

fn tls(issued: &Issued, authority: &Authority) -> Security {
    Security::Tls {
        certificates: vec![issued.certificate.clone()],
        key: Some(issued.key.clone()),
        ca: authority.ca.clone(),
    }
}

/// Two nodes, each with a good certificate.
fn pair(folder: &Folder, authority: &Authority) -> (Setup, Setup) {
    let mut setups = setups(&["db-1", "db-2"]);
    for setup in &mut setups {
        setup.security = tls(&authority.issue(folder, setup.identity.name.as_str()), authority);
    }
    let second = setups.pop().unwrap();
    (setups.pop().unwrap(), second)
}

fn both_up(nodes: &mut [Node]) {
    until(nodes, "the link", |nodes| nodes[0].is_up("db-2") && nodes[1].is_up("db-1"));
}

#[test]
fn messages_of_all_sizes_go_both_ways() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let (first, second) = pair(&folder, &authority);
    let mut nodes = vec![Node::open(first), Node::open(second)];
    both_up(&mut nodes);
    let lengths = [1, 100, 16_371, 16_372, 16_373, 65_536, 1_000_000, 5_000_000];
    for (at, len) in lengths.iter().enumerate() {
        let class = Class::ALL[at % 3];
        nodes[0].links.send(&name("db-2"), class, vec![at as u8; *len]).unwrap();
        nodes[1].links.send(&name("db-1"), class, vec![at as u8; *len]).unwrap();
    }
    until(&mut nodes, "all messages", |nodes| nodes.iter().all(|node| node.messages.len() == lengths.len()));
    for node in &nodes {
        let mut seen: Vec<usize> = node.messages.iter().map(|(_, message)| message.bytes.len()).collect();
        seen.sort_unstable();
        assert_eq!(seen, lengths);
        for (_, message) in &node.messages {
            assert!(message.bytes.iter().all(|byte| *byte == message.bytes[0]));
        }
    }
    // The end is said within TLS, and heard.
    nodes[0].links.close(Duration::from_secs(10)).unwrap();
    until(&mut nodes[1..], "the end", |nodes| !nodes[0].is_up("db-1"));
    assert!(
        nodes[1].notices.contains(&Notice::Down { peer: name("db-1"), end: End::Left }),
        "{:?}",
        nodes[1].notices
    );
}

#[test]
fn a_certificate_that_nobody_would_take_is_refused_at_once() {
    let folder = Folder::new();
    let (authority, other) = (Authority::new(&folder, "ca"), Authority::new(&folder, "other"));
    let (good, _) = pair(&folder, &authority);
    let with = |security| Links::open(Setup { security, ..good.clone() }).err().expect("refused").to_string();
    let told = with(tls(&other.issue(&folder, "db-1"), &authority));
    assert!(told.contains("not signed by an authority"), "{told}");
    let told = with(tls(&authority.issue(&folder, "db-9"), &authority));
    assert!(told.contains("for db-9, and the node is db-1"), "{told}");
}

#[test]
fn a_node_of_another_authority_is_refused_by_both() {
    let folder = Folder::new();
    let (authority, other) = (Authority::new(&folder, "ca"), Authority::new(&folder, "other"));
    let (mut first, second) = pair(&folder, &authority);
    let wanted = Wanted { names: &["db-1"], years: (2020, 2200), usages: BOTH_USES };
    first.security = tls(&other.issue_as(&folder, "db-1-other", &wanted), &other);
    let mut nodes = vec![Node::open(first), Node::open(second)];
    until(&mut nodes, "both ends", |nodes| !nodes[0].failures().is_empty() && !nodes[1].refused().is_empty());
    let (first, second) = (nodes[0].failures()[0].to_string(), nodes[1].refused()[0].to_string());
    assert!(first.contains("is not signed by an authority in ca"), "{first}");
    assert!(second.contains("does not know the authority of this side's certificate"), "{second}");
}

#[test]
fn a_node_with_the_certificate_of_another_is_refused() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    // One for several names is good for each of them.
    let wanted = Wanted { names: &["db-0", "db-1"], years: (2020, 2200), usages: BOTH_USES };
    let (mut first, mut second) = pair(&folder, &authority);
    first.security = tls(&authority.issue_as(&folder, "two", &wanted), &authority);
    let mut nodes = vec![Node::open(first.clone()), Node::open(second.clone())];
    both_up(&mut nodes);
    drop(nodes);

    // The one that is dialled: not the node that the dialler meant, by its certificate.
    let wrong = authority.issue(&folder, "db-3");
    second.identity.name = name("db-3");
    second.security = tls(&wrong, &authority);
    let mut nodes = vec![Node::open(first.clone()), Node::open(second)];
    until(&mut nodes, "a failure", |nodes| !nodes[0].failures().is_empty());
    let told = nodes[0].failures()[0].to_string();
    assert!(told.contains("for another name") && told.contains("db-3"), "{told}");
}

/// A node's certificate is judged by the name that it gives itself: one that gives itself another's is refused, whatever
/// its own certificate is worth.
#[test]
fn a_dialler_that_gives_itself_the_name_of_another_is_refused() {
    use std::io::{Read as _, Write as _};

    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let (_, second) = pair(&folder, &authority);
    let address = second.listen.unwrap();
    let mut nodes = vec![Node::open(second)];
    // By hand: the certificate of db-0, the hello of db-1.
    let own = authority.issue(&folder, "db-0");
    let identity = trimtab::tls::Identity::load(&[own.certificate], Some(&own.key)).unwrap();
    let roots = trimtab::tls::Roots::load(&authority.ca).unwrap();
    let alpn: &[&[u8]] = &[b"trimtab-peer/1"];
    let (versions, time) = (trimtab::tls::Versions::Newest, trimtab::tls::WallTime::System);
    let client = trimtab::tls::Client::new(&roots, Some(&identity), alpn, versions, time).unwrap();
    let mut pump = trimtab::tls::Pump::client(&client, "db-2").unwrap();
    let hello = crate::hostile::hello_bytes("db-1", "db-2");
    pump.write(&hello);
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    until(&mut nodes, "the refusal", |nodes| {
        let mut out = Vec::new();
        pump.poll_transmit(&mut out);
        socket.write_all(&out).unwrap();
        let mut buffer = [0; 4_096];
        if let Ok(bytes) = socket.read(&mut buffer) {
            let _ = pump.handle_bytes(&mut &buffer[..bytes]);
        }
        !nodes[0].refused().is_empty()
    });
    let End::RefusedHere(why) = nodes[0].refused()[0] else { panic!("{:?}", nodes[0].refused()) };
    assert_eq!(why.reason, Reason::CertificateName);
    assert!(why.detail.contains("db-1 has a certificate for") && why.detail.contains("db-0"), "{why}");
}

#[test]
fn plaintext_and_tls_do_not_mix_and_both_are_told() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let (first, second) = pair(&folder, &authority);
    // The dialler speaks plaintext: it is told, in plaintext.
    let plain = Setup { security: Security::InsecurePlaintext, ..first.clone() };
    let mut nodes = vec![Node::open(plain), Node::open(second.clone())];
    until(&mut nodes, "both ends", |nodes| !nodes[0].failures().is_empty() && !nodes[1].refused().is_empty());
    for end in [nodes[0].failures()[0], nodes[1].refused()[0]] {
        let (End::Refused(why) | End::RefusedHere(why)) = end else { panic!("{end:?}") };
        assert_eq!(why.reason, Reason::TlsDemanded);
    }
    drop(nodes);
    // The one that is dialled does.
    let plain = Setup { security: Security::InsecurePlaintext, ..second };
    let mut nodes = vec![Node::open(first), Node::open(plain)];
    until(&mut nodes, "both ends", |nodes| !nodes[0].failures().is_empty() && !nodes[1].refused().is_empty());
    let (there, here) = (nodes[0].failures()[0].to_string(), nodes[1].refused()[0].to_string());
    assert!(there.contains("it speaks plaintext, and TLS is demanded here"), "{there}");
    assert!(here.contains("it speaks TLS, and peer_tls is \"insecure-plaintext\" here"), "{here}");
    // It is tried again, later than after a connection that was lost.
    assert!(nodes[0].failures()[0].is_refusal());
}

#[test]
fn certificates_are_renewed_while_links_stay() {
    let folder = Folder::new();
    let (old, new) = (Authority::new(&folder, "ca"), Authority::new(&folder, "new"));
    let (first, second) = pair(&folder, &old);
    let Security::Tls { certificates, key, ca } = first.security.clone() else { panic!("it is TLS") };
    let mut nodes = vec![Node::open(first), Node::open(second.clone())];
    both_up(&mut nodes);
    // Half a renewal is none: the certificate is there, and its key is not.
    let renewed = new.issue(&folder, "renewed");
    std::fs::copy(&renewed.certificate, &certificates[0]).unwrap();
    let told = nodes[0].links.reload().unwrap_err().to_string();
    assert!(told.contains("is not the key of the certificate"), "{told}");
    nodes.truncate(1);
    nodes.push(Node::open(second.clone()));
    both_up(&mut nodes);
    // Then all of it, on one node: the link stays, and a new one does not come about.
    let wanted = Wanted { names: &["db-1"], years: (2020, 2200), usages: BOTH_USES };
    let renewed = new.issue_as(&folder, "renewed", &wanted);
    std::fs::copy(&renewed.certificate, &certificates[0]).unwrap();
    std::fs::copy(&renewed.key, key.unwrap()).unwrap();
    let bundle = [&old.ca, &new.ca].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    std::fs::copy(&new.ca, &ca).unwrap();
    nodes[0].links.reload().unwrap();
    nodes[0].links.send(&name("db-2"), Class::Normal, b"on".to_vec()).unwrap();
    until(&mut nodes, "a message", |nodes| !nodes[1].messages.is_empty());
    nodes[1].links.close(Duration::from_secs(10)).unwrap();
    nodes.truncate(1);
    // Its files have the new authority alone, and its certificate is of the old one.
    let told = Links::open(second.clone()).err().expect("refused").to_string();
    assert!(told.contains("not signed by an authority"), "{told}");
    // With both authorities, both certificates are good.
    std::fs::write(&ca, bundle).unwrap();
    nodes[0].links.reload().unwrap();
    nodes.push(Node::open(second));
    both_up(&mut nodes);
}
