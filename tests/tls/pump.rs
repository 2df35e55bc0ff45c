//! Two ends without sockets between them.

use trimtab::tls::{Client, Fault, Identity, Problem, Pump, Read, Roots, Server, Versions, WallTime};

use crate::certificates::{Authority, BOTH_USES, Issued, Wanted};
use crate::folder::Folder;

/// A day in 2026, whatever the machine's clock says.
pub(crate) const TODAY: WallTime = WallTime::Fixed(1_790_000_000);

pub(crate) fn identity(issued: &Issued) -> Identity {
    Identity::load(std::slice::from_ref(&issued.certificate), Some(&issued.key)).unwrap()
}

/// What two nodes are made with.
pub(crate) struct Nodes {
    pub(crate) client: Client,
    pub(crate) server: Server,
}

impl Nodes {
    fn with(client: (&Issued, &Authority), server: (&Issued, &Authority), time: WallTime) -> Self {
        let alpn: &[&[u8]] = &[b"test/1"];
        let roots = |authority: &Authority| Roots::load(&authority.ca).unwrap();
        let (client_roots, server_roots) = (roots(client.1), roots(server.1));
        Self {
            client: Client::new(&client_roots, Some(&identity(client.0)), alpn, Versions::Newest, time)
                .unwrap(),
            server: Server::new(&identity(server.0), Some(&server_roots), alpn, Versions::Newest, time)
                .unwrap(),
        }
    }

    fn good(folder: &Folder) -> Self {
        let authority = Authority::new(folder, "ca");
        let (first, second) = (authority.issue(folder, "db-1"), authority.issue(folder, "db-2"));
        Self::with((&first, &authority), (&second, &authority), TODAY)
    }

    pub(crate) fn pair(&self) -> (Pump, Pump) {
        (Pump::client(&self.client, "db-2").unwrap(), Pump::server(&self.server).unwrap())
    }
}

fn carry(from: &mut Pump, to: &mut Pump) -> Result<bool, Fault> {
    let mut bytes = Vec::new();
    let has_some = from.poll_transmit(&mut bytes);
    let mut rest = &bytes[..];
    to.handle_bytes(&mut rest)?;
    assert!(rest.is_empty(), "nobody reads here, and a handshake is small");
    Ok(has_some)
}

/// Carries until neither has anything to say: what became of the client and of the server.
fn shake(client: &mut Pump, server: &mut Pump) -> (Option<Fault>, Option<Fault>) {
    let (mut at_client, mut at_server) = (None, None);
    for _ in 0..20 {
        at_server = carry(client, server).err().or(at_server);
        at_client = carry(server, client).err().or(at_client);
    }
    (at_client, at_server)
}

fn read_all(pump: &mut Pump) -> (Vec<u8>, Read) {
    let (mut all, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        match pump.read(&mut buffer) {
            Read::Bytes(bytes) => all.extend_from_slice(&buffer[..bytes]),
            other => return (all, other),
        }
    }
}

#[test]
fn both_know_each_other_and_bytes_go_both_ways() {
    let folder = Folder::new();
    let (mut client, mut server) = Nodes::good(&folder).pair();
    // What is written before they have agreed goes when they have.
    assert_eq!(client.write(b"early"), 5);
    assert_eq!(shake(&mut client, &mut server), (None, None));
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!((client.alpn(), server.alpn()), (Some(&b"test/1"[..]), Some(&b"test/1"[..])));
    let (at_client, at_server) = (client.peer().unwrap(), server.peer().unwrap());
    assert_eq!(at_client.is_for("db-2"), Ok(()));
    assert_eq!(at_server.is_for("db-1"), Ok(()));
    assert!(at_server.is_for("db-2").unwrap_err().join(" ").contains("db-1"));
    assert_eq!(read_all(&mut server), (b"early".to_vec(), Read::Nothing));
    server.write(b"answer");
    server.close();
    carry(&mut server, &mut client).unwrap();
    assert_eq!(read_all(&mut client), (b"answer".to_vec(), Read::Closed));
    assert_eq!(client.handle_end(), Ok(()));
    assert_eq!(server.handle_end(), Err(Fault::Truncated), "the client said nothing");
}

#[test]
fn the_handshake_may_be_cut_at_every_byte() {
    let folder = Folder::new();
    let nodes = Nodes::good(&folder);
    let (mut client, mut server) = nodes.pair();
    // Byte by byte, it is the same handshake.
    for _ in 0..20 {
        for is_client in [true, false] {
            let (from, to) = if is_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
            let mut bytes = Vec::new();
            from.poll_transmit(&mut bytes);
            for byte in bytes {
                to.handle_bytes(&mut &[byte][..]).unwrap();
            }
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());

    // A connection that ends within it is one that failed, wherever it ends.
    let mut hello = Vec::new();
    nodes.pair().0.poll_transmit(&mut hello);
    for end in 0..hello.len() {
        let mut server = Pump::server(&nodes.server).unwrap();
        server.handle_bytes(&mut &hello[..end]).unwrap();
        assert_eq!(server.handle_end(), Err(Fault::Truncated), "{end}");
        assert!(server.peer().is_none());
    }
    let (mut client, mut server) = nodes.pair();
    let mut flight = Vec::new();
    carry(&mut client, &mut server).unwrap();
    server.poll_transmit(&mut flight);
    for end in 0..flight.len() {
        let mut other = Pump::client(&nodes.client, "db-2").unwrap();
        let mut hello = Vec::new();
        other.poll_transmit(&mut hello);
        // Another client's hello has other keys: up to the encrypted part it is the same, and then it is refused.
        let _ = other.handle_bytes(&mut &flight[..end]);
        assert!(other.handle_end().is_err(), "{end}");
    }
}

#[test]
fn certificates_of_each_wrong_kind_are_told_apart() {
    let folder = Folder::new();
    let (ours, other) = (Authority::new(&folder, "ca"), Authority::new(&folder, "other"));
    let as_wanted =
        |authority: &Authority, file: &str, wanted: Wanted<'_>| authority.issue_as(&folder, file, &wanted);
    let good = |file: &str| {
        as_wanted(&ours, file, Wanted { names: &["db-2"], years: (2020, 2200), usages: BOTH_USES })
    };
    let (first, second) = (good("first"), good("second"));
    let expired =
        as_wanted(&ours, "expired", Wanted { names: &["db-2"], years: (2020, 2025), usages: BOTH_USES });
    let future =
        as_wanted(&ours, "future", Wanted { names: &["db-2"], years: (2100, 2200), usages: BOTH_USES });
    let foreign = other.issue(&folder, "db-2");
    let named =
        as_wanted(&ours, "named", Wanted { names: &["db-3"], years: (2020, 2200), usages: BOTH_USES });
    let purpose = as_wanted(
        &ours,
        "purpose",
        Wanted { names: &["db-2"], years: (2020, 2200), usages: &BOTH_USES[1..] },
    );

    let of_server = |bad: &Issued| {
        let (mut client, mut server) = Nodes::with((&first, &ours), (bad, &ours), TODAY).pair();
        let (at_client, at_server) = shake(&mut client, &mut server);
        // The one who refuses says why, and the other is told by an alert.
        assert!(matches!(at_server, Some(Fault::Alert(_))), "{at_server:?}");
        at_client.unwrap()
    };
    let told = of_server(&expired);
    assert!(matches!(told, Fault::Certificate(Problem::Expired(Some(_)))), "{told:?}");
    assert_eq!(
        told.to_string(),
        "the other side's certificate expired on 2025-12-31; renew it, or set the clock right"
    );
    let told = of_server(&future);
    assert!(matches!(told, Fault::Certificate(Problem::NotYet(Some(_)))), "{told:?}");
    assert!(told.to_string().contains("before 2100-01-01"), "{told}");
    assert_eq!(of_server(&foreign), Fault::Certificate(Problem::UnknownIssuer));
    let told = of_server(&named);
    assert!(matches!(&told, Fault::Certificate(Problem::Name(names)) if names.len() == 1), "{told:?}");
    assert!(told.to_string().contains("db-3"), "{told}");
    assert_eq!(of_server(&purpose), Fault::Certificate(Problem::Purpose));

    let of_client = |bad: &Issued| {
        let (mut client, mut server) = Nodes::with((bad, &ours), (&second, &ours), TODAY).pair();
        let (at_client, at_server) = shake(&mut client, &mut server);
        assert!(matches!(at_client, Some(Fault::Alert(_))), "{at_client:?}");
        (at_server.unwrap(), at_client.unwrap().to_string())
    };
    let (told, there) = of_client(&expired);
    assert!(matches!(told, Fault::Certificate(Problem::Expired(_))), "{told:?}");
    assert!(there.contains("this side's certificate has expired"), "{there}");
    let (told, there) = of_client(&foreign);
    assert_eq!(told, Fault::Certificate(Problem::UnknownIssuer));
    assert!(there.contains("does not know the authority"), "{there}");

    // One that shows none.
    let roots = Roots::load(&ours.ca).unwrap();
    let bare = Client::new(&roots, None, &[b"test/1"], Versions::Newest, TODAY).unwrap();
    let mut client = Pump::client(&bare, "db-2").unwrap();
    let mut server = Nodes::with((&first, &ours), (&second, &ours), TODAY).pair().1;
    let (at_client, at_server) = shake(&mut client, &mut server);
    assert_eq!(at_server, Some(Fault::NoCertificate));
    assert!(at_client.unwrap().to_string().contains("wants a certificate"));
}

#[test]
fn time_is_what_it_is_told() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let (first, second) = (authority.issue(&folder, "db-1"), authority.issue(&folder, "db-2"));
    for (seconds, is_good) in [(1_500_000_000, false), (1_700_000_000, true), (7_300_000_000, false)] {
        let time = WallTime::Fixed(seconds);
        let (mut client, mut server) = Nodes::with((&first, &authority), (&second, &authority), time).pair();
        assert_eq!(shake(&mut client, &mut server) == (None, None), is_good, "{seconds}");
    }
}

#[test]
fn other_protocols_and_no_tls_at_all_are_told_apart() {
    let folder = Folder::new();
    let nodes = Nodes::good(&folder);
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"trimpeer\0\0\0\0\0\0\0\0"] {
        let mut server = Pump::server(&nodes.server).unwrap();
        assert_eq!(server.handle_bytes(&mut &bytes[..]), Err(Fault::NotTls));
        // For good.
        assert_eq!(server.handle_bytes(&mut &b"more"[..]), Err(Fault::NotTls));
        assert_eq!(server.handle_end(), Err(Fault::NotTls));
    }
    let authority = Authority::new(&folder, "other-ca");
    let roots = Roots::load(&authority.ca).unwrap();
    let other = Client::new(&roots, None, &[b"h2"], Versions::Both, TODAY).unwrap();
    let (mut client, mut server) =
        (Pump::client(&other, "db-2").unwrap(), Pump::server(&nodes.server).unwrap());
    let (at_client, at_server) = shake(&mut client, &mut server);
    assert!(matches!(at_server, Some(Fault::NothingInCommon(_))), "{at_server:?}");
    assert_eq!(at_client, Some(Fault::Alert(120)));
    assert!(Pump::client(&nodes.client, "not a name").is_err());
}

#[test]
fn a_reader_that_does_not_read_and_a_writer_that_does_not_send_are_bounded() {
    let folder = Folder::new();
    let (mut client, mut server) = Nodes::good(&folder).pair();
    shake(&mut client, &mut server);
    // It takes what it can hold, and no more until that has been sent.
    let big = vec![7; 1 << 20];
    let taken = client.write(&big);
    assert!(taken > 0 && taken <= 128 << 10, "{taken}");
    assert_eq!(client.write(&big), 0);
    let mut sent = taken;
    let mut wire = Vec::new();
    while sent < big.len() {
        client.poll_transmit(&mut wire);
        sent += client.write(&big[sent..]);
    }
    client.poll_transmit(&mut wire);
    // Nothing is read: it takes a record or two, and leaves the rest to whoever carries.
    let mut rest = &wire[..];
    for _ in 0..100 {
        server.handle_bytes(&mut rest).unwrap();
    }
    assert!(wire.len() - rest.len() <= 64 << 10, "{}", wire.len() - rest.len());
    let mut all = Vec::new();
    while all.len() < big.len() {
        let (some, _) = read_all(&mut server);
        all.extend(some);
        server.handle_bytes(&mut rest).unwrap();
    }
    assert!(all == big && rest.is_empty());
}

#[test]
fn each_flipped_byte_of_a_record_is_found() {
    let folder = Folder::new();
    let nodes = Nodes::good(&folder);
    let (mut client, mut server) = nodes.pair();
    shake(&mut client, &mut server);
    client.write(b"a vote");
    let mut record = Vec::new();
    client.poll_transmit(&mut record);
    for at in 0..record.len() {
        let (mut client, mut server) = nodes.pair();
        shake(&mut client, &mut server);
        client.write(b"a vote");
        let mut record = Vec::new();
        client.poll_transmit(&mut record);
        record[at] ^= 1;
        let failed = server.handle_bytes(&mut &record[..]);
        let mut buffer = [0; 64];
        // A length that became longer waits for more. The first three bytes say what all records say, and are not read.
        match server.read(&mut buffer) {
            Read::Bytes(bytes) => assert!(at < 3 && buffer[..bytes] == *b"a vote", "{at}"),
            other => {
                assert!(other == Read::Nothing && (failed.is_err() || at == 3 || at == 4), "{at}: {failed:?}")
            }
        }
    }
}
