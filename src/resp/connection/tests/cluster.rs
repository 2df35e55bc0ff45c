//! Connections of a node in a cluster.

use super::*;

/// Nodes a, b and c, the last without a vote: as the one numbered `own` sees them.
fn in_cluster(world: &mut World, own: usize, primary: Option<usize>) {
    let topology = crate::resp::topology::tests::three(own, primary);
    world.hub.set_topology(Arc::new(topology));
}

#[test]
fn a_replica_answers_reads_and_refuses_writes() {
    const READ_ONLY: &str = "-READONLY You can't write against a read only replica.";
    let options = Options { age_max: Some(Duration::from_secs(5)), ..Options::default() };
    let mut world = World::new(HubOptions::default(), options, 2);
    assert_eq!(world.ask(0, "READONLY"), "-ERR This instance has cluster support disabled");
    assert_eq!(world.ask(0, "SET k v"), "+OK");
    in_cluster(&mut world, 1, Some(0));
    world.store.sight = Sight::Past(Some(Duration::from_secs(1)));
    for write in ["SET k w", "INCR n", "DEL k", "HSET h a b", "FLUSHALL", "COPY k l"] {
        assert_eq!(world.ask(0, write), READ_ONLY, "{write}");
    }
    assert!(world.store.log.is_empty());
    assert_eq!(world.ask(0, "GET k\nMULTI\nGET k\nEXEC"), "$1 v +OK +QUEUED *1 $1 v");
    assert_eq!(
        world.ask(0, "MULTI\nSET k w\nGET k\nEXEC"),
        format!("+OK {READ_ONLY} +QUEUED -EXECABORT Transaction discarded because of previous errors.")
    );
    assert!(world.ask(0, "WAIT 1 10").starts_with("-ERR WAIT cannot be used with replica instances."));
    // Too old, or nobody knows how old: unless it was said that this does not matter.
    for sight in [Sight::Past(Some(Duration::from_secs(6))), Sight::Past(None)] {
        world.store.sight = sight;
        for read in ["GET k", "EXISTS k", "SCAN 0", "DBSIZE"] {
            let told = world.ask(0, read);
            assert!(told.starts_with("-MASTERDOWN Link with MASTER is down"), "{read}: {told}");
        }
        let told = world.ask(0, "MULTI\nGET k\nEXEC");
        assert!(told.starts_with("+OK +QUEUED -MASTERDOWN"), "{told}");
        assert_eq!(world.ask(0, "PING\nMULTI\nPING\nEXEC"), "+PONG +OK +QUEUED *1 +PONG");
        assert_eq!(world.ask(0, "READONLY\nGET k\nREADWRITE"), "+OK $1 v +OK");
    }
    assert!(world.ask(0, "CLIENT INFO").contains("flags=N"));
    assert!(world.ask(0, "READONLY\nCLIENT INFO").contains("flags=r"));
    // One that passes writes on takes them.
    let forwarding = Topology { forwards: true, ..crate::resp::topology::tests::three(1, Some(0)) };
    world.hub.set_topology(Arc::new(forwarding));
    assert_eq!(world.ask(0, "SET k w\nHSET h a b"), "+OK :1");
    // Not those of who goes to the primary himself: he has given them up, perhaps, by the time they are passed on.
    assert_eq!(
        world.ask(1, "TRIMTAB BOUND 0\nSET k x\nHSET h a c\nRESET\nSET k w"),
        format!("+OK {READ_ONLY} {READ_ONLY} +RESET +OK")
    );
    // A primary without its quorum.
    in_cluster(&mut world, 0, None);
    world.store.sight = Sight::Lapsed;
    assert_eq!(world.ask(1, "SET k x"), READ_ONLY);
    let lapsed = "-CLUSTERDOWN this primary has lost its quorum; ask again, or another node";
    for read in ["GET k", "SCAN 0", "MULTI\nGET k\nEXEC"] {
        world.send(1, read);
        assert!(world.connections[1].waits_for_log(), "{read}");
        world.store.sight = Sight::Whole;
        world.advance(1);
        let told = world.told(1);
        assert!(!told.contains(lapsed) && (told.contains('k') || read != "SCAN 0"), "{read}: {told}");
        world.store.sight = Sight::Lapsed;
        let commands = world.hub.counters().commands;
        world.send(1, read);
        world.now = world.now.saturating_add(2_999);
        world.advance(1);
        assert!(!world.told(1).contains(lapsed), "{read}");
        world.now = world.now.saturating_add(1);
        world.advance(1);
        assert!(world.told(1).ends_with(lapsed), "{read}");
        // What is queued counts with its EXEC.
        let count = if read.contains("EXEC") { 2 } else { 1 };
        assert_eq!(world.hub.counters().commands - commands, count, "{read} counts once");
    }
    // Whoever takes anything does not wait, and nobody does for a node that is not primary any more.
    assert_eq!(world.ask(0, "GET k"), "$1 w");
    world.send(1, "GET k");
    assert_eq!(world.told(1), "");
    world.store.sight = Sight::Past(Some(Duration::ZERO));
    world.advance(1);
    assert_eq!(world.told(1), "$1 w");
}

/// A node that hears late that it is primary, or loses its quorum for a moment, must not have a write overtake one that it has
/// refused: who goes to the primary by itself sends that again, and has sent more meanwhile.
#[test]
fn who_goes_to_the_primary_has_no_write_done_behind_one_that_was_refused() {
    const READ_ONLY: &str = "-READONLY You can't write against a read only replica.";
    let mut world = World::plain(3);
    let behind =
        "SET k w\nHSET h a b\nPUBLISH c m\nMULTI\nGET k\nEXEC\nMULTI\nPUBLISH c m\nEXEC\nGET k\nEXEC";
    let refused = format!(
        "{READ_ONLY} {READ_ONLY} {READ_ONLY} +OK +QUEUED {READ_ONLY} +OK {READ_ONLY} {READ_ONLY} $-1 \
         -ERR EXEC without MULTI"
    );
    for write in ["SET k v", "HSET h a v", "MULTI\nSET k v\nEXEC"] {
        in_cluster(&mut world, 1, Some(0));
        world.store.sight = Sight::Past(Some(Duration::ZERO));
        assert_eq!(world.ask(0, "RESET\nTRIMTAB BOUND 0"), "+RESET +OK");
        world.send(0, write);
        world.send(1, "SET k v");
        assert!(world.told(0).starts_with(READ_ONLY) || write.starts_with("MULTI"));
        in_cluster(&mut world, 1, Some(1));
        world.store.sight = Sight::Whole;
        assert_eq!(world.ask(0, behind), refused, "{write}");
        assert!(world.store.log.is_empty(), "{write}");
    }
    // It is over when it says so, and no concern of others.
    assert_eq!(world.told(1).matches(READ_ONLY).count(), 3);
    assert_eq!(world.ask(1, "SET j 1"), "+OK");
    assert_eq!(world.ask(0, "TRIMTAB BOUND 0\nHSET h a b"), "+OK :1");
    // Nor of who is a client itself: joined to one.
    in_cluster(&mut world, 1, Some(0));
    assert_eq!(world.ask(2, "TRIMTAB BOUND 0\nTRIMTAB BOUND -1\nSET k v"), format!("+OK +OK {READ_ONLY}"));
    in_cluster(&mut world, 1, Some(1));
    assert_eq!(world.ask(2, "SET k v"), "+OK");
}

#[test]
fn what_was_said_to_a_primary_of_before_is_not_done_by_the_same_node_as_primary_again() {
    const OUTLIVED: &str =
        "-READONLY this node has become primary since it was told TRIMTAB BOUND; nothing was done";
    let mut world = World::plain(2);
    in_cluster(&mut world, 1, Some(1));
    for (told, then) in [(Some(3), Some(5)), (None, Some(3))] {
        for (write, refused) in [
            ("SET k v", OUTLIVED.to_owned()),
            ("HSET h a v", OUTLIVED.to_owned()),
            ("PUBLISH c m", OUTLIVED.to_owned()),
            ("MULTI\nSET k v\nEXEC", format!("+OK {OUTLIVED} {OUTLIVED}")),
            ("MULTI\nGET k\nEXEC", format!("+OK +QUEUED {OUTLIVED}")),
        ] {
            world.store.reign = told;
            assert_eq!(world.ask(0, "RESET\nTRIMTAB BOUND 0"), "+RESET +OK");
            world.store.reign = then;
            assert_eq!(world.ask(0, write), refused, "{told:?}");
            // What came behind it goes where that goes, in its order.
            assert_eq!(world.ask(0, "GET k\nSET k w"), format!("$-1 {OUTLIVED}"));
            assert!(world.store.log.is_empty());
        }
    }
    // A transaction that was begun before, and one that has to be made up anew.
    world.store.reign = Some(7);
    assert_eq!(world.ask(0, "TRIMTAB BOUND 0\nMULTI\nSET k v"), "+OK +OK +QUEUED");
    world.store.reign = Some(9);
    assert_eq!(world.ask(0, "EXEC"), OUTLIVED);
    assert_eq!(world.ask(0, "TRIMTAB BOUND 0\nSET k 1"), "+OK +OK");
    world.store.follows = true;
    world.send(1, "SET k 2");
    world.send(0, "APPEND k 3");
    world.store.reign = Some(11);
    while world.apply() {}
    assert_eq!(world.told(0), OUTLIVED);
    assert_eq!(world.ask(0, "TRIMTAB BOUND 0\nAPPEND k 3"), "+OK :2");
}

#[test]
fn what_would_write_and_finds_nothing_to_change_waits_for_a_quorum() {
    let mut world = World::plain(2);
    in_cluster(&mut world, 0, Some(0));
    let lapsed = "-CLUSTERDOWN this primary has lost its quorum; ask again, or another node";
    for _ in 0..2 {
        world.store.sight = Sight::Lapsed;
        world.send(0, "HDEL nothere f");
        assert!(world.connections[0].waits_for_log());
        world.store.sight = Sight::Whole;
        world.advance(0);
        assert_eq!(world.told(0), ":0");
        world.store.sight = Sight::Lapsed;
        world.send(0, "HDEL nothere f");
        world.now = world.now.saturating_add(2_999);
        world.advance(0);
        assert_eq!(world.told(0), "");
        world.now = world.now.saturating_add(1);
        world.advance(0);
        assert_eq!(world.told(0), lapsed);
        // It waits, and then there is something to change.
        world.send(0, "HDEL late f");
        world.store.sight = Sight::Whole;
        world.ask(1, "HSET late f v");
        world.advance(0);
        while world.apply() {}
        assert_eq!(world.told(0), ":1");
        world.now = world.now.saturating_add(9_000);
    }
}

#[test]
fn how_far_a_replica_is_is_told_where_that_is_known() {
    let mut world = World::plain(1);
    let mut topology = crate::resp::topology::tests::three(1, Some(0));
    topology.nodes[2].sequence = None;
    world.hub.set_topology(Arc::new(topology));
    let replicas = world.ask(0, "SENTINEL replicas trimtab");
    let (own, other) = replicas[3..].split_once(" *22 ").expect("the other has a field less");
    assert!(own.starts_with("*24 ") && own.contains("$17 slave-repl-offset $3 101"), "{own}");
    assert!(other.contains("$4 7003") && !other.contains("offset"), "{other}");
}

#[test]
fn clients_find_the_primary_and_are_told_when_it_is_another() {
    let mut world = World::plain(3);
    assert_eq!(world.ask(0, "ROLE"), "*3 $6 master :0 *0");
    assert!(world.ask(0, "SENTINEL masters").starts_with("-ERR unknown command 'SENTINEL', with args"));
    in_cluster(&mut world, 0, Some(0));
    assert_eq!(
        world.ask(0, "ROLE"),
        "*3 $6 master :0 *2 *3 $8 10.0.0.1 $4 7002 $3 101 *3 $8 10.0.0.1 $4 7003 $3 102"
    );
    let info = world.ask(0, "INFO replication");
    for line in
        ["role:master", "connected_slaves:2", "slave1:ip=10.0.0.1,port=7003,state=online,offset=102,lag=0"]
    {
        assert!(info.contains(line), "{info}");
    }
    assert!(world.ask(0, "HELLO 2").contains("$4 role $6 master"));
    assert_eq!(world.ask(0, "SENTINEL get-master-addr-by-name trimtab"), "*2 $8 10.0.0.1 $4 7001");
    assert_eq!(world.ask(0, "SENTINEL GET-MASTER-ADDR-BY-NAME other"), "*-1");
    for sub in ["master", "replicas", "slaves", "sentinels", "ckquorum", "failover"] {
        let told = world.ask(0, &format!("SENTINEL {sub} other"));
        assert_eq!(told, "-ERR No such master with that name", "{sub}");
    }
    let masters = world.ask(0, "SENTINEL masters");
    assert!(masters.starts_with("*1 *20 $4 name $7 trimtab $2 ip $8 10.0.0.1 $4 port $4 7001"), "{masters}");
    assert!(masters.contains("$5 flags $6 master ") && masters.contains("$19 num-other-sentinels $1 2"));
    assert_eq!(masters[3..], world.ask(0, "SENTINEL master trimtab"));
    let replicas = world.ask(0, "SENTINEL replicas trimtab");
    assert!(replicas.starts_with("*2 *24 ") && replicas.contains("$13 10.0.0.1:7003"), "{replicas}");
    assert_eq!(replicas.matches("$14 slave-priority $3 100").count(), 1);
    assert!(replicas.contains("$17 slave-repl-offset $3 101") && replicas.contains("$3 102"), "{replicas}");
    assert_eq!(world.ask(0, "SENTINEL sentinels trimtab").matches("$8 sentinel").count(), 2);
    let told = world.ask(0, "SENTINEL ckquorum trimtab");
    assert_eq!(told, "+OK 2 usable Sentinels. Quorum and failover authorization can be reached");
    assert_eq!(world.ask(0, "SENTINEL reset trim*\nSENTINEL reset x"), ":1 :0");
    assert_eq!(world.ask(0, "SENTINEL is-master-down-by-addr 10.0.0.1 7001 0 *"), "*3 :0 $1 * :0");
    assert_eq!(world.ask(0, "SENTINEL is-master-down-by-addr 10.0.0.1 7002 0 *"), "*3 :1 $1 * :0");
    assert_eq!(world.ask(0, "SENTINEL failover trimtab"), "+OK");
    assert_eq!(world.hub.poll_order(), Some(crate::resp::Order::HandOver("b".into())));
    assert_eq!(world.ask(0, "SENTINEL NOPE"), "-ERR unknown subcommand 'NOPE'. Try SENTINEL HELP.");

    // The next one is primary: subscribers are told, and clients that write are dismissed.
    world.ask(1, "HELLO 3\nSUBSCRIBE +switch-master\nPSUBSCRIBE *down");
    in_cluster(&mut world, 0, None);
    assert_eq!(world.hub.poll_dismissed(), None, "it may be primary again in a moment");
    assert_eq!(world.ask(2, "SENTINEL get-master-addr-by-name trimtab"), "*-1");
    assert!(world.ask(2, "SENTINEL masters").contains("$20 master,s_down,o_down"));
    assert!(world.ask(2, "SENTINEL ckquorum trimtab").starts_with("-NOQUORUM 2 usable Sentinels."));
    assert_eq!(world.ask(2, "ROLE"), "*5 $5 slave $8 10.0.0.1 :7001 $7 connect :0");
    in_cluster(&mut world, 0, Some(1));
    world.deliver();
    let told = world.told(1);
    for part in [
        ">4 $8 pmessage $5 *down $6 +sdown $28 master trimtab 10.0.0.1 7001",
        ">3 $7 message $14 +switch-master $35 trimtab 10.0.0.1 7001 10.0.0.1 7002",
        ">4 $8 pmessage $5 *down $6 -odown $28 master trimtab 10.0.0.1 7002",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let dismissed: Vec<u64> = std::iter::from_fn(|| world.hub.poll_dismissed()).collect();
    assert_eq!(dismissed, [world.connections[0].id(), world.connections[2].id()]);
    assert!(
        world
            .ask(2, "INFO replication")
            .contains("role:slave\nmaster_host:10.0.0.1".replace('\n', " ").as_str())
    );
    assert!(world.ask(2, "HELLO 2").contains("$4 role $7 replica"));
    assert_eq!(world.ask(2, "SENTINEL failover trimtab"), "-ERR this node is not primary; ask 10.0.0.1:7002");
    assert_eq!(world.hub.poll_parting(), None);
}

#[test]
fn where_writes_are_passed_on_clients_go_once_they_are_answered() {
    let mut world = World::plain(5);
    in_cluster(&mut world, 0, Some(1));
    for (at, said) in
        [(1, "READONLY"), (2, "TRIMTAB BOUND 0"), (3, "SUBSCRIBE news"), (4, "READONLY\nREADWRITE")]
    {
        world.ask(at, said);
    }
    let three = crate::resp::topology::tests::three;
    let mut become_primary = |primary| {
        world.hub.set_topology(Arc::new(Topology { forwards: true, ..three(0, primary) }));
        std::iter::from_fn(|| world.hub.poll_parting()).collect::<Vec<u64>>()
    };
    for primary in [Some(1), Some(0), None] {
        assert!(become_primary(primary).is_empty(), "{primary:?}");
    }
    let parting = become_primary(Some(2));
    assert!(become_primary(Some(1)).is_empty(), "it was not primary since");
    assert_eq!(parting, [0, 4].map(|at: usize| world.connections[at].id()));
    assert_eq!(world.hub.poll_dismissed(), None);
}

#[test]
fn who_is_dismissed_hears_what_came_of_its_writes_and_a_balancer_stays() {
    let mut world = World::plain(5);
    in_cluster(&mut world, 0, Some(0));
    assert_eq!(world.ask(1, "TRIMTAB BOUND 0"), "+OK");
    assert_eq!(world.ask(2, "TRIMTAB POSITION"), "*2 :0 :0");
    assert_eq!(world.ask(3, "TRIMTAB BOUND 0\nRESET"), "+OK +RESET", "it is a balancer no more");
    world.send(0, "SET a 1\nSET b 2\nGET a");
    world.send(1, "SET c 3");
    world.send(4, "WAIT 1 0");
    in_cluster(&mut world, 0, Some(1));
    let dismissed: Vec<u64> = std::iter::from_fn(|| world.hub.poll_dismissed()).collect();
    assert_eq!(dismissed, [0, 3, 4].map(|at: usize| world.connections[at].id()));
    for at in [0, 3, 4] {
        world.connections[at].dismiss(&mut world.hub);
    }
    assert!(!world.connections[0].is_finished(), "its writes are under way");
    assert!(world.connections[3].is_finished() && world.connections[4].is_finished());
    assert!(!world.connections[0].wants_bytes(&world.hub) && world.connections[1].wants_bytes(&world.hub));
    while world.apply() {}
    assert_eq!((world.told(0).as_str(), world.told(1).as_str()), ("+OK +OK", "+OK"));
    assert!(world.connections[0].is_finished() && !world.connections[0].is_cut());
    assert!(!world.connections[1].is_finished() && !world.connections[2].is_finished());
}

#[test]
fn nobody_waits_for_what_a_node_that_is_not_primary_never_knows() {
    const UNBLOCKED: &str =
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
    let three = crate::resp::topology::tests::three;
    let forwarding = |own, primary| Arc::new(Topology { forwards: true, ..three(own, primary) });
    let mut world = World::plain(4);
    world.hub.set_topology(forwarding(0, Some(0)));
    for (at, wait) in [(0, "WAIT 2 0"), (1, "WAITAOF 0 2 0"), (2, "WAIT 2 60000")] {
        world.send(at, wait);
        assert!(world.connections[at].waits_for_nodes());
    }
    // It may be primary again.
    world.hub.set_topology(forwarding(0, None));
    (0..3).for_each(|at| world.advance(at));
    world.send(3, "WAIT 2 0");
    for at in 0..4 {
        assert!(world.connections[at].waits_for_nodes() && world.told(at).is_empty());
    }
    world.hub.set_topology(forwarding(0, Some(1)));
    for at in 0..4 {
        world.advance(at);
        assert_eq!(world.told(at), UNBLOCKED, "{at}");
    }
    let refused = "-ERR this node is not primary, and knows of 1 other nodes at most; give a timeout, or ask 10.0.0.1:7002";
    assert_eq!(world.ask(0, "WAIT 2 0\nWAITAOF 0 2 0"), format!("{refused} {refused}"));
    // One without a vote knows of both voters.
    world.hub.set_topology(forwarding(2, Some(1)));
    world.send(1, "WAIT 2 0");
    assert!(world.connections[1].waits_for_nodes());
    world.send(2, "WAIT 9 60000");
    assert!(world.connections[2].waits_for_nodes(), "it hears what there is when the time is over");
}

#[test]
fn a_position_is_behind_all_that_was_answered_before() {
    let mut world = World::plain(2);
    assert_eq!(world.ask(0, "TRIMTAB POSITION"), "*2 :0 :0");
    world.ask(1, "SET other 1");
    assert_eq!(world.ask(0, "TRIMTAB POSITION"), "*2 :0 :1", "what it may have read counts");
    world.send(0, "SET a 1\nSET b 1\nTRIMTAB POSITION\nSET c 1");
    assert_eq!(world.store.log.len(), 3, "nothing waits behind it");
    assert!(world.apply());
    assert_eq!(world.told(0), "+OK");
    assert!(world.apply());
    assert_eq!(world.told(0), "+OK *2 :0 :3");
    assert!(world.apply());
    assert_eq!(world.told(0), "+OK");
    assert_eq!(
        world.ask(0, "MULTI\nTRIMTAB POSITION\nEXEC").matches("inside MULTI is not allowed").count(),
        1
    );
}

#[test]
fn a_read_waits_for_a_position_and_is_told_when_it_does_not_come() {
    let mut world = World::plain(2);
    world.ask(1, "SET a 1");
    assert_eq!(world.ask(0, "TRIMTAB AFTER 0 1 0 GET a"), "$1 1");
    assert!(world.ask(0, "TRIMTAB AFTER 0 2 0 GET a").starts_with("-BEHIND "));
    world.send(0, "TRIMTAB AFTER 0 2 100 GET a\nPING");
    assert_eq!(world.told(0), "");
    assert!(world.connections[0].waits_for_log() && world.connections[0].is_at_work(&world.hub));
    assert_eq!(world.connections[0].next_deadline(), Some(world.now.saturating_add(100)));
    world.send(1, "SET a 2");
    world.apply();
    world.advance(0);
    assert_eq!(world.told(0), "$1 2 +PONG", "and what is behind it goes on");
    world.send(0, "TRIMTAB AFTER 0 9 100 GET a\nPING");
    world.now = world.now.saturating_add(99);
    world.advance(0);
    assert_eq!(world.told(0), "");
    world.now = world.now.saturating_add(1);
    world.advance(0);
    let told = world.told(0);
    assert!(told.starts_with("-BEHIND ") && told.ends_with("+PONG"), "{told}");
    for (line, error) in [
        ("TRIMTAB AFTER 0 1 0 SET a 1", "-ERR TRIMTAB AFTER takes a command that only reads, or WAIT"),
        ("TRIMTAB AFTER 0 x 0 GET a", "-ERR the sequence is no whole number from 0 on"),
        ("TRIMTAB AFTER 0 1 0 GET", "-ERR wrong number of arguments for 'get' command"),
        ("TRIMTAB AFTER 0 1 0", "-ERR wrong number of arguments for 'trimtab|after' command"),
        ("TRIMTAB NOPE", "-ERR unknown subcommand 'NOPE'. Try TRIMTAB HELP."),
    ] {
        assert_eq!(world.ask(0, line), error, "{line}");
    }
    // What WAIT waits for is what was written elsewhere.
    world.store.replicas = 1;
    assert_eq!(world.ask(0, "TRIMTAB AFTER 0 1 0 WAIT 1 10"), ":1");
}

#[test]
fn who_waits_for_what_is_lost_is_told_at_once() {
    const LOST: &str = "-LOST what was written at 3:1 is lost";
    let mut world = World::plain(2);
    in_cluster(&mut world, 0, Some(0));
    (world.store.epoch, world.store.durable, world.store.replicas) = (3, 9, 1);
    world.store.is_lost = true;
    assert_eq!(world.ask(0, "WAIT 1 0"), ":1", "it has written nothing");
    world.store.is_lost = false;
    assert_eq!(world.ask(0, "SET a 1\nWAIT 1 0\nWAITAOF 1 1 0"), "+OK :1 *2 :1 :1");
    // It becomes known meanwhile.
    world.send(0, "WAIT 2 0\nPING");
    assert!(world.told(0).is_empty() && world.connections[0].waits_for_nodes());
    world.store.is_lost = true;
    world.advance(0);
    assert_eq!(world.told(0), format!("{LOST} +PONG"));
    // However few are asked for, and in a transaction.
    for line in ["WAIT 0 0", "WAIT 1 10", "WAITAOF 0 0 0", "WAITAOF 1 0 10"] {
        assert_eq!(world.ask(0, line), LOST, "{line}");
    }
    assert_eq!(world.ask(0, "MULTI\nWAIT 1 10\nEXEC"), format!("+OK +QUEUED *1 {LOST}"));
    // What is written later is not.
    world.store.is_lost = false;
    assert_eq!(world.ask(0, "SET a 2\nWAIT 1 0"), "+OK :1");
}

#[test]
fn a_bound_holds_for_all_reads_of_a_connection() {
    let mut world = World::plain(2);
    world.ask(1, "SET a 1");
    world.store.sight = Sight::Past(Some(Duration::from_millis(70)));
    assert_eq!(world.ask(0, "TRIMTAB BOUND 100\nGET a\nSCAN 0"), "+OK $1 1 *2 $1 0 *1 $1 a");
    assert!(world.ask(0, "TRIMTAB BOUND 50\nGET a").starts_with("+OK -BEHIND "));
    assert!(world.ask(0, "SCAN 0").starts_with("-BEHIND "));
    assert_eq!(world.ask(0, "PING"), "+PONG", "it reads no key");
    assert_eq!(world.ask(1, "GET a"), "$1 1", "the bound is the other's");
    world.send(0, "TRIMTAB BOUND 50 20\nGET a");
    assert_eq!(world.told(0), "+OK");
    world.store.sight = Sight::Past(Some(Duration::from_millis(50)));
    world.advance(0);
    assert_eq!(world.told(0), "$1 1", "it has become fresh enough");
    // 0: nothing may be missing.
    world.store.sight = Sight::Past(Some(Duration::ZERO));
    assert!(world.ask(0, "TRIMTAB BOUND 0\nGET a").starts_with("+OK -BEHIND "));
    world.store.sight = Sight::Whole;
    assert_eq!(world.ask(0, "GET a"), "$1 1");
    assert_eq!(world.ask(0, "TRIMTAB BOUND -1"), "+OK");
    world.store.sight = Sight::Past(None);
    assert_eq!(world.ask(0, "GET a"), "$1 1");
    assert!(world.ask(0, "TRIMTAB BOUND x").starts_with("-ERR TRIMTAB BOUND takes milliseconds"));
}
