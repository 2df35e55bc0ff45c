//! Clients on several loops, told and ended from any of them.

use crate::process::until;
use crate::support::Served;

/// The values of a field of `CLIENT LIST`, one for each line.
fn field(listed: &str, name: &str) -> Vec<String> {
    let lines = listed.split('\n').filter_map(|line| Some(&line[line.find("id=")?..]));
    let value = |line: &str| {
        let fields = line.split(' ').filter_map(|field| field.split_once('='));
        fields.filter(|(field, _)| *field == name).map(|(_, value)| value.to_owned()).next()
    };
    lines.map(|line| value(line).expect("each line has it")).collect()
}

#[test]
fn all_clients_are_told_and_ended_whatever_loop_they_are_on() {
    let served = Served::start(4, "");
    let mut clients: Vec<_> = (0..24).map(|_| served.connect()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.ask(&format!("CLIENT SETNAME n{at}")), "+OK");
    }
    let ids: Vec<i64> = clients.iter_mut().map(|client| client.number("CLIENT ID")).collect();
    let mut names: Vec<String> = (0..24).map(|at| format!("n{at}")).collect();
    names.sort_unstable();
    for client in &mut clients {
        let listed = client.ask("CLIENT LIST");
        let mut told = field(&listed, "name");
        told.sort_unstable();
        assert_eq!(told, names);
        let own = served.address().to_string();
        assert!(field(&listed, "laddr").iter().all(|address| *address == own), "{listed}");
        assert_eq!(field(&client.ask("CLIENT INFO"), "cmd"), ["client|info"]);
    }
    // In the order asked for, and in a transaction with other commands.
    let listed = clients[0].ask(&format!("CLIENT LIST ID {} {} 999999 {}", ids[9], ids[4], ids[9]));
    assert_eq!(field(&listed, "name"), ["n9", "n4", "n9"]);
    for command in ["MULTI", "SET a 1", "CLIENT LIST", "INCR a", "CLIENT LIST TYPE normal", "PING"] {
        clients[1].ask(command);
    }
    let told = clients[1].ask("EXEC");
    assert!(told.starts_with("*5|+OK|$") && told.contains(":2|") && told.ends_with("|+PONG"), "{told}");
    assert_eq!(field(&told, "name").len(), 48);

    // Each by another of them, by its number or by its address.
    for at in 2..14 {
        let address = clients[at].0.get_ref().local_addr().unwrap();
        let command = match at % 3 {
            0 => format!("CLIENT KILL ID {}", ids[at]),
            1 => format!("CLIENT KILL ADDR {address} TYPE normal"),
            _ => format!("CLIENT KILL {address}"),
        };
        let answer = clients[at + 10].ask(&command);
        assert_eq!(answer, if at % 3 == 2 { "+OK" } else { ":1" });
        assert!(clients[at].is_ended(), "{at}");
        assert_eq!(field(&clients[at + 10].ask("CLIENT LIST"), "id").len(), 24 - (at - 1));
    }
    assert_eq!(clients[20].ask("CLIENT KILL 127.0.0.1:1"), "-ERR No such client");
    // Subscribers, wherever they are.
    for client in &mut clients[14..18] {
        client.ask("SUBSCRIBE news");
    }
    assert_eq!(clients[20].ask("CLIENT KILL TYPE pubsub"), ":4");
    assert_eq!(clients[20].number("PUBLISH news x"), 0);
    assert!(clients[14..18].iter_mut().all(|client| client.is_ended()));
    // All but itself, then itself, which is answered.
    assert_eq!(clients[20].ask("CLIENT KILL TYPE normal"), ":7");
    assert_eq!(clients[20].ask(&format!("CLIENT KILL ID {} SKIPME no", ids[20])), ":1");
    assert!(
        clients.iter_mut().enumerate().filter(|(at, _)| !(2..18).contains(at)).all(|(_, it)| it.is_ended())
    );
    until("all have gone", || served.status().clients.unwrap().present == 0);
}

/// Who asks and goes at once leaves nothing that others stumble over; who asks while the server ends is answered.
#[test]
fn questions_that_nobody_waits_for_and_the_end_are_survived() {
    let served = Served::start(3, "");
    for _ in 0..50 {
        let mut client = served.connect();
        client.say("CLIENT LIST");
        drop(client);
    }
    until("all have gone", || served.status().clients.unwrap().present == 0);
    let mut clients: Vec<_> = (0..9).map(|_| served.connect()).collect();
    for client in &mut clients {
        client.ask("PING");
        client.send(&crate::support::encoded(&[b"CLIENT", b"LIST"]).repeat(20));
    }
    served.server.drain(None).unwrap();
    for client in &mut clients {
        for _ in 0..20 {
            assert!(!field(&client.answer(), "id").is_empty());
        }
        assert!(client.is_ended());
    }
    served.end();
}
