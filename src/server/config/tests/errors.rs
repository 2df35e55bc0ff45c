//! Each thing that can be wrong, with its place and its words.

use super::{BASE, backend, listener, pool, told};
use crate::balance::options::BACKENDS_MAX;
use crate::server::config::schema::{self, Schema};
use crate::server::config::{Config, LISTENERS_MAX, POOLS_MAX, PROBLEMS_MAX, TEXT_MAX};

/// Each text with all that is told of it.
pub(super) fn check(cases: &[(String, &[&str])]) {
    for (text, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|problem| format!("t{problem}")).collect();
        assert_eq!(told(text), expected, "\n{text}");
    }
}

fn owned(text: &str) -> String {
    text.to_string()
}

#[test]
fn keys() {
    check(&[
        (
            format!("{BASE}[[listner]]"),
            &[":8:3: unknown key \"listner\" at the top; did you mean \"listener\"?"],
        ),
        (
            format!("frontends = 1\n{BASE}"),
            &[
                ":1:1: unknown key \"frontends\" at the top; known here: \"runtime\", \"listener\", \"pool\", \"discovery\", \"store\", \"admin\"",
            ],
        ),
        (
            listener("max_conn = 1"),
            &[":2:1: unknown key \"max_conn\" in [[listener]]; did you mean \"maxconn\"?"],
        ),
        (
            listener("timeouts = { conect = \"1s\" }"),
            &[":2:14: unknown key \"conect\" in listener.timeouts; did you mean \"connect\"?"],
        ),
        (pool("Policy = \"hash\""), &[":8:1: unknown key \"Policy\" in [[pool]]; did you mean \"policy\"?"]),
        (
            pool("retry.tries = 3"),
            &[":8:7: unknown key \"tries\" in pool.retry; known here: \"attempts\", \"budget\", \"min\""],
        ),
        (
            backend("address = \"10.0.0.1:80\"\nwieght = 2"),
            &[":10:1: unknown key \"wieght\" in [[pool.backend]]; did you mean \"weight\"?"],
        ),
        (
            format!("{BASE}[admin]\nbind = \"unix:@a\"\n\"b\\u001bd\" = 1"),
            &[":10:1: unknown key \"b\\u{1b}d\" in [admin]; known here: \"bind\", \"mode\""],
        ),
        (
            format!("runtime.worker = 1\n{BASE}"),
            &[":1:9: unknown key \"worker\" in [runtime]; did you mean \"workers\"?"],
        ),
    ]);
}

#[test]
fn what_later_versions_have() {
    check(&[
        (
            format!("{BASE}[[guard]]\nname = \"edge\""),
            &[":8:3: \"guard\" at the top is not in this version yet; take it out"],
        ),
        (format!("{BASE}[log]\n"), &[":8:2: \"log\" at the top is not in this version yet; take it out"]),
        (
            listener("mode = \"http\""),
            &[":2:8: mode \"http\" is not in this version yet; this version has: \"tcp\", \"resp-split\""],
        ),
        (listener("mode = \"udp\""), &[":2:8: unknown mode \"udp\"; known: \"tcp\", \"resp-split\""]),
        (
            listener("guard = \"edge\""),
            &[":2:1: \"guard\" in [[listener]] is not in this version yet; take it out"],
        ),
        (listener("tls = {}"), &[":2:1: \"tls\" in [[listener]] is not in this version yet; take it out"]),
        (
            listener("timeouts.tunnel = \"1h\""),
            &[":2:10: \"tunnel\" in listener.timeouts is not in this version yet; take it out"],
        ),
        (
            BASE.replace("\n[[pool]]", "[[listener.route]]\n[[pool]]"),
            &[":5:12: \"route\" in [[listener]] is not in this version yet; take it out"],
        ),
        (pool("sticky = {}"), &[":8:1: \"sticky\" in [[pool]] is not in this version yet; take it out"]),
        (pool("tls = {}"), &[":8:1: \"tls\" in [[pool]] is not in this version yet; take it out"]),
    ]);
}

#[test]
fn types() {
    check(&[
        (
            listener("maxconn = \"5\""),
            &[
                ":2:11: maxconn is the text \"5\", where a whole number is expected; for example maxconn = 20000",
            ],
        ),
        (
            listener("maxconn = 5.0"),
            &[
                ":2:11: maxconn is the number 5.0, where a whole number is expected; for example maxconn = 20000",
            ],
        ),
        (
            listener("abort_on_close = 1"),
            &[
                ":2:18: abort_on_close is the whole number 1, where true or false is expected; for example abort_on_close = true",
            ],
        ),
        (
            listener("mode = true"),
            &[":2:8: mode is true, where text is expected; for example mode = \"tcp\""],
        ),
        (
            listener("timeouts = \"5s\""),
            &[
                ":2:12: timeouts is the text \"5s\", where a table is expected; for example timeouts = { connect = \"1s\", idle = \"60s\" }",
            ],
        ),
        (
            listener("timeouts.idle = 5"),
            &[":2:17: idle is the whole number 5, where a duration is expected; for example idle = \"60s\""],
        ),
        (
            listener("timeouts.idle = 05:00:00"),
            &[":2:17: idle is a date or time, where a duration is expected; for example idle = \"60s\""],
        ),
        (
            pool("retry = 3"),
            &[
                ":8:9: retry is the whole number 3, where a table is expected; for example retry = { attempts = 3 }",
            ],
        ),
        (
            pool("blend = \"0.5\""),
            &[":8:9: blend is the text \"0.5\", where a number is expected; for example blend = 0.5"],
        ),
        (
            pool("policy = [\"hash\"]"),
            &[":8:10: policy is a list, where text is expected; for example policy = \"least-connections\""],
        ),
        (
            pool("seed = {}"),
            &[":8:8: seed is a table, where a whole number is expected; for example seed = 0"],
        ),
        (
            pool("backend = \"10.0.0.1:80\""),
            &[
                ":8:11: backend is the text \"10.0.0.1:80\", where a list of tables is expected; for example backend = [{ address = \"10.0.0.1:80\" }]",
            ],
        ),
        (
            pool("backend = [\"10.0.0.1:80\"]"),
            &[
                ":8:12: backend is the text \"10.0.0.1:80\", where a table is expected; for example backend = [{ address = \"10.0.0.1:80\" }]",
            ],
        ),
        // One bracket too few is told, and what lies within is read all the same.
        (
            pool("[pool.backend]\nweight = 0"),
            &[
                ":8:1: backend is one table, where a list of tables is expected; write [[pool.backend]]",
                ":8:1: address is missing in [[pool.backend]]; add address = \"10.0.0.1:80\"",
                ":9:10: weight 0 is outside 1 to 65535; to stop new traffic, set admin = \"drain\"",
            ],
        ),
        (
            BASE.replace("[[listener]]", "[listener]"),
            &[":1:1: listener is one table, where a list of tables is expected; write [[listener]]"],
        ),
        (
            format!("{BASE}[[runtime]]"),
            &[":8:1: runtime is a list, where a table is expected; for example runtime = { workers = 2 }"],
        ),
        (
            format!("{BASE}[[admin]]"),
            &[
                ":8:1: admin is a list, where a table is expected; for example admin = { bind = \"unix:/run/trimtab.sock\" }",
            ],
        ),
        (
            BASE.replace("\"web\"", "1"),
            &[":2:8: name is the whole number 1, where text is expected; for example name = \"web\""],
        ),
    ]);
}

#[test]
fn ranges() {
    let over = "\"30d1ms\"";
    check(&[
        (format!("runtime.workers = 65\n{BASE}"), &[":1:19: workers 65 is outside 0 to 64"]),
        (format!("runtime.workers = -1\n{BASE}"), &[":1:19: workers -1 is outside 0 to 64"]),
        (listener("maxconn = 1073741825"), &[":2:11: maxconn 1073741825 is outside 0 to 1073741824"]),
        (listener("backlog = 0"), &[":2:11: backlog 0 is outside 1 to 65535"]),
        (listener("backlog = 65_536"), &[":2:11: backlog 65536 is outside 1 to 65535"]),
        (listener("backlog = 0x10000"), &[":2:11: backlog 0x10000 is outside 1 to 65535"]),
        (
            listener("timeouts.idle = \"0s\""),
            &[
                ":2:17: idle 0s is outside 1ms to 30d; no timeout can be off; write a long one, such as \"30d\"",
            ],
        ),
        (listener(&format!("timeouts.drain = {over}")), &[":2:18: drain 30d1ms is outside 1ms to 30d"]),
        (
            listener("timeouts.queue = \"5 s\""),
            &[
                ":2:18: queue: \"5 s\" is not a duration: it is not made of whole numbers and units alone; write whole numbers with the units d, h, m, s, ms: \"200ms\", \"5s\", \"1m30s\"",
            ],
        ),
        (pool("queue_max = 1048577"), &[":8:13: queue_max 1048577 is outside 0 to 1048576"]),
        (pool("retry.attempts = 0"), &[":8:18: attempts 0 is outside 1 to 100"]),
        (pool("retry.attempts = 101"), &[":8:18: attempts 101 is outside 1 to 100"]),
        (
            pool("retry.budget = 1.01"),
            &[":8:16: budget 1.01 is outside 0 to 1; it is a share; for no limit, set budget = \"off\""],
        ),
        (
            pool("retry.budget = -0.01"),
            &[":8:16: budget -0.01 is outside 0 to 1; it is a share; for no limit, set budget = \"off\""],
        ),
        (
            pool("retry.budget = nan"),
            &[":8:16: budget NaN is outside 0 to 1; it is a share; for no limit, set budget = \"off\""],
        ),
        (
            pool("retry.budget = \"none\""),
            &[":8:16: budget is the text \"none\", where a number is expected; for example budget = 0.2"],
        ),
        (pool("retry.min = -1"), &[":8:13: min -1 is outside 0 to 65536"]),
        (pool("retry.min = 65_537"), &[":8:13: min 65537 is outside 0 to 65536"]),
        (pool("retries_max = 65_537"), &[":8:15: retries_max 65537 is outside 0 to 65536"]),
        (pool("maxconn = 1073741825"), &[":8:11: maxconn 1073741825 is outside 0 to 1073741824"]),
        (pool("maxconn = -1"), &[":8:11: maxconn -1 is outside 0 to 1073741824"]),
        (pool("connection_rate = 1_000_001"), &[":8:19: connection_rate 1000001 is outside 0 to 1000000"]),
        (pool("connection_burst = 1_000_001"), &[":8:20: connection_burst 1000001 is outside 0 to 1000000"]),
        (pool("pending_max = 1073741825"), &[":8:15: pending_max 1073741825 is outside 0 to 1073741824"]),
        (pool("on_down = \"cut\""), &[":8:11: unknown on_down \"cut\"; known: \"keep\", \"close\""]),
        (
            pool("adaptive = true"),
            &[":8:12: adaptive is true, where a table is expected; for example adaptive = { min = 10 }"],
        ),
        (pool("adaptive.min = 0"), &[":8:16: min 0 is outside 1 to 1000000"]),
        (pool("adaptive.max = 1_000_001"), &[":8:16: max 1000001 is outside 1 to 1000000"]),
        (pool("adaptive.rtt_requests = 0"), &[":8:25: rtt_requests 0 is outside 1 to 1000000"]),
        (
            pool("adaptive.scope = \"server\""),
            &[":8:18: unknown scope \"server\"; known: \"backend\", \"pool\""],
        ),
        (
            backend("address = \"10.0.0.1:80\"\nconnection_rate = 1_000_001"),
            &[":10:19: connection_rate 1000001 is outside 0 to 1000000"],
        ),
        (
            backend("address = \"10.0.0.1:80\"\nconnection_burst = -1"),
            &[":10:20: connection_burst -1 is outside 0 to 1000000"],
        ),
        (pool("blend = 1.01"), &[":8:9: blend 1.01 is outside 0 to 1"]),
        (pool("blend = nan"), &[":8:9: blend NaN is outside 0 to 1"]),
        (pool("blend = -inf"), &[":8:9: blend -inf is outside 0 to 1"]),
        (pool("gain = 5"), &[":8:8: gain 5 is outside 0 to 4"]),
        (pool("gain = 1e999"), &[":8:8: gain inf is outside 0 to 4"]),
        (pool("floor = 0.0"), &[":8:9: floor 0 is outside 0.001 to 0.2"]),
        (pool("history = 1"), &[":8:11: history 1 is outside 2 to 32"]),
        (pool("history = 33"), &[":8:11: history 33 is outside 2 to 32"]),
        (pool("tick = \"9ms\""), &[":8:8: tick 9ms is outside 10ms to 60s"]),
        (pool("tick = \"61s\""), &[":8:8: tick 61s is outside 10ms to 60s"]),
        (pool("stale = \"99ms\""), &[":8:9: stale 99ms is outside 100ms to 3600s"]),
        (pool("decay = \"0s\""), &[":8:9: decay 0ns is outside 1ms to 600s"]),
        (
            pool("decay = \"213503982335d\""),
            &[
                ":8:9: decay: \"213503982335d\" is not a duration: it is longer than anything; write whole numbers with the units d, h, m, s, ms: \"200ms\", \"5s\", \"1m30s\"",
            ],
        ),
        (pool("seed = -1"), &[":8:8: seed -1 is outside 0 to 18446744073709551615"]),
        (
            pool("seed = 18446744073709551616"),
            &[":8:8: seed 18446744073709551616 is outside 0 to 18446744073709551615"],
        ),
        (
            pool("hash_seed = 1000000000000000000000000000000000000000000"),
            &[
                ":8:13: hash_seed 1000000000000000000000000000000000000000… is outside 0 to 18446744073709551615",
            ],
        ),
        (pool("policy = \"hash\"\nbounded_load = 1.0"), &[":9:16: bounded_load 1 is outside 1.01 to 10"]),
        (pool("policy = \"hash\"\nbounded_load = 10.5"), &[":9:16: bounded_load 10.5 is outside 1.01 to 10"]),
        (
            pool("bounded_load = 1.5"),
            &[
                ":8:16: bounded_load does not go with the policy round-robin; leave it out, or choose source or hash",
            ],
        ),
        (
            backend("address = \"10.0.0.1:80\"\nweight = 0"),
            &[":10:10: weight 0 is outside 1 to 65535; to stop new traffic, set admin = \"drain\""],
        ),
        (
            backend("address = \"10.0.0.1:80\"\nweight = 65536"),
            &[":10:10: weight 65536 is outside 1 to 65535"],
        ),
        (
            backend("address = \"10.0.0.1:80\"\nmaxconn = 1073741825"),
            &[":10:11: maxconn 1073741825 is outside 0 to 1073741824"],
        ),
        (backend("address = \"10.0.0.1:80\"\ntier = 256"), &[":10:8: tier 256 is outside 0 to 255"]),
        (
            backend("address = \"10.0.0.1:80\"\ntier = 1\nbackup = false"),
            &[":11:10: a backend has backup or tier, not both; backup = true means tier = 1"],
        ),
    ]);
}

#[test]
fn names_and_references() {
    let second = "[[listener]]\nname = \"two\"\nbind = \"127.0.0.1:81\"\npool = \"app\"\n";
    check(&[
        (BASE.replace("\"web\"", "\"\""), &[":2:8: this is no name: it has 0 bytes; 1 to 255 fit"]),
        (BASE.replace("web", &"n".repeat(256)), &[":2:8: this is no name: it has 256 bytes; 1 to 255 fit"]),
        (BASE.replace("\"web\"", "\"a\\nb\""), &[":2:8: this is no name: it holds a control character"]),
        (
            BASE.replace("\"app\"", "\"a/b\""),
            &[
                ":4:8: there is no pool named \"a/b\"; add a [[pool]] with this name",
                ":7:8: the name of a pool holds no /; POOL/BACKEND is how a backend is named from outside",
            ],
        ),
        (
            BASE.replace("name = \"web\"\n", ""),
            &[":1:1: name is missing in [[listener]]; add name = \"web\""],
        ),
        (
            format!("{BASE}{}", second.replace("two", "web")),
            &[":9:8: there is a listener named \"web\" already, on line 2; choose another name"],
        ),
        (
            format!("{BASE}[[pool]]\nname = \"app\""),
            &[":9:8: there is a pool named \"app\" already, on line 7; choose another name"],
        ),
        (
            BASE.replace("pool = \"app\"", "pool = \"ap\""),
            &[":4:8: there is no pool named \"ap\"; did you mean \"app\"?"],
        ),
        (
            format!("{}[[pool]]\nname = \"spare\"", BASE.replace("pool = \"app\"", "pool = \"database\"")),
            &[":4:8: there is no pool named \"database\"; pools: \"app\", \"spare\""],
        ),
        (
            owned("[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:1\"\npool = \"app\""),
            &[":4:8: there is no pool named \"app\"; add a [[pool]] with this name"],
        ),
        (
            BASE.replace("pool = \"app\"\n", ""),
            &[":1:1: pool is missing in [[listener]]; add pool = \"app\""],
        ),
        (
            owned(""),
            &[
                ": there is no [[listener]] and no [store], so there is nothing to do; add a listener with name, bind and pool, or a store with dir and resp",
            ],
        ),
        (
            owned("listener = []"),
            &[":1:12: there is no listener, so there is nothing to do; add one with name, bind and pool"],
        ),
        (
            pool("policy = \"leastconn\""),
            &[":8:10: unknown policy \"leastconn\"; did you mean \"least-connections\"?"],
        ),
        (
            pool("policy = \"maglev\""),
            &[":8:10: unknown policy \"maglev\"; write policy = \"hash\" and hash = \"maglev\""],
        ),
        (
            pool("policy = \"uri\""),
            &[
                ":8:10: unknown policy \"uri\"; known: \"round-robin\", \"static\", \"first\", \"random\", \"least-connections\", \"power-of-two\", \"peak-ewma\", \"fastest\", \"observed\", \"predictive\", \"source\", \"hash\"",
            ],
        ),
        (pool("hash = \"rings\""), &[":8:8: unknown hash \"rings\"; did you mean \"ring\"?"]),
        (
            pool("backups = \"both\""),
            &[":8:11: unknown backups \"both\"; known: \"one\", \"all\", \"spill\""],
        ),
        (pool("formula = \"f5\""), &[":8:11: unknown formula \"f5\"; known: \"trimtab\", \"f5-k6406\""]),
        (
            pool("proxy_protocol = \"accept\""),
            &[":8:18: unknown proxy_protocol \"accept\"; known: \"off\", \"v1\", \"v2\""],
        ),
        (
            listener("proxy_protocol = \"v2\""),
            &[":2:18: unknown proxy_protocol \"v2\"; known: \"off\", \"accept\""],
        ),
        (
            backend("address = \"10.0.0.1:80\"\nadmin = \"drained\""),
            &[":10:9: unknown admin \"drained\"; did you mean \"drain\"?"],
        ),
    ]);
}

#[test]
fn addresses() {
    let two = |first: &str, second: &str| backend(&format!("{first}\n[[pool.backend]]\n{second}"));
    let at = "address = \"10.0.0.1:80\"";
    check(&[
        (
            backend("weight = 1"),
            &[":8:1: address is missing in [[pool.backend]]; add address = \"10.0.0.1:80\""],
        ),
        (backend("address = \"10.0.0.1\""), &[":9:11: address \"10.0.0.1\" has no port; write 10.0.0.1:80"]),
        (
            backend("address = \"10.0.0.1:0\""),
            &[":9:11: address \"10.0.0.1:0\" has port 0; nothing listens there"],
        ),
        (
            backend("address = \"http://10.0.0.1:80\""),
            &[":9:11: address \"http://10.0.0.1:80\" is a URL; write host:port"],
        ),
        (
            two(at, at),
            &[
                ":11:11: the pool has 10.0.0.1:80 already, on line 9; take one out; a weight gives a backend a larger share",
            ],
        ),
        (
            two(&format!("name = \"a\"\n{at}"), "name = \"a\"\naddress = \"10.0.0.2:80\""),
            &[":12:8: the pool has a backend named \"a\" already, on line 9; choose another name"],
        ),
        // Who has no name goes by the address, so this is a name used twice.
        (
            two("name = \"10.0.0.1:80\"\naddress = \"10.0.0.2:80\"", at),
            &[":12:11: the pool has a backend named \"10.0.0.1:80\" already, on line 9; choose another name"],
        ),
        (
            BASE.replace("127.0.0.1:8080", "*:80"),
            &[":3:8: bind \"*:80\" names no address; write 0.0.0.0:80 or [::]:80"],
        ),
        (
            BASE.replace("bind = \"127.0.0.1:8080\"", "bind = 80"),
            &[
                ":3:8: bind is the whole number 80, where text is expected; for example bind = \"0.0.0.0:8080\"",
            ],
        ),
        (
            BASE.replace("bind = \"127.0.0.1:8080\"\n", ""),
            &[":1:1: bind is missing in [[listener]]; add bind = \"0.0.0.0:8080\""],
        ),
        (
            format!("{BASE}[admin]\nbind = \"127.0.0.1:8080\""),
            &[
                ":9:8: the listener \"web\" listens on 127.0.0.1:8080 already, on line 3; choose another address or port",
            ],
        ),
        (
            format!("{BASE}[[listener]]\nname = \"two\"\nbind = \"127.0.0.1:8080\"\npool = \"app\""),
            &[
                ":10:8: the listener \"web\" listens on 127.0.0.1:8080 already, on line 3; choose another address or port",
            ],
        ),
        (
            format!("{BASE}[admin]\n"),
            &[":8:1: bind is missing in [admin]; add bind = \"unix:/run/trimtab.sock\""],
        ),
        (
            format!("{BASE}[admin]\nmode = \"0600\""),
            &[":8:1: bind is missing in [admin]; add bind = \"unix:/run/trimtab.sock\""],
        ),
        (
            format!("{BASE}[admin]\nbind = \"unix:/a\"\nmode = \"rw\""),
            &[
                ":10:8: mode \"rw\" is no mode of a file; write octal digits: \"0600\" for the owner alone, \"0660\" for a group too",
            ],
        ),
        (
            format!("{BASE}[admin]\nbind = \"unix:/a\"\nmode = 0o660"),
            &[":10:8: mode is the whole number 0o660, where text is expected; for example mode = \"0600\""],
        ),
        (
            format!("{BASE}[admin]\nbind = \"127.0.0.1:9900\"\nmode = \"0600\""),
            &[
                ":10:8: mode is for the path of a unix socket, and 127.0.0.1:9900 is none; take it out, or bind a path: bind = \"unix:/run/trimtab.sock\"",
            ],
        ),
        (
            format!("{BASE}[admin]\nbind = \"unix:@a\"\nmode = \"0600\""),
            &[
                ":10:8: mode is for the path of a unix socket, and unix:@a is none; take it out, or bind a path: bind = \"unix:/run/trimtab.sock\"",
            ],
        ),
        (format!("{BASE}[admin]\nbind = \"unix:\""), &[":9:8: bind \"unix:\" names no path after unix:"]),
    ]);
}

#[test]
fn everything_wrong_is_told_at_once_and_in_order() {
    check(&[(
        owned(
            "[admin]\nbind = \":9900\"\n[[listener]]\nname = \"web\"\nbind = \"*:80\"\npool = \"ap\"\ntls = {}\n\
             [[pool]]\nname = \"app\"\npolicy = \"leastconn\"\nbounded_load = 0\n[[pool.backend]]\n\
             address = \"10.0.0.1:80\"\nweight = 0\nwieght = 1\n[runtime]\nworkers = 99\n",
        ),
        &[
            ":2:8: bind \":9900\" names no address; write 0.0.0.0:9900 or [::]:9900",
            ":5:8: bind \"*:80\" names no address; write 0.0.0.0:80 or [::]:80",
            ":6:8: there is no pool named \"ap\"; did you mean \"app\"?",
            ":7:1: \"tls\" in [[listener]] is not in this version yet; take it out",
            ":10:10: unknown policy \"leastconn\"; did you mean \"least-connections\"?",
            ":11:16: bounded_load does not go with the policy round-robin; leave it out, or choose source or hash",
            ":14:10: weight 0 is outside 1 to 65535; to stop new traffic, set admin = \"drain\"",
            ":15:1: unknown key \"wieght\" in [[pool.backend]]; did you mean \"weight\"?",
            ":17:11: workers 99 is outside 0 to 64",
        ],
    )]);
}

#[test]
fn one_more_than_fits_is_told() {
    let listeners: String = (0..=LISTENERS_MAX)
        .map(|n| format!("[[listener]]\nname = \"{n}\"\nbind = \"127.0.0.1:{}\"\npool = \"0\"\n", n + 1))
        .collect();
    let pools: String = (0..=POOLS_MAX).map(|n| format!("[[pool]]\nname = \"{n}\"\n")).collect();
    let first_line = 1 + 4 * LISTENERS_MAX;
    let pool_line = 5 + 4 * LISTENERS_MAX + 2 * POOLS_MAX;
    assert_eq!(
        told(&format!("{listeners}{pools}")),
        [
            format!(
                "t:{first_line}:1: a server takes 1024 listeners; this is one more; divide them among servers"
            ),
            format!(
                "t:{pool_line}:1: a server takes 4096 pools; this is one more; divide them among servers"
            ),
        ]
    );
    let backends: String = (0..=BACKENDS_MAX)
        .map(|n| {
            format!("[[pool.backend]]\naddress = \"10.{}.{}.{}:80\"\n", n / 65_536, n / 256 % 256, n % 256)
        })
        .collect();
    let line = 8 + 2 * BACKENDS_MAX;
    let expected =
        format!("t:{line}:1: a pool takes 65536 backends; this is one more; divide them among pools");
    assert_eq!(told(&format!("{BASE}{backends}")), [expected]);

    let padded = format!("{BASE}#{}", " ".repeat(TEXT_MAX - BASE.len()));
    assert_eq!(told(&padded), ["t: it has more than 16777216 bytes; is it the right file?"]);
}

#[test]
fn a_flood_of_problems_is_cut() {
    let text = (0..1000).map(|n| format!("k{n} = 1\n")).collect::<String>() + BASE;
    let told = told(&text);
    assert_eq!(told.len(), PROBLEMS_MAX + 1);
    assert!(
        told[0].starts_with("t:1:1: unknown key \"k0\"") && told[99].starts_with("t:100:1: "),
        "{told:?}"
    );
    assert_eq!(told[PROBLEMS_MAX], "t: 900 more problems; correct the first ones and look again");
}

#[test]
fn a_text_that_is_no_toml_is_told_where() {
    check(&[
        (format!("{BASE}name = \"again\""), &[":8:1: duplicate key"]),
        (
            owned("[[listener]]\nbind = 0.0.0.0:80\n"),
            &[":2:11: invalid float, expected nothing; text stands in quotes: write bind = \"0.0.0.0:80\""],
        ),
    ]);
}

/// The schema, the reader, the documentation and the example are four tellings of one thing.
#[test]
fn every_key_is_documented_and_in_the_example() {
    let documentation = include_str!("../../../../docs/configuration.md");
    let example = include_str!("../../../../examples/trimtab.toml");
    for schema in schema::ALL {
        for name in schema.names() {
            assert!(documentation.contains(&format!("`{name}`")), "docs/configuration.md lacks {name}");
            assert!(example.contains(name), "examples/trimtab.toml lacks {name} {}", schema.place);
        }
        for name in schema.later {
            assert!(documentation.contains(&format!("`{name}`")), "docs/configuration.md lacks {name}");
        }
    }
    Config::parse(example, "examples/trimtab.toml").unwrap();
    let least = documentation.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    super::good(least.expect("the documentation begins with the least that runs"));
}

/// A hint that is followed must not lead to the next error.
#[test]
fn what_hints_suggest_is_taken() {
    let at = |schema: &Schema, line: &str| match schema.place {
        "in [runtime]" => format!("[runtime]\n{line}\n{BASE}"),
        "in [admin]" if line.starts_with("mode") => format!("{BASE}[admin]\nbind = \"unix:/a\"\n{line}\n"),
        "in [admin]" => format!("{BASE}[admin]\n{line}\n"),
        "in listener.timeouts" => listener(&format!("timeouts.{line}")),
        "in pool.retry" => pool(&format!("retry.{line}")),
        "in [discovery]" => format!("{BASE}[discovery]\n{line}\n"),
        "in [store]" => {
            let key = line.split_once(' ').unwrap().0;
            const MEMBER: &str = "dir = \"data\"\nnode = \"db-1\"\nlearners = [\"db-4\"]\n\
                                  peer_tls = \"insecure-plaintext-anywhere\"\n";
            const PEERS: &str = "peers = { db-1 = \"10.0.0.5:7400\" }\n";
            let needs = match key {
                "cluster" | "listen" | "join" | "adopt" | "forward" | "degrade_after" | "stale_max"
                | "announce" | "sentinel" | "feed_timeout" | "patience" | "forward_max" => {
                    return format!("[store]\n{MEMBER}{PEERS}{line}\n");
                }
                #[cfg(feature = "replication")]
                key if crate::server::config::consensus::KEYS.contains(&key) => {
                    return format!("[store]\n{MEMBER}{PEERS}{line}\n");
                }
                "feed_from" => {
                    let peers = "peers = { db-1 = \"10.0.0.5:7400\", db-2 = \"10.0.0.6:7400\" }";
                    return format!("[store]\n{MEMBER}{peers}\n{line}\n");
                }
                "peers" => MEMBER,
                "learners" | "peer_tls" => {
                    let others: String = MEMBER
                        .lines()
                        .filter(|other| !other.starts_with(key))
                        .fold(String::new(), |text, other| text + other + "\n");
                    return format!("[store]\n{others}{PEERS}{line}\n");
                }
                "dir" => "resp = \"127.0.0.1:0\"\n",
                "resp" => "dir = \"data\"\n",
                "eviction" => "dir = \"data\"\nresp = \"127.0.0.1:0\"\nmemory_max = \"1GiB\"\n",
                _ => "dir = \"data\"\nresp = \"127.0.0.1:0\"\n",
            };
            format!("[store]\n{needs}{line}\n")
        }
        "in pool.store" => {
            let role = if line.starts_with("lag") { "store.role = \"any\"\n" } else { "" };
            format!(
                "{}[store]\ndir = \"data\"\nresp = \"127.0.0.1:0\"\n",
                pool(&format!("{role}store.{line}"))
            )
        }
        "in pool.adaptive" => pool(&format!("adaptive.{line}")),
        "in pool.outlier" => pool(&format!("outlier.{line}")),
        "in pool.check" if line.starts_with("kind") => pool(&format!("check.{line}")),
        "in pool.check" => {
            let key = line.split_once(' ').unwrap().0;
            let kind = match key {
                "method" | "path" | "host" | "headers" | "statuses" | "expect" | "expect_regex" => "http",
                "expect_headers" => "http",
                "steps" => "script",
                "server_name" | "alpn" => "tls",
                "user" => "postgres",
                "database" | "password_file" | "allow_cleartext" => "postgres\"\ncheck.user = \"monitor",
                "name" => "smtp",
                "send" => "agent",
                _ => "tcp",
            };
            pool(&format!("check.kind = \"{kind}\"\ncheck.{line}"))
        }
        "in pool.check.headers" => {
            let other = if line.starts_with("name") { "value = \"x\"" } else { "name = \"X\"" };
            pool(&format!("check = {{ kind = \"http\", headers = [{{ {line}, {other} }}] }}"))
        }
        "in pool.check.expect_headers" => {
            let other = if line.starts_with("name") { "" } else { ", name = \"X\"" };
            pool(&format!("check = {{ kind = \"http\", expect_headers = [{{ {line}{other} }}] }}"))
        }
        "in pool.check.steps" => {
            let other = if line.starts_with("send") { ", { expect = \"ok\" }" } else { "" };
            pool(&format!("check = {{ kind = \"script\", steps = [{{ {line} }}{other}] }}"))
        }
        "in [[listener]]"
            if ["reads", "max_age", "catch_up", "queue_max"].iter().any(|key| line.starts_with(key)) =>
        {
            format!(
                "[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:1\"\nmode = \"resp-split\"\n{line}\n\
                 [store]\ndir = \"data\"\nresp = \"127.0.0.1:0\"\n"
            )
        }
        "in [[listener]]" => {
            listener(&line.replace("name", "#name").replace("bind", "#bind").replace("pool", "#pool"))
        }
        "in [[pool]]" if line.starts_with("store") => {
            format!("{}[store]\ndir = \"data\"\nresp = \"127.0.0.1:0\"\n", pool(line))
        }
        "in [[pool]]" if line.starts_with("name") => BASE.to_string(),
        "in [[pool]]" if line.starts_with("bounded_load") => pool(&format!("policy = \"hash\"\n{line}")),
        "in [[pool]]" if line.starts_with("role") || line.starts_with("lag_max") => pool(&format!(
            "check = {{ kind = \"postgres\", user = \"monitor\" }}\n{}",
            line.replace("primary", "replica")
        )),
        "in [[pool]]" => pool(line),
        "in [[pool.backend]]" if line.starts_with("address") => backend(line),
        "in [[pool.backend]]" => backend(&format!("address = \"10.0.0.1:80\"\n{line}")),
        "at the top" => match line.split_once(' ').unwrap().0 {
            "listener" => format!("{line}\n[[pool]]\nname = \"app\""),
            "pool" => format!("{line}\n{}", BASE.split_once("\n[[pool]]").unwrap().0),
            _ => format!("{line}\n{BASE}"),
        },
        other => panic!("{other}"),
    };
    for schema in schema::ALL {
        for key in schema.keys {
            super::good(&at(schema, &format!("{} = {}", key.name, key.example)));
        }
    }
}

/// What is looked at together is told at the table, with the option and its range.
#[test]
fn adaptive_limits_at_their_ends() {
    for (text, part) in [
        ("min = 5, max = 4", "adaptive.max"),
        ("window = \"9ms\"", "adaptive.window"),
        ("window = \"61s\"", "adaptive.window"),
        ("percentile = 0.009", "adaptive.percentile"),
        ("percentile = 1.1", "adaptive.percentile"),
        ("rtt_interval = \"999ms\"", "adaptive.rtt_interval"),
        ("rtt_interval = \"25h\"", "adaptive.rtt_interval"),
        ("rtt_jitter = 1.01", "adaptive.rtt_jitter"),
        ("rtt_buffer = 10.1", "adaptive.rtt_buffer"),
    ] {
        let all = told(&pool(&format!("adaptive = {{ {text} }}")));
        assert!(all.len() == 1 && all[0].contains(part) && all[0].contains(":8:12: "), "{text}: {all:?}");
    }
}
