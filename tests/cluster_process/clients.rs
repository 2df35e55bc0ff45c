//! What clients of Redis are answered by the nodes of a cluster.

use crate::process::until;
use crate::support::Cluster;

#[test]
fn a_client_writes_and_reads_on_any_node() {
    let cluster = Cluster::start("");
    let primary = cluster.primary();
    for at in 0..3 {
        let mut client = cluster.connect(at);
        assert_eq!(client.ask(&format!("SET key {at}")).as_deref(), Some("+OK"));
        assert_eq!(client.ask("GET key"), Some(format!("$1|{at}")), "who wrote sees it");
        assert_eq!(client.ask("SET short 1 EX 100").as_deref(), Some("+OK"));
        let left = client.ask("TTL short").unwrap();
        assert!([":99", ":100"].contains(&left.as_str()), "{left}");
    }
    let mut client = cluster.connect(primary);
    assert_eq!(client.ask("SET key wait").as_deref(), Some("+OK"));
    assert_eq!(client.ask("WAIT 2 0").as_deref(), Some(":2"));
    let replica = (primary + 1) % 3;
    let mut client = cluster.connect(replica);
    until("it knows where the primary is", || {
        let role = client.ask("ROLE").unwrap();
        role.contains("slave") && role.contains(&cluster.resp(primary).ip().to_string())
    });
    let told = client.ask("SENTINEL get-master-addr-by-name trimtab").unwrap();
    assert!(told.contains(&cluster.resp(primary).ip().to_string()) && told.contains("6379"), "{told}");
    let info = client.ask("INFO replication").unwrap();
    assert!(info.contains("role:slave") && info.contains("master_link_status:up"), "{info}");
}

#[test]
fn a_node_that_does_not_forward_is_read_only() {
    let cluster = Cluster::start("forward = false");
    let primary = cluster.primary();
    let mut replica = cluster.connect((primary + 1) % 3);
    let refused = replica.ask("SET key 1").unwrap();
    assert!(refused.starts_with("-READONLY "), "{refused}");
    assert_eq!(cluster.connect(primary).ask("SET key 1").as_deref(), Some("+OK"));
    until("it follows", || replica.ask("GET key").as_deref() == Some("$1|1"));
}

/// `WAITAOF` counts this node's disk and those of the others, which know of the write by then.
#[test]
fn what_is_on_disks_is_counted() {
    let mut cluster = Cluster::start("durability = \"local\"");
    let mut primary = cluster.primary();
    let mut client = cluster.connect(primary);
    for round in 0..20 {
        until("it is on all disks", || {
            assert_eq!(client.ask(&format!("SET key {round}")).as_deref(), Some("+OK"));
            let told = client.ask("WAITAOF 1 2 0").expect("an answer");
            if told.starts_with("-UNBLOCKED ") || told.starts_with("-ERR this node is not primary") {
                // On a machine that has more to do another one may take over.
                primary = cluster.primary();
                client = cluster.connect(primary);
                return false;
            }
            assert_eq!(told, "*2|:1|:2");
            true
        });
    }
    let replica = (primary + 1) % 3;
    assert_eq!(client.ask("WAITAOF 0 1 0").as_deref(), Some("*2|:1|:2"), "no less than there is");
    // A node that is not primary knows of its own disk, and that what is committed is on most.
    let mut other = cluster.connect(replica);
    assert_eq!(other.ask("SET other 1").as_deref(), Some("+OK"));
    assert_eq!(other.ask("WAITAOF 1 1 0").as_deref(), Some("*2|:1|:1"));
    assert_eq!(other.ask("WAIT 1 0").as_deref(), Some(":1"));
    assert_eq!(other.ask("WAIT 2 100").as_deref(), Some(":1"), "more is not known here");
    let refused = client.ask("WAITAOF 2 0 100").unwrap();
    assert!(refused.starts_with("-ERR"), "there is one disk here: {refused}");
    // One is gone: there is one less, and who asks for it is told what there is when the time is over.
    cluster.kill(replica);
    assert_eq!(client.ask("SET key last").as_deref(), Some("+OK"));
    assert_eq!(client.ask("WAITAOF 1 1 0").as_deref(), Some("*2|:1|:1"));
    assert_eq!(client.ask("WAITAOF 1 2 300").as_deref(), Some("*2|:1|:1"));
    cluster.start_node(replica);
    assert_eq!(client.ask("WAITAOF 1 2 0").as_deref(), Some("*2|:1|:2"), "it has caught up");
}

#[test]
fn what_is_published_on_one_node_is_heard_on_all() {
    let cluster = Cluster::start("");
    cluster.primary();
    for at in 0..3 {
        let mut client = cluster.connect(at);
        until("its links are up", || {
            let told = client.ask("SENTINEL sentinels trimtab").unwrap();
            told.matches("runid").count() == 2 && !told.contains("disconnected")
        });
    }
    let mut subscribers: Vec<_> = (0..3).map(|at| cluster.connect(at)).collect();
    for (at, subscriber) in subscribers.iter_mut().enumerate() {
        assert!(subscriber.ask("SUBSCRIBE news").unwrap().contains("subscribe"));
        // Its node counts it alone, and so does each.
        assert!(at != 2 || subscriber.ask("PSUBSCRIBE n*").unwrap().contains("psubscribe"));
    }
    for at in 0..3 {
        let mut publisher = cluster.connect(at);
        for number in 0..50 {
            let here = if at == 2 { ":2" } else { ":1" };
            assert_eq!(publisher.ask(&format!("PUBLISH news {at}.{number:02}")).as_deref(), Some(here));
        }
        for (node, subscriber) in subscribers.iter_mut().enumerate() {
            for number in 0..50 {
                let expected = format!("*3|$7|message|$4|news|$4|{at}.{number:02}");
                assert_eq!(subscriber.answer(), Some(expected), "in their order, each once");
                if node == 2 {
                    assert!(subscriber.answer().unwrap().contains("pmessage"));
                }
            }
        }
    }
}

/// The listener that splits reads from writes, and the pool of the store's nodes, are told of the cluster too, before any
/// client is: what is published is not for them.
#[test]
fn what_is_published_is_heard_beside_a_pool_of_the_nodes() {
    let cluster = Cluster::start_splitting(
        "[[listener]]\nname = \"pooled\"\nbind = \"ADDRESS:6500\"\npool = \"any\"\n\
         [[pool]]\nname = \"any\"\nstore = { role = \"any\" }",
    );
    cluster.primary();
    let mut subscribers: Vec<_> = (0..4).map(|at| cluster.connect(at)).collect();
    for (at, subscriber) in subscribers.iter_mut().enumerate() {
        until("its links are up", || {
            let told = subscriber.ask("SENTINEL sentinels trimtab").unwrap();
            told.matches("runid").count() == 3 && !told.contains("disconnected")
        });
        assert!(subscriber.ask("SUBSCRIBE news").unwrap().contains("subscribe"), "{at}");
    }
    for at in 0..4 {
        assert_eq!(cluster.connect(at).ask(&format!("PUBLISH news {at}")).as_deref(), Some(":1"));
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.answer(), Some(format!("*3|$7|message|$4|news|$1|{at}")));
        }
    }
}

/// Commands that read and then write are made up on the node they came to, and decided where the log is.
#[test]
fn what_several_change_on_different_nodes_is_all_there() {
    let cluster = Cluster::start("");
    cluster.primary();
    const ROUNDS: usize = 60;
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let mut connection = cluster.connect(client % 3);
            std::thread::spawn(move || {
                for _ in 0..ROUNDS {
                    let answer = connection.ask("HINCRBY hash field 1").unwrap();
                    assert!(answer.starts_with(':'), "{answer}");
                    let answer = connection.ask("INCR number").unwrap();
                    assert!(answer.starts_with(':'), "{answer}");
                    assert_eq!(connection.ask("MULTI").as_deref(), Some("+OK"));
                    assert_eq!(connection.ask("INCR a").as_deref(), Some("+QUEUED"));
                    assert_eq!(connection.ask("INCR b").as_deref(), Some("+QUEUED"));
                    let answer = connection.ask("EXEC").unwrap();
                    let numbers: Vec<&str> = answer.split('|').skip(1).collect();
                    assert!(numbers.len() == 2 && numbers[0] == numbers[1], "{answer}");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let all = 6 * ROUNDS;
    let mut client = cluster.connect(cluster.primary());
    assert_eq!(client.ask("HGET hash field"), Some(format!("${}|{all}", all.to_string().len())));
    for key in ["number", "a", "b"] {
        assert_eq!(client.ask(&format!("GET {key}")), Some(format!("${}|{all}", all.to_string().len())));
    }
}

/// A replica passes on what others would change too, one after the other.
#[test]
fn many_change_one_hash_on_a_replica() {
    let cluster = Cluster::start("");
    let primary = cluster.primary();
    let replica = (0..3).find(|at| *at != primary).expect("there are others");
    let (connections, rounds) = (30, 10);
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut client = cluster.connect(replica);
                for _ in 0..rounds {
                    let told = client.ask("HINCRBY hash f 1").expect("it is told");
                    assert!(told.starts_with(':'), "{told}");
                }
            });
        }
    });
    let sum = (connections * rounds).to_string();
    let told = cluster.connect(primary).ask("HGET hash f");
    assert_eq!(told, Some(format!("${}|{sum}", sum.len())));
}

#[test]
fn what_a_replica_passes_on_waits_for_room_in_its_order() {
    // However slow the machine is, the primary stays.
    let cluster =
        Cluster::start("uncommitted_bytes_max = \"64KiB\"\nelection_ticks = 200\nslow_flush = \"0s\"");
    let primary = cluster.primary();
    let value = "v".repeat(50_000);
    let clients: Vec<_> = (0..3)
        .flat_map(|node| (0..4).map(move |client| (node, client)))
        .map(|(node, client)| {
            let mut connection = cluster.connect(node);
            let value = value.clone();
            std::thread::spawn(move || {
                for round in 0..5 {
                    let row: Vec<String> =
                        (0..10).map(|number| format!("SET {node}:{client} {round}{number}{value}")).collect();
                    assert!(row.iter().all(|write| connection.say(write)));
                    for number in 0..10 {
                        assert_eq!(
                            connection.answer().as_deref(),
                            Some("+OK"),
                            "node {node}, write {number}"
                        );
                    }
                    let there = connection.ask(&format!("GETRANGE {node}:{client} 0 1"));
                    assert_eq!(there, Some(format!("$2|{round}9")), "node {node}");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(cluster.primary(), primary);
}
