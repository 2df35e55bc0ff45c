//! What requests do, and whose are refused.

use super::*;

#[test]
fn what_there_is_can_be_read() {
    let fake = Fake::new();
    let status = ask(&fake, get("/v1/status"));
    assert_eq!((status.status, &status.body["state"]), (200, &Value::from("running")));
    assert_eq!(status.body["pools"][0]["backends"][1]["name"], "web-02");
    let pool = ask(&fake, get("/v1/pools/app"));
    assert_eq!((pool.status, &pool.body["policy"]), (200, &Value::from("round-robin")));
    assert_eq!(pool.body, status.body["pools"][0]);
    let backend = ask(&fake, get(WEB_01));
    assert_eq!(backend.body, pool.body["backends"][0]);
    assert_eq!(backend.body["check"]["state"], "up", "as everywhere");
    let encoded = ask(&fake, get("/v1/pools/app/backends/unix:%2Frun%2Fapp.sock"));
    assert_eq!(encoded.body["address"], SOCKET);
    let whole = ask(&fake, "GET http://any.example:80/v1/pools/app HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(whole.body, pool.body);
}

#[cfg(feature = "store")]
#[test]
fn balancers_are_told_which_node_this_is() {
    let fake = Fake::new();
    assert_eq!(ask(&fake, get("/primary")).status, 404, "there is no store");
    let standing = Standing {
        role: "replica",
        is_primary: false,
        is_following: true,
        age_ms: Some(20),
        behind: 5,
        sequence: 100,
        epoch: Some(7),
        primary: Some("10.0.0.1:6379".into()),
    };
    for (standing, primary, replica, close) in [
        (standing.clone(), 503, 200, 200),
        (Standing { age_ms: Some(1_001), ..standing.clone() }, 503, 200, 503),
        (
            Standing { age_ms: None, is_following: false, role: "candidate", ..standing.clone() },
            503,
            503,
            503,
        ),
        (Standing { role: "primary", is_primary: true, is_following: false, ..standing }, 200, 503, 503),
    ] {
        *fake.standing.lock() = Some(standing.clone());
        let told = ask(&fake, get("/primary"));
        assert_eq!((told.status, told.body["role"].as_str()), (primary, Some(standing.role)));
        assert_eq!(ask(&fake, get("/replica")).status, replica, "{standing:?}");
        assert_eq!(ask(&fake, get("/replica?lag=1s")).status, close, "{standing:?}");
        assert_eq!(ask(&fake, "GET /replica?lag=5 HTTP/1.0\r\n\r\n").status, replica, "{standing:?}");
        assert_eq!(ask(&fake, get("/replica?lag=4")).status, 503, "{standing:?}");
        assert_eq!(ask(&fake, change("POST", "/primary", "")).status, 405);
    }
    // Where nothing else may be asked for.
    let weak = Arc::downgrade(&fake);
    let mut open = Dialogue::new(weak, Reach::Standing);
    let mut answer = Vec::new();
    for path in ["/primary", "/v1/status", "/v1/events", "/replica"] {
        open.handle_bytes(get(path).as_bytes(), &mut answer);
    }
    open.handle_bytes(change("POST", "/v1/stop", "").as_bytes(), &mut answer);
    let told: Vec<u16> = heard(&answer, &[false; 5]).iter().map(|one| one.status).collect();
    assert_eq!(told, [200, 404, 404, 503, 404]);
    let mut open = Dialogue::new(Arc::<Fake>::downgrade(&fake), Reach::Standing);
    for path in ["/", "/v1/stattus", "/v1/status"] {
        let mut answer = Vec::new();
        open.handle_bytes(get(path).as_bytes(), &mut answer);
        let told = &heard(&answer, &[false])[0];
        let why = "there are /primary and /replica here; the rest is at the address of [admin]";
        assert_eq!((told.status, told.error()), (404, why), "{path}");
    }
    assert!(fake.orders.lock().is_empty());
}

#[cfg(all(feature = "store", feature = "replication"))]
#[test]
fn the_cluster_of_the_store_is_changed() {
    let fake = Fake::new();
    let path = "/v1/store/cluster";
    assert_eq!(ask(&fake, get(path)).status, 409);
    assert_eq!(ask(&fake, get("/v1/store/cluster?change=9")).status, 404);
    for (body, order) in [
        (r#"{"order": "transfer"}"#, "Transfer { to: None } within None"),
        (
            r#"{"order": "transfer", "node": "b", "timeout_ms": 50}"#,
            "Transfer { to: Some(\"b\") } within Some(50ms)",
        ),
        (
            r#"{"order": "add", "node": "d", "address": "10.0.0.4:7400"}"#,
            "Add { node: \"d\", address: Some(10.0.0.4:7400) } within None",
        ),
        (r#"{"order": "add", "node": "d"}"#, "Add { node: \"d\", address: None } within None"),
        (r#"{"order": "promote", "node": "d"}"#, "Promote { node: \"d\" } within None"),
        (r#"{"order": "remove", "node": "a"}"#, "Remove { node: \"a\" } within None"),
        (
            r#"{"order": "replace", "node": "a", "with": "d"}"#,
            "Replace { lost: \"a\", with: \"d\" } within None",
        ),
    ] {
        let ordered = ask(&fake, change("POST", path, body));
        assert_eq!((ordered.status, &ordered.body["change"]), (202, &Value::from(3)), "{body}");
        assert_eq!(fake.orders.lock().pop().as_deref(), Some(order));
    }
    let told = ask(&fake, change("POST", path, r#"{"order": "abort-transfer"}"#));
    assert_eq!((told.status, &told.body["was_under_way"]), (200, &Value::from(true)));
    assert_eq!(fake.orders.lock().pop().as_deref(), Some("abort transfer"));
    for (body, part) in [
        (r#"{"order": "abort-transfer", "node": "b"}"#, "node is not for abort-transfer"),
        (r#"{"order": "abort-transfer", "timeout_ms": 5}"#, "timeout_ms is not for abort-transfer"),
        ("{}", "the body has no order; known: transfer"),
        (r#"{"order": "tranfser"}"#, "did you mean \"transfer\"?"),
        (r#"{"order": 3}"#, "order is the number 3"),
        (r#"{"order": "add"}"#, "add needs node"),
        (r#"{"order": "replace", "node": "a"}"#, "replace needs with"),
        (r#"{"order": "remove", "node": "a", "with": "b"}"#, "with is for replace"),
        (r#"{"order": "remove", "node": "a", "address": "b"}"#, "address is for add"),
        (r#"{"order": "add", "node": "a", "address": "b"}"#, "is not ip:port"),
        (r#"{"order": "transfer", "timeout_ms": 0}"#, "timeout_ms 0 is outside 1 to"),
        (r#"{"order": "transfer", "noed": "a"}"#, "unknown field"),
    ] {
        let refused = ask(&fake, change("POST", path, body));
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.error().contains(part), "{body}: {}", refused.error());
    }
    assert!(fake.orders.lock().is_empty());
}

#[test]
fn a_backend_is_changed_all_or_nothing() {
    let fake = Fake::new();
    let drained =
        ask(&fake, change("POST", WEB_01, r#"{"admin": "drain", "weight": 50, "maxconn": 7, "tier": 255}"#));
    assert_eq!(drained.status, 200);
    for (key, value) in
        [("admin", Value::from("drain")), ("weight", 50.into()), ("maxconn", 7.into()), ("tier", 255.into())]
    {
        assert_eq!(drained.body[key], value, "{key}");
    }
    assert_eq!(drained.body, ask(&fake, get(WEB_01)).body);
    let partly = ask(&fake, change("POST", WEB_01, r#"{"admin": "ready", "weight": 70000}"#));
    assert_eq!(partly.status, 400);
    // What the pool itself refuses leaves everything as it was too.
    let still = "/v1/pools/still/backends/web-01";
    let refused = ask(&fake, change("POST", still, r#"{"admin": "drain", "weight": 2}"#));
    assert_eq!(refused.status, 400);
    assert!(refused.error().contains("static"), "{}", refused.error());
    assert_eq!(ask(&fake, get(still)).body["admin"], "ready");
    assert_eq!(fake.admin_of("web-01"), Admin::Drain);
}

#[test]
fn nodes_of_the_store_are_changed_and_neither_added_nor_removed() {
    let fake = Fake::new();
    let nodes = || fake.pools[2].1.members().len();
    for (method, name, body) in
        [("PUT", "x", r#"{"address": "10.0.0.4:80"}"#), ("DELETE", "db-1", ""), ("DELETE", "x", "")]
    {
        let refused = ask(&fake, change(method, &format!("/v1/pools/nodes/backends/{name}"), body));
        assert_eq!(refused.status, 409, "{method} {name}");
        assert!(refused.error().contains("are the nodes of the store"), "{}", refused.error());
        assert_eq!(nodes(), 1);
    }
    let path = "/v1/pools/nodes/backends/db-1";
    let drained = ask(&fake, change("POST", path, r#"{"admin": "drain", "weight": 5}"#));
    assert_eq!((drained.status, &drained.body["admin"]), (200, &"drain".into()));
    assert_eq!(ask(&fake, get(path)).body["weight"], 5);
}

#[test]
fn backends_are_added_and_removed() {
    let fake = Fake::new();
    let path = "/v1/pools/app/backends/a%20%2F%C3%A9";
    let body = r#"{"address": "10.0.0.9:80", "weight": 3, "maxconn": 4, "tier": 1, "admin": "maintenance"}"#;
    let added = ask(&fake, change("PUT", path, body));
    assert_eq!((added.status, &added.body["name"]), (201, &Value::from("a /é")));
    assert_eq!(ask(&fake, get(path)).body, added.body);
    let again = ask(&fake, change("PUT", path, r#"{"address": "10.0.0.8:80"}"#));
    assert_eq!((again.status, again.error().contains("name")), (409, true));
    let twice = ask(&fake, change("PUT", "/v1/pools/app/backends/other", body));
    assert_eq!((twice.status, twice.error().contains("10.0.0.9:80")), (409, true));
    let removed = ask(&fake, change("DELETE", path, ""));
    assert_eq!((removed.status, &removed.body), (204, &Value::Null));
    assert_eq!(ask(&fake, change("DELETE", path, "{}")).status, 404);
    // A name like the address is none of its own: it goes with it.
    let unnamed =
        ask(&fake, change("PUT", "/v1/pools/app/backends/10.0.0.7:80", r#"{"address": "10.0.0.7:80"}"#));
    assert_eq!((unnamed.status, &unnamed.body["name"]), (201, &Value::from("10.0.0.7:80")));
    let long = "n".repeat(256);
    let too_long =
        ask(&fake, change("PUT", &format!("/v1/pools/app/backends/{long}"), r#"{"address": "10.0.0.6:80"}"#));
    assert_eq!(too_long.status, 400);
    let fits = ask(
        &fake,
        change("PUT", &format!("/v1/pools/app/backends/{}", &long[1..]), r#"{"address": "10.0.0.6:80"}"#),
    );
    assert_eq!(fits.status, 201);
    assert_eq!(
        ask(&fake, change("PUT", "/v1/pools/app/backends/a%0Ab", r#"{"address": "10.0.0.5:80"}"#)).status,
        400
    );
}

#[cfg(feature = "store")]
#[test]
fn a_backup_is_ordered() {
    let fake = Fake::new();
    const PATH: &str = "/v1/store/backup";
    for (body, order) in [
        (r#"{"to": "/mnt/backup"}"#, "backup /mnt/backup false"),
        (r#"{"to": "/mnt/backup", "full": true}"#, "backup /mnt/backup true"),
    ] {
        let told = ask(&fake, change("POST", PATH, body));
        assert_eq!((told.status, &told.body["ordered"]), (202, &Value::from("backup")), "{body}");
        assert_eq!(told.body["backup"], fake.orders.lock().len() as u64);
        assert_eq!(fake.orders.lock().last().map(String::as_str), Some(order), "{body}");
    }
    for (body, why) in [
        ("", "no JSON object"),
        ("{}", "write {\"to\": \"/mnt/backup\"}"),
        (r#"{"to": 7}"#, "to is the number 7, where a text is expected"),
        (r#"{"to": null}"#, "to is null"),
        (r#"{"to": "/b", "full": "yes"}"#, "full is the text \"yes\", where true or false is expected"),
        (r#"{"to": "/b", "fast": true}"#, "unknown field"),
    ] {
        let refused = ask(&fake, change("POST", PATH, body));
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.error().contains(why), "{body}: {}", refused.error());
    }
    assert_eq!(fake.orders.lock().len(), 2);
    let recent = ask(&fake, get(PATH));
    assert_eq!((recent.status, &recent.body["state"]), (200, &Value::from("idle")));
    let refused = ask(&fake, change("DELETE", PATH, ""));
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD, POST")));
}

#[test]
fn the_server_is_told_to_end() {
    let fake = Fake::new();
    let head = format!("POST /v1/drain HTTP/1.1\r\n{JSON}\r\n");
    for (text, order) in [
        (head, "drain None"),
        (change("POST", "/v1/drain", "{}"), "drain None"),
        (change("POST", "/v1/drain", r#"{"timeout_ms": 0}"#), "drain Some(0ns)"),
        (change("POST", "/v1/drain", r#"{"timeout_ms": 2592000000}"#), "drain Some(2592000s)"),
    ] {
        let told = ask(&fake, &text);
        assert_eq!((told.status, &told.body["ordered"]), (202, &Value::from("drain")), "{text}");
        assert_eq!(fake.orders.lock().pop().as_deref(), Some(order), "{text}");
    }
    assert_eq!(ask(&fake, change("POST", "/v1/drain", r#"{"timeout_ms": 2592000001}"#)).status, 400);
    let stopped = ask(&fake, change("POST", "/v1/stop", ""));
    assert_eq!((stopped.status, stopped.error()), (409, "the server has ended"));
    assert_eq!(*fake.orders.lock(), ["stop"]);
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let fake = Fake::new();
    for (path, parts) in [
        ("/v1/pools/ap", &["pool \"ap\"", "did you mean \"app\"?"][..]),
        ("/v1/pools/x", &["there are: \"app\", \"still\", \"nodes\""]),
        (
            "/v1/pools/app/backends/web-1",
            &["no backend \"web-1\" in the pool \"app\"", "did you mean \"web-01\"?"],
        ),
        ("/v1/pools/app/backends/zzz", &["there are: \"web-01\", \"web-02\", \"unix:/run/app.sock\""]),
        ("/v1/pools/nope/backends/web-01", &["no pool \"nope\""]),
        ("/v1/statu", &["nothing at \"/v1/statu\"", "/v1/status"]),
        ("/", &["/v1/status"]),
    ] {
        let answer = ask(&fake, get(path));
        assert_eq!(answer.status, 404, "{path}");
        for part in parts {
            assert!(answer.error().contains(part), "{path}: {}", answer.error());
        }
    }
    for (method, body) in [("POST", r#"{"weight": 2}"#), ("DELETE", "")] {
        assert_eq!(ask(&fake, change(method, "/v1/pools/app/backends/web", body)).status, 404);
        assert_eq!(ask(&fake, change(method, "/v1/pools/a/backends/web-01", body)).status, 404);
    }
    assert_eq!(
        ask(&fake, change("PUT", "/v1/pools/a/backends/b", r#"{"address": "10.0.0.9:80"}"#)).status,
        404
    );
    fake.app().update(|edit| fake.app().ids().into_iter().try_for_each(|id| edit.remove(id))).unwrap();
    assert!(ask(&fake, get(WEB_01)).error().ends_with("the pool is empty"));
}

#[test]
fn a_method_that_is_not_for_it_is_told_which_are() {
    let fake = Fake::new();
    for (method, path, allow) in [
        ("POST", "/v1/status", "GET, HEAD"),
        ("DELETE", "/v1/pools/app", "GET, HEAD"),
        ("PATCH", WEB_01, "GET, HEAD, POST, PUT, DELETE"),
        ("get", "/v1/status", "GET, HEAD"),
        ("OPTIONS", "/v1/stop", "POST"),
        ("GET", "/v1/stop", "POST"),
    ] {
        let answer = ask(&fake, change(method, path, ""));
        assert_eq!((answer.status, answer.field("allow")), (405, Some(allow)), "{method} {path}");
    }
    for method in ["GET,", "GET, HEAD", ""] {
        assert_eq!(ask(&fake, change(method, "/v1/status", "")).status, 400, "{method}");
    }
    assert!(fake.orders.lock().is_empty());
}

#[test]
fn bodies_are_refused_for_what_is_wrong() {
    let fake = Fake::new();
    for (body, part) in [
        ("", "no JSON object"),
        ("   ", "no JSON object"),
        ("[]", "no JSON object"),
        ("\"drain\"", "no JSON object"),
        ("{", "EOF"),
        ("{} {}", "trailing"),
        ("{}", "changes nothing"),
        (r#"{"wieght": 5}"#, "unknown field `wieght`, expected one of `admin`, `weight`"),
        (r#"{"address": "10.0.0.1:80"}"#, "unknown field `address`"),
        (r#"{"weight": 5, "weight": 6}"#, "duplicate field `weight`"),
        (r#"{"weight": "5"}"#, "weight is the text \"5\", where a whole number is expected"),
        (r#"{"weight": null}"#, "weight is null"),
        (r#"{"weight": true}"#, "weight is true"),
        (r#"{"weight": [5]}"#, "weight is a list"),
        (r#"{"weight": {}}"#, "weight is an object"),
        (r#"{"weight": 0}"#, "set admin to \"drain\""),
        (r#"{"weight": 65536}"#, "outside 1 to 65535"),
        (r#"{"weight": -1}"#, "-1 is outside 1 to 65535"),
        (r#"{"weight": 1.5}"#, "not a whole number"),
        (r#"{"weight": 99999999999999999999}"#, "not a whole number"),
        (r#"{"maxconn": 1073741825}"#, "outside 0 to 1073741824"),
        (r#"{"tier": 256}"#, "outside 0 to 255"),
        (r#"{"admin": "drian"}"#, "did you mean \"drain\"?"),
        (r#"{"admin": "x"}"#, "known: \"ready\", \"drain\", \"maintenance\""),
        (r#"{"admin": 1}"#, "admin is the number 1"),
        ("{\"\u{1b}[0m\": 1}", "control character"),
        ("{\"a\\u001b\\n\": 1}", "unknown field `a\u{fffd}\u{fffd}`"),
    ] {
        let answer = ask(&fake, change("POST", WEB_01, body));
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.error().contains(part), "{body}: {}", answer.error());
        assert!(!answer.error().contains(char::is_control), "{body}");
    }
    for (body, part) in [
        ("{}", "has no address"),
        (r#"{"address": 80}"#, "address is the number 80"),
        (r#"{"address": "10.0.0.4"}"#, "write 10.0.0.4:80"),
        (r#"{"address": "10.0.0.4:80", "weight": 0}"#, "outside 1 to"),
        (r#"{"address": "10.0.0.4:80", "name": "x"}"#, "unknown field `name`"),
    ] {
        let answer = ask(&fake, change("PUT", "/v1/pools/app/backends/new", body));
        assert_eq!((answer.status, answer.error().contains(part)), (400, true), "{body}: {}", answer.error());
    }
    for (method, path) in [("DELETE", WEB_01), ("POST", "/v1/stop"), ("POST", "/v1/drain")] {
        for body in [r#"{"x": 1}"#, "[]", "now"] {
            assert_eq!(ask(&fake, change(method, path, body)).status, 400, "{method} {path} {body}");
        }
    }
    let deep = format!("{{\"weight\": {}", "[".repeat(60_000));
    assert_eq!(ask(&fake, change("POST", WEB_01, &deep)).status, 400);
    assert!(fake.orders.lock().is_empty());
    assert_eq!(fake.app().ids().len(), 3);
}

#[test]
fn a_web_page_changes_nothing() {
    let fake = Fake::new();
    let drain = r#"{"admin": "drain"}"#;
    let post = |fields: &str| {
        format!("POST {WEB_01} HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: 18\r\n\r\n{drain}")
    };
    for (fields, status) in [
        ("", 415),
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("Content-Type: application/jsonx\r\n", 415),
        ("Content-Type: application/json\r\nContent-Type: text/plain\r\n", 415),
        ("Content-Type: text/plain; application/json\r\n", 415),
        ("Origin: http://evil.example\r\nContent-Type: application/json\r\n", 403),
        ("origin: null\r\nContent-Type: application/json\r\n", 403),
        ("Origin:\r\nContent-Type: application/json\r\n", 403),
    ] {
        assert_eq!(ask(&fake, post(fields)).status, status, "{fields}");
        assert_eq!(fake.admin_of("web-01"), Admin::Ready, "{fields}");
    }
    for path in ["/v1/stop", "/v1/drain"] {
        assert_eq!(ask(&fake, format!("POST {path} HTTP/1.1\r\nHost: x\r\n\r\n")).status, 415);
    }
    assert_eq!(ask(&fake, format!("DELETE {WEB_01} HTTP/1.1\r\nHost: x\r\n\r\n")).status, 415);
    assert!(fake.orders.lock().is_empty());
    for fields in ["Content-Type: application/json\r\n", "content-type:APPLICATION/JSON; charset=utf-8\r\n"] {
        assert_eq!(ask(&fake, post(fields)).status, 200, "{fields}");
    }
    // To look is free: a page cannot read what is answered.
    assert_eq!(
        ask(&fake, "GET /v1/status HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n\r\n").status,
        200
    );
}

#[test]
fn on_loopback_only_loopbacks_names_are_good() {
    let fake = Fake::new();
    for (host, is_good) in [
        ("localhost", true),
        ("LocalHost:9900", true),
        ("127.0.0.1", true),
        ("127.0.0.1:9900", true),
        ("127.8.9.10:1", true),
        ("[::1]", true),
        ("[::1]:9900", true),
        ("[::ffff:127.0.0.1]:80", true),
        ("evil.example", false),
        ("evil.example:9900", false),
        ("localhost.evil.example", false),
        ("10.0.0.1:9900", false),
        ("[2001:db8::1]", false),
        ("::1", false),
        ("127.0.0.1:x", false),
        ("", false),
    ] {
        for text in [
            format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("GET http://{host}/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ] {
            let mut answer = Vec::new();
            assert!(dialogue(&fake, true).handle_bytes(text.as_bytes(), &mut answer));
            assert_eq!(heard(&answer, &[])[0].status, if is_good { 200 } else { 403 }, "{text}");
            // Over a unix socket or the network any name does.
            assert_eq!(ask(&fake, &text).status, 200, "{text}");
        }
    }
}
