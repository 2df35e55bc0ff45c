//! `[store]`: what it may say, and what is told of the rest.

use std::time::Duration;

use super::errors::check;
use super::{BASE, good, told};
use crate::embedded;
use crate::health::secret::Secret;
use crate::server::config::{Reads, StoreMembers, StoreRole};
use crate::store::engine::Durability;
use crate::store::index::evict::Eviction;

fn store(lines: &str) -> String {
    format!("[store]\ndir = \"data\"\nresp = \"127.0.0.1:6379\"\n{lines}\n")
}

#[test]
fn a_store_needs_a_directory_and_nothing_else() {
    let config = good("[store]\ndir = \"data\"");
    let store = config.store.as_ref().unwrap();
    assert!(config.listeners.is_empty() && store.resp.is_none() && !store.allows_flush);
    assert_eq!((store.dir.to_str(), &store.node), (Some("data"), &None));
    assert_eq!((store.durability, store.nodes, store.maxclients), (Durability::Local, 0, 10_000));
    assert_eq!((store.output_max, store.idle, &*store.notify), (256 << 20, Duration::ZERO, ""));
    assert_eq!(store.options, embedded::Options::default(), "the library's");
    assert_eq!(config.drain(), Duration::from_secs(30));
    assert!(good(BASE).store.is_none());
}

#[cfg(feature = "replication")]
const CLUSTER: &str =
    "node = \"a\"\npeers = { a = \"127.0.0.1:1\", b = \"127.0.0.1:2\" }\npeer_tls = \"insecure-plaintext\"\n";

#[cfg(feature = "replication")]
#[test]
fn a_member_of_a_cluster_answers_at_a_quorum() {
    let store_of = |lines: &str| good(&store(&format!("{CLUSTER}{lines}"))).store.unwrap();
    let member = store_of("");
    assert_eq!(member.durability, Durability::Quorum);
    let cluster = member.cluster.unwrap();
    assert_eq!((cluster.node.as_str(), cluster.members.len()), ("a", 2));
    assert_eq!(cluster.announce.as_deref(), Some("127.0.0.1:6379"));
    assert_eq!(store_of("durability = \"all\"").durability, Durability::All);
    assert!(good(&store("node = \"db-1\"")).store.unwrap().cluster.is_none());
}

#[test]
fn what_is_said_is_taken() {
    let config = good(
        "[store]\ndir = \"/var/lib/trimtab\"\nnode = \"db-1\"\nresp = \"unix:@store\"\ndurability = \"memory\"\n\
         maxclients = 1_000_000\nflush = \"allow\"\nmemory_max = \"1GiB\"\neviction = \"ttl\"\n\
         disk_bytes_max = 268435456\nkept_bytes = \"5GiB\"\noutput_max = \"1MiB\"\nidle = \"30d\"\ndrain = \"2s\"\npassword = \"secret\"",
    );
    let store = config.store.unwrap();
    assert_eq!(store.resp.map(|resp| resp.to_string()).as_deref(), Some("unix:@store"));
    let engine = &store.options.engine;
    assert_eq!((store.durability, engine.eviction), (Durability::Memory, Eviction::Ttl));
    assert_eq!((store.maxclients, engine.settings.memory_max), (1_000_000, 1 << 30));
    assert_eq!((engine.log.disk_bytes_max, store.output_max), (Some(256 << 20), 1 << 20));
    assert_eq!(store.drain, Duration::from_secs(2));
    assert_eq!((store.idle, engine.log.kept_bytes), (Duration::from_secs(30 * 86_400), 5 << 30));
    assert!(store.password == Some(Secret::from("secret")) && store.allows_flush);
    assert_eq!(format!("{:?}", store.password), "Some(Secret)");
    let sizes = good(&store_of_sizes("65536", "0")).store.unwrap().options.engine;
    assert_eq!((sizes.settings.memory_max, sizes.log.disk_bytes_max), (65_536, None));
}

#[test]
fn what_the_library_is_told_a_server_is_told() {
    let text = "value_max = \"32MiB\"\noperations_max = 7\nclients_max = 8\nclient_bytes_max = \"1KiB\"\n\
                timeout = \"5s\"\nwaiting_max = 9\nflush_interval = \"10ms\"\nflush_bytes = 4096\n\
                snapshot_bytes = \"64KiB\"\nsnapshot_retry = \"1m\"\nsegment_bytes = \"128MiB\"\n\
                pending_bytes_max = \"1MiB\"\ndisk_retry = \"2s\"\nhistory_bytes_max = 0\neviction_places = 10\n\
                scrub_interval = \"7d\"\nscrub_bytes_per_second = \"1MiB\"\nnotify = \"Kx\"";
    let said = good(&store(text)).store.unwrap();
    let mut wanted = embedded::Options {
        timeout: Duration::from_secs(5),
        waiting_max: 9,
        scrub_interval: Some(Duration::from_secs(7 * 86_400)),
        scrub_bytes_per_second: 1 << 20,
        ..embedded::Options::default()
    };
    let engine = &mut wanted.engine;
    (engine.settings.value_max, engine.settings.operations_max) = (32 << 20, 7);
    (engine.settings.clients_max, engine.settings.client_bytes_max) = (8, 1 << 10);
    (engine.flush_interval, engine.flush_bytes) = (Duration::from_millis(10), 4096);
    (engine.snapshot_bytes, engine.snapshot_retry) = (64 << 10, Duration::from_secs(60));
    (engine.log.segment_bytes, engine.log.pending_bytes_max) = (128 << 20, 1 << 20);
    engine.log.retry = Duration::from_secs(2);
    (engine.index.history_bytes_max, engine.eviction_places) = (0, 10);
    assert_eq!((said.options, &*said.notify), (wanted, "Kx"));
    assert_eq!(good(&store("scrub_interval = \"0s\"")).store.unwrap().options.scrub_interval, None);
    // Four segments are the least that a disk is to have room for.
    // What is not set fits a segment.
    for (segment, most) in [("16KiB", 6_144), ("64KiB", 43_008), ("1MiB", 780_288), ("64MiB", 16 << 20)] {
        let engine = good(&store(&format!("segment_bytes = {segment:?}"))).store.unwrap().options.engine;
        let value_max = engine.settings.value_max;
        assert!(value_max <= most && value_max >= most.min(16 << 20) / 2 - 1_024, "{segment}: {value_max}");
        assert!(value_max <= engine.log.payload_bytes_max() as u64, "{segment}: {value_max}");
    }
    good(&store("segment_bytes = \"16KiB\"\ndisk_bytes_max = \"64KiB\""));
}

#[cfg(feature = "replication")]
#[test]
fn what_the_library_is_told_of_consensus_a_server_is_told() {
    let text = "patience = \"5s\"\nforward_max = 7\ntransfer_timeout = \"3s\"\ntick = \"10ms\"\nheartbeat_ticks = 3\n\
                election_ticks = 30\nclock_drift_permille = 5\nslow_flush = \"0s\"\nhandover_pause = \"1m\"\n\
                message_bytes = \"64KiB\"\ninflight_messages = 8\nuncommitted_bytes_max = \"1MiB\"\n\
                tail_bytes = 0\nkept_bytes_max = \"1GiB\"\nsnapshot_rate = \"50MiB\"\nsnapshot_window = 4\n\
                snapshot_timeout = \"1m\"\ndurability = 2";
    let said = good(&store(&format!("{CLUSTER}{text}"))).store.unwrap();
    assert_eq!((said.durability, said.nodes), (Durability::Quorum, 2));
    let cluster = said.cluster.unwrap();
    assert_eq!((cluster.patience, cluster.forward_max), (Duration::from_secs(5), 7));
    let wanted = crate::replication::Options {
        transfer_timeout: Duration::from_secs(3),
        tick: Duration::from_millis(10),
        heartbeat_ticks: 3,
        election_ticks: 30,
        clock_drift_permille: 5,
        slow_flush: None,
        handover_pause: Duration::from_secs(60),
        message_bytes: 64 << 10,
        inflight_messages: 8,
        uncommitted_bytes_max: 1 << 20,
        tail_bytes: 0,
        kept_bytes_max: 1 << 30,
        snapshot_rate: 50 << 20,
        snapshot_window: 4,
        snapshot_timeout: Duration::from_secs(60),
        ..crate::replication::Options::default()
    };
    assert_eq!(cluster.replication, wanted);
    let plain = good(&store(CLUSTER)).store.unwrap();
    let default = crate::replication::Options::default();
    assert_eq!((plain.nodes, plain.cluster.unwrap().replication), (0, default), "the library's");
    // What is not said fits a segment, as values do.
    let short = good(&store(&format!("{CLUSTER}segment_bytes = \"1MiB\""))).store.unwrap();
    assert_eq!(short.cluster.unwrap().replication.message_bytes, 128 << 10);
    let wrong = store(&format!("{CLUSTER}segment_bytes = \"17KiB\""));
    check(&[(wrong, &[":7:17: segment_bytes 17KiB is no multiple of 4KiB; write 16KiB or 20KiB"])]);
    for (lines, wrong) in [
        ("durability = 0", ":7:14: durability 0 is outside 1 to 64"),
        ("durability = 3", ":7:14: durability 3 needs as many nodes, and there are 2; no write"),
        ("election_ticks = 9", ":7:18: election_ticks 9 is outside 10 to 10000"),
        (
            "heartbeat_ticks = 5",
            ":7:19: heartbeat_ticks 5 needs 25 election_ticks or more, and they are 20; add election_ticks = 25, or lower it",
        ),
        ("heartbeat_ticks = 5\nelection_ticks = 24", ":8:18: election_ticks 24 is outside 25 to 10000"),
        (
            "feed_from = [\"b\"]\ntick = \"1s\"",
            ":8:8: tick: an election takes 20s, which is more than feed_timeout, 2s; add feed_timeout = \"20s\", or lower it",
        ),
        (
            "kept_bytes_max = -1",
            ":7:18: kept_bytes_max -1 is less than nothing; write bytes, or a whole number",
        ),
        (
            "kept_bytes_max = 99999999999999999999",
            ":7:18: kept_bytes_max 18446744073709551615 is outside 0 to 256TiB",
        ),
        (
            "message_bytes = \"16MiB\"",
            ":7:17: message_bytes 16MiB is more than an eighth of segment_bytes, which are 64MiB; 8MiB are the most; \
             make it shorter, or segments longer",
        ),
        ("slow_flush = \"1ms\"", ":7:14: slow_flush 1ms is outside 10ms to 1h; \"0s\" is never"),
        ("snapshot_window = 0", ":7:19: snapshot_window 0 is outside 1 to 1024"),
        ("patience = \"2h\"", ":7:12: patience 2h is outside 0s to 1h"),
        (
            "feed_from = [\"b\"]\ntick = \"50ms\"\nfeed_timeout = \"900ms\"",
            ":9:16: feed_timeout 900ms is outside 1s to 3600s",
        ),
    ] {
        let told = told(&store(&format!("{CLUSTER}{lines}"))).join("\n");
        assert!(told.contains(wrong), "{told}\n{wrong}");
    }
}

#[cfg(feature = "replication")]
#[test]
fn what_listens_where_its_own_node_does_is_told() {
    let own = format!("[store]\ndir = \"data\"\nresp = \"127.0.0.1:1\"\n{CLUSTER}");
    let listens =
        format!("[store]\ndir = \"data\"\nhealth = \"127.0.0.1:9\"\n{CLUSTER}listen = \"127.0.0.1:9\"");
    check(&[
        (
            own,
            &[
                ":3:8: this node of the cluster listens on 127.0.0.1:1 already, on line 5; choose another address or port",
            ],
        ),
        (
            listens,
            &[
                ":3:10: this node of the cluster listens on 127.0.0.1:9 already, on line 7; choose another address or port",
            ],
        ),
    ]);
    // Where another node listens is that one's.
    good(&format!("[store]\ndir = \"data\"\nresp = \"127.0.0.1:2\"\n{CLUSTER}"));
}

fn store_of_sizes(memory: &str, disk: &str) -> String {
    store(&format!("memory_max = {memory}\ndisk_bytes_max = {disk}"))
}

#[test]
fn what_is_wrong_is_told() {
    check(&[
        ("[store]".into(), &[":1:1: dir is missing in [store]; add dir = \"data\""]),
        (
            "[store]\ndir = \"\"".into(),
            &[":2:7: dir is empty; name a directory; it is made if it is not there"],
        ),
        (
            store("durabilty = \"local\""),
            &[":4:1: unknown key \"durabilty\" in [store]; did you mean \"durability\"?"],
        ),
        (
            store("durability = \"quorum\""),
            &[
                ":4:14: durability \"quorum\" needs other nodes, and there are none; add node, peers and peer_tls, or write \"local\"",
            ],
        ),
        (
            store("durability = \"all\""),
            &[
                ":4:14: durability \"all\" needs other nodes, and there are none; add node, peers and peer_tls, or write \"local\"",
            ],
        ),
        (
            store("durability = 2"),
            &[
                ":4:14: durability 2 needs other nodes, and there are none; add node, peers and peer_tls, or write \"local\"",
            ],
        ),
        (
            store("durability = true"),
            &[":4:14: durability is true, where text is expected; for example durability = \"local\""],
        ),
        (
            store("value_max = \"48MiB\""),
            &[
                ":4:13: value_max 48MiB is more than the 50324432 bytes that fit beside a key, with segment_bytes = 64MiB; a value lies in one segment: make it shorter, or segments longer",
            ],
        ),
        (
            store("value_max = \"64MiB\"\nsegment_bytes = \"1GiB\""),
            &[
                ":4:13: value_max 64MiB is more than the 67107840 bytes that fit beside a key, with segment_bytes = 1GiB; no record of the log is longer: make it shorter",
            ],
        ),
        (
            store("value_max = \"32MiB\"\noutput_max = \"31MiB\""),
            &[
                ":4:13: value_max 32MiB is more than output_max, which is 31MiB; a client that reads such a value would be cut: raise output_max",
            ],
        ),
        (store("value_max = 0"), &[":4:13: value_max 0 is outside 1 to 512MiB"]),
        (
            store("segment_bytes = 20000"),
            &[":4:17: segment_bytes 20000 is no multiple of 4KiB; write 16KiB or 20KiB"],
        ),
        (
            store("segment_bytes = \"17KiB\""),
            &[":4:17: segment_bytes 17KiB is no multiple of 4KiB; write 16KiB or 20KiB"],
        ),
        (store("flush_interval = \"0s\""), &[":4:18: flush_interval 0s is outside 1ms to 1h"]),
        (
            store("scrub_interval = \"367d\""),
            &[":4:18: scrub_interval 367d is outside 1ms to 366d; \"0s\" is only when it is asked for"],
        ),
        (
            store("notify = \"Kq\""),
            &[
                ":4:10: notify \"Kq\" has a character that is no class; as in Redis: K, E and A, or some of g$lshzxetdmn in place of A",
            ],
        ),
        (
            store("notify = \"A\""),
            &[":4:10: notify \"A\" has neither K nor E, so nothing is told; write notify = \"KEA\""],
        ),
        (
            store("tick = \"20ms\""),
            &[
                ":4:8: tick is for clusters, and there are no other nodes; add node, peers and peer_tls, or take it out",
            ],
        ),
        (
            store("stale_max = \"1s\""),
            &[
                ":4:13: stale_max is for clusters, and there are no other nodes; add node, peers and peer_tls, or take it out",
            ],
        ),
        (store("maxclients = 0"), &[":4:14: maxclients 0 is outside 1 to 1000000"]),
        (store("maxclients = 1000001"), &[":4:14: maxclients 1000001 is outside 1 to 1000000"]),
        (
            store_of_sizes("65535", "\"255MiB\""),
            &[
                ":4:14: memory_max 65535 is outside 64KiB to 256TiB; 0 is no limit",
                ":5:18: disk_bytes_max 255MiB is outside 256MiB to 256TiB; 0 is no limit",
            ],
        ),
        (
            store("memory_max = \"257TiB\""),
            &[":4:14: memory_max 257TiB is outside 64KiB to 256TiB; 0 is no limit"],
        ),
        (store("kept_bytes = \"257TiB\""), &[":4:14: kept_bytes 257TiB is outside 0 to 256TiB"]),
        (store("output_max = 0"), &[":4:14: output_max 0 is outside 1MiB to 16GiB"]),
        (
            store("output_max = \"5MB\""),
            &[
                ":4:14: output_max: \"5MB\" is not a size: it has a unit that is none; write bytes, or a whole number with the unit KiB, MiB, GiB or TiB: \"512MiB\"",
            ],
        ),
        (store("drain = \"31d\""), &[":4:9: drain 31d is outside 1ms to 30d"]),
        (store("drain = \"0s\""), &[":4:9: drain 0s is outside 1ms to 30d"]),
        (store("idle = \"31d\""), &[":4:8: idle 31d is outside 1ms to 30d; \"0s\" is no limit"]),
        (
            store("eviction = \"lru\""),
            &[":4:12: eviction needs memory_max, at which it begins; add memory_max = \"1GiB\""],
        ),
        (
            store("password = \"a\"\npassword_file = \"b\""),
            &[":5:17: there are password and password_file; take one out"],
        ),
        (
            store("password = \"\""),
            &[":4:12: password is empty, which lets everybody in; take it out, or write one"],
        ),
        (
            "[store]\ndir = \"data\"\nmaxclients = 5".into(),
            &[
                ":3:14: maxclients is for Redis clients, and there is no resp for them; add resp = \"127.0.0.1:6379\", or take it out",
            ],
        ),
        (
            format!("{BASE}[store]\ndir = \"data\"\nresp = \"127.0.0.1:8080\""),
            &[
                ":10:8: the listener \"web\" listens on 127.0.0.1:8080 already, on line 3; choose another address or port",
            ],
        ),
        (
            "[store]\ndir = \"data\"\nresp = \"127.0.0.1:6379\"\nhealth = \"127.0.0.1:6379\"".into(),
            &[
                ":4:10: the store listens on 127.0.0.1:6379 already, on line 3; choose another address or port",
            ],
        ),
        (
            "[store]\ndir = \"data\"\nhealth = \"80\"".into(),
            &[":3:10: health \"80\" is a port alone; write 0.0.0.0:80 or [::]:80"],
        ),
        (
            "[store]\ndir = \"data\"\nresp = \"6379\"".into(),
            &[":3:8: resp \"6379\" is a port alone; write 0.0.0.0:6379 or [::]:6379"],
        ),
    ]);
}

const SPLIT: &str = "[[listener]]\nname = \"redis\"\nbind = \"127.0.0.1:6400\"\nmode = \"resp-split\"\n";

#[test]
fn a_listener_that_splits_reads_from_writes_leads_to_the_store() {
    let store = "[store]\ndir = \"data\"\nresp = \"127.0.0.1:6379\"\n";
    let config = good(&format!("{SPLIT}{store}"));
    assert!(config.listeners.is_empty());
    let [split] = &config.splits[..] else { panic!("{config:?}") };
    assert_eq!((split.name.as_str(), split.reads), ("redis", Reads::Any));
    assert_eq!((split.max_age, split.catch_up), (Duration::from_secs(1), Duration::from_millis(50)));
    assert_eq!((split.queue, split.connect), (Duration::from_secs(5), Duration::from_secs(1)));
    assert_eq!((split.idle, split.queue_max, split.maxconn), (Duration::ZERO, 1024, 1_000_000));
    let lines = "reads = \"replicas\"\nmax_age = \"200ms\"\ncatch_up = \"0s\"\nqueue_max = 0\nmaxconn = 5\n\
                 timeouts = { idle = \"1m\", queue = \"2s\", drain = \"7s\" }\n";
    let config = good(&format!("{SPLIT}{lines}{store}"));
    let split = &config.splits[0];
    assert_eq!(
        (split.reads, split.max_age, split.catch_up),
        (Reads::Replicas, Duration::from_millis(200), Duration::ZERO)
    );
    assert_eq!(
        (split.idle, split.queue, split.queue_max, split.maxconn),
        (Duration::from_secs(60), Duration::from_secs(2), 0, 5)
    );
}

#[test]
fn what_a_splitting_listener_cannot_have_is_told() {
    let store = "[store]\ndir = \"data\"\nresp = \"127.0.0.1:6379\"\n";
    for (text, expected) in [
        (
            SPLIT.to_string(),
            "t:2:8: the listener \"redis\" leads to the nodes of [store], and there are none; add [store]",
        ),
        (format!("{SPLIT}[store]\ndir = \"data\"\n"), "and there are none; add [store] with dir and resp"),
        (
            format!("{SPLIT}pool = \"app\"\n{store}"),
            "t:5:8: pool is not for a listener of mode \"resp-split\"",
        ),
        (format!("{SPLIT}abort_on_close = true\n{store}"), "abort_on_close is not for a listener of mode"),
        (
            format!("{SPLIT}timeouts.header = \"1s\"\n{store}"),
            "header is not for a listener of mode \"resp-split\"; it has connect",
        ),
        (format!("{SPLIT}maxconn = 1000001\n{store}"), "t:5:11: maxconn 1000001 is outside 0 to 1000000"),
        (format!("{SPLIT}reads = \"all\"\n{store}"), "unknown reads \"all\""),
        (format!("{SPLIT}max_age = \"0s\"\n{store}"), "max_age 0s is outside 1ms to 1h"),
        (format!("{SPLIT}catch_up = \"11s\"\n{store}"), "catch_up 11s is outside 0s to 10s"),
        (format!("{SPLIT}{SPLIT}{store}"), "there is a listener named \"redis\" already"),
        (
            format!("{BASE}{store}").replacen("pool = \"app\"", "pool = \"app\"\nmax_age = \"1s\"", 1),
            "max_age is for listeners of mode \"resp-split\"; add mode",
        ),
    ] {
        let told = told(&text).join("\n");
        assert!(told.contains(expected), "{told}\n{expected}");
    }
}

#[test]
fn each_mistake_is_told_once() {
    let store = "[store]\ndir = \"data\"\nresp = \"127.0.0.1:6379\"\n";
    let split = SPLIT.replace("resp-split", "split");
    let pool = |lines: &str| format!("{BASE}{lines}\n{store}");
    check(&[
        (
            format!("{split}reads = \"any\"\n{store}"),
            &[":4:8: unknown mode \"split\"; did you mean \"resp-split\"?"],
        ),
        (
            pool("store = {}\nrole = \"primary\""),
            &[
                ":9:8: there are store and role, and with store the nodes say all of themselves; write store = { role = \"replicas\" }",
            ],
        ),
        (
            pool("store = { role = \"any\", lag_max = \"5s\" }\nrole = \"primary\"\nlag_max = \"9s\""),
            &[
                ":9:8: there are store and role, and with store the nodes say all of themselves; take one out",
                ":10:11: there are store and lag_max, and with store the nodes say all of themselves; take one out",
            ],
        ),
        (
            pool("store = { lag_max = \"1ms\", lag_entries_max = -1 }"),
            &[
                ":8:21: lag_max is for nodes that follow, and the role is \"primary\"; take it out, or write role = \"replicas\" or \"any\"",
                ":8:46: lag_entries_max is for nodes that follow, and the role is \"primary\"; take it out, or write role = \"replicas\" or \"any\"",
            ],
        ),
        (
            pool("store = { role = \"replica\", lag_max = \"1s\" }"),
            &[":8:18: unknown role \"replica\"; did you mean \"replicas\"?"],
        ),
    ]);
}

#[test]
fn a_pool_may_be_of_the_nodes_of_the_store() {
    let store = "[store]\ndir = \"data\"\nresp = \"127.0.0.1:6379\"\n";
    let members = |text: &str| good(&format!("{BASE}{text}\n{store}")).pools[0].store.unwrap();
    let plain = StoreMembers { role: StoreRole::Primary, port: None, lag_max: None, lag_entries_max: None };
    assert_eq!(members("store = {}"), plain);
    let bounded = StoreMembers {
        role: StoreRole::Any,
        lag_max: Some(Duration::from_secs(5)),
        lag_entries_max: Some(0),
        ..plain
    };
    let text = "store = { role = \"any\", lag_max = \"5s\", lag_entries_max = 0 }";
    assert_eq!(members(text), bounded);
    let wanted = StoreMembers { role: StoreRole::Replicas, port: Some(5432), ..plain };
    assert_eq!(members("store = { role = \"replicas\", port = 5432 }"), wanted);
    for (text, expected) in [
        (format!("{BASE}store = {{}}\n"), "t:7:8: the pool is of the nodes of [store], and there are none"),
        (format!("{BASE}store = {{}}\nmembers_file = \"m\"\n{store}"), "there are store and members_file"),
        (format!("{BASE}store = {{ role = \"leader\" }}\n{store}"), "unknown role \"leader\""),
        (format!("{BASE}store = {{ port = 0 }}\n{store}"), "port 0 is outside 1 to 65535"),
        (
            format!("{BASE}store = {{ role = \"any\", lag_max = \"499ms\" }}\n{store}"),
            "lag_max 499ms is outside 500ms to 1d",
        ),
        (
            format!("{BASE}store = {{ role = \"any\", lag_entries_max = -1 }}\n{store}"),
            "lag_entries_max -1 is outside 0 to 9007199254740992",
        ),
        (
            format!("{BASE}store = {{ lag_max = \"5s\" }}\n{store}"),
            "lag_max is for nodes that follow, and the role is \"primary\"",
        ),
        (
            format!("{BASE}store = {{ role = \"replicas\" }}\nlag_max = \"5s\"\n{store}"),
            "write store = { role = \"replicas\", lag_max = \"5s\" }",
        ),
    ] {
        let told = told(&text).join("\n");
        assert!(told.contains(expected), "{told}\n{expected}");
    }
}
