//! Conversations without a socket.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::balance::{Admin, Backend, Options, Policy};
use crate::driver::conversation::{Conversation, Progress};
use crate::driver::event::{Event, EventKind};
use crate::error::Error;
use crate::server::journal::{FOLLOWERS_MAX, Journal};
use crate::server::statistics::{AdminStatistics, ServerStatistics};

/// One pool `app` of `web-01`, `web-02` and a backend that is named like its address, and one `still` with the
/// policy static. What is ordered is written down.
struct Fake {
    pools: Vec<(&'static str, Arc<Pool>)>,
    orders: Mutex<Vec<String>>,
    journal: Arc<Journal>,
}

impl Fake {
    fn new() -> Arc<Self> {
        let pool = |policy| Arc::new(Pool::new(Options { policy, lanes: 1, ..Options::default() }).unwrap());
        let (app, still) = (pool(Policy::RoundRobin), pool(Policy::Static));
        for (name, address) in
            [(Some("web-01"), "10.0.0.1:80"), (Some("web-02"), "10.0.0.2:80"), (None, SOCKET)]
        {
            let backend = Backend { name: name.map(String::from), ..Backend::parse(address).unwrap() };
            app.add(backend.clone()).unwrap();
            still.add(backend).unwrap();
        }
        let orders = Mutex::new(Vec::new());
        let journal = Arc::new(Journal::default());
        Arc::new(Self { pools: vec![("app", app), ("still", still)], orders, journal })
    }

    fn app(&self) -> &Pool {
        &self.pools[0].1
    }

    fn admin_of(&self, name: &str) -> Admin {
        self.app().backend(self.app().find(name).unwrap()).unwrap().admin
    }
}

impl Instance for Fake {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn status(&self) -> Status {
        Status {
            version: "0",
            state: "running",
            pid: 1,
            workers: 1,
            totals: ServerStatistics::default(),
            listeners: Vec::new(),
            pools: self.pools.iter().map(|(name, pool)| PoolStatus::read(name, pool, 0)).collect(),
            admin: AdminStatistics::default(),
        }
    }

    fn pool_names(&self) -> Vec<&str> {
        self.pools.iter().map(|(name, _)| *name).collect()
    }

    fn pool(&self, name: &str) -> Option<Arc<Pool>> {
        self.pools.iter().find(|(known, _)| *known == name).map(|(_, pool)| Arc::clone(pool))
    }

    fn pool_status(&self, name: &str) -> Option<PoolStatus> {
        self.pool(name).map(|pool| PoolStatus::read(name, &pool, 0))
    }

    fn follow(&self, start: Start, goes_on: bool) -> Result<Follower> {
        self.journal.follow(start, goes_on)
    }

    fn drain(&self, timeout: Option<Duration>) -> Result<()> {
        self.orders.lock().push(format!("drain {timeout:?}"));
        Ok(())
    }

    fn stop(&self) -> Result<()> {
        self.orders.lock().push("stop".into());
        Err(Error::State { what: "server", detail: "has ended".into() })
    }
}

const SOCKET: &str = "unix:/run/app.sock";
const JSON: &str = "Host: x\r\nContent-Type: application/json\r\n";

fn dialogue(instance: &Arc<Fake>, is_loopback: bool) -> Dialogue {
    let weak = Arc::downgrade(instance);
    Dialogue::new(weak, is_loopback)
}

/// One answer as it came over the wire.
#[derive(Clone, Debug, PartialEq)]
struct Heard {
    status: u16,
    fields: Vec<(String, String)>,
    body: Value,
}

impl Heard {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn ends(&self) -> bool {
        self.field("connection") == Some("close")
    }

    fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_else(|| panic!("no error: {self:?}"))
    }
}

/// Takes the answers apart. `bodiless` tells which of them are to a HEAD.
fn heard(mut bytes: &[u8], bodiless: &[bool]) -> Vec<Heard> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = response.parse(bytes).unwrap() else { panic!("cut off") };
        bytes = &bytes[length..];
        let status = response.code.unwrap();
        if status == 100 {
            continue;
        }
        let fields: Vec<_> = response
            .headers
            .iter()
            .map(|field| {
                let value = String::from_utf8(field.value.to_vec()).unwrap();
                (field.name.to_ascii_lowercase(), value)
            })
            .collect();
        let mut one = Heard { status, fields, body: Value::Null };
        assert_eq!(one.field("cache-control"), Some("no-store"));
        assert!(!response.reason.unwrap().is_empty());
        if status == 204 {
            assert_eq!(one.field("content-length"), None);
        } else {
            let length: usize = one.field("content-length").unwrap().parse().unwrap();
            assert_eq!(one.field("content-type"), Some("application/json"));
            if !bodiless.get(all.len()).is_some_and(|bodiless| *bodiless) {
                assert_eq!(bytes[length - 1], b'\n');
                one.body = serde_json::from_slice(&bytes[..length]).unwrap();
                bytes = &bytes[length..];
            }
        }
        all.push(one);
    }
    all
}

/// Says all of `text` and hears one answer.
fn ask(instance: &Arc<Fake>, text: impl AsRef<[u8]>) -> Heard {
    let mut answer = Vec::new();
    let goes_on = dialogue(instance, false).handle_bytes(text.as_ref(), &mut answer);
    let mut all = heard(&answer, &[]);
    assert_eq!(all.len(), 1, "{all:?}");
    let one = all.remove(0);
    // The rest of a body that was refused may still be taken.
    assert!(goes_on || one.ends());
    one
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn change(method: &str, path: &str, body: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\n{JSON}Content-Length: {}\r\n\r\n{body}", body.len())
}

const WEB_01: &str = "/v1/pools/app/backends/web-01";

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
    let encoded = ask(&fake, get("/v1/pools/app/backends/unix:%2Frun%2Fapp.sock"));
    assert_eq!(encoded.body["address"], SOCKET);
    let whole = ask(&fake, "GET http://any.example:80/v1/pools/app HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(whole.body, pool.body);
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
        ("/v1/pools/x", &["there are: \"app\", \"still\""]),
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

#[test]
fn requests_may_be_sent_ahead_and_in_any_pieces() {
    let fake = Fake::new();
    let text = [
        "\r\n".to_string(),
        get(WEB_01),
        change("POST", WEB_01, r#"{"weight": 9}"#),
        change("POST", WEB_01, "nonsense"),
        format!("HEAD {WEB_01} HTTP/1.1\r\nHost: x\r\n\r\n"),
        change("GET", WEB_01, "a body that is not asked for"),
        get("/v1/none").replace("\r\n", "\n"),
        "GET /v1/pools/app HTTP/1.1\r\nHost: x\r\nConnection: x , Close\r\n\r\n".to_string(),
        get("/v1/status"),
    ]
    .concat();
    let bodiless = [false, false, false, true];
    let mut first: Option<Vec<Heard>> = None;
    for size in [text.len(), 1, 2, 3, 7, 100] {
        fake.app().set_weight(fake.app().find("web-01").unwrap(), 1).unwrap();
        let (mut dialogue, mut answer, mut goes_on) = (dialogue(&fake, false), Vec::new(), true);
        for piece in text.as_bytes().chunks(size) {
            goes_on = dialogue.handle_bytes(piece, &mut answer);
        }
        assert!(!goes_on);
        let all = heard(&answer, &bodiless);
        let statuses: Vec<_> = all.iter().map(|one| one.status).collect();
        assert_eq!(statuses, [200, 200, 400, 200, 200, 404, 200], "in pieces of {size}");
        assert!(all[6].ends() && all[..6].iter().all(|one| !one.ends()));
        assert_eq!((&all[0].body["weight"], &all[4].body["weight"]), (&Value::from(1), &Value::from(9)));
        // HEAD gives what GET gives, but for the body.
        assert_eq!(all[3].fields, all[4].fields);
        assert_eq!(first.get_or_insert_with(|| all.clone()), &all);
    }
}

#[test]
fn a_connection_is_kept_unless_one_side_does_not_want_it() {
    let fake = Fake::new();
    for (text, goes_on) in [
        (get("/v1/status"), true),
        ("GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".into(), true),
        ("GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), false),
        ("GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: a\r\nConnection: close\r\n\r\n".into(), false),
        ("GET /v1/status HTTP/1.0\r\n\r\n".into(), false),
        ("GET /v1/status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".into(), false),
        ("GET /v1/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), false),
    ] {
        let mut answer = Vec::new();
        let mut dialogue = dialogue(&fake, false);
        assert_eq!(dialogue.handle_bytes(text.as_bytes(), &mut answer), goes_on, "{text}");
        assert_eq!(heard(&answer, &[])[0].ends(), !goes_on, "{text}");
        // What comes after the end is ignored.
        let said = answer.len();
        assert_eq!(dialogue.handle_bytes(get("/v1/status").as_bytes(), &mut answer), goes_on);
        assert_eq!(answer.len() > said, goes_on);
        assert!(!dialogue.handle_bytes(b"", &mut answer));
    }
}

#[test]
fn what_is_no_request_ends_it() {
    let fake = Fake::new();
    for (text, status) in [
        ("\x16\x03\x01\x02\x00\x01", 400),
        ("status\n", 400),
        ("GET  /v1/status HTTP/1.1\r\n", 400),
        ("GET /v1/status HTTP/2.0\r\n", 505),
        ("GET /v1/status HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("GET /v1/status HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
        ("GET /v1/status HTTP/1.1\r\nHost: x\0\r\n\r\n", 400),
        ("POST /v1/drain HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST /v1/drain HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
        ("POST /v1/drain HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", 400),
        ("POST /v1/drain HTTP/1.1\r\nContent-Length:\r\n\r\n", 400),
        ("POST /v1/drain HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\n", 400),
        ("POST /v1/drain HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", 400),
        ("POST /v1/drain HTTP/1.1\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\n", 400),
    ] {
        let mut answer = Vec::new();
        assert!(!dialogue(&fake, false).handle_bytes(text.as_bytes(), &mut answer), "{text:?}");
        let all = heard(&answer, &[]);
        assert_eq!((all[0].status, all[0].ends()), (status, true), "{text:?}");
    }
    for (text, status) in [
        ("GET /v1/status HTTP/1.1\r\n\r\n", 400),
        ("GET /v1/status HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET ftp://x/v1/status HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("GET http://x?a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ] {
        let answer = ask(&fake, text);
        assert_eq!((answer.status, answer.ends()), (status, false), "{text:?}");
    }
    assert!(fake.orders.lock().is_empty());
}

#[test]
fn heads_are_taken_up_to_their_limit() {
    let fake = Fake::new();
    let head = |length: usize| {
        let start = "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
    };
    assert_eq!(head(HEAD_MAX).len(), HEAD_MAX);
    for size in [1, 1000, usize::MAX] {
        for (length, status) in [(HEAD_MAX, 200), (HEAD_MAX + 1, 431)] {
            let (mut dialogue, mut answer, mut goes_on) = (dialogue(&fake, false), Vec::new(), true);
            for piece in head(length).as_bytes().chunks(size) {
                goes_on = dialogue.handle_bytes(piece, &mut answer);
            }
            let all = heard(&answer, &[]);
            assert_eq!((all.len(), all[0].status, goes_on), (1, status, status == 200), "{length} by {size}");
        }
    }
    let fields = |count: usize| {
        let more: String = (1..count).map(|number| format!("X-{number}: y\r\n")).collect();
        format!("GET /v1/status HTTP/1.1\r\nHost: x\r\n{more}\r\n")
    };
    assert_eq!(ask(&fake, fields(FIELDS_MAX)).status, 200);
    assert_eq!(ask(&fake, fields(FIELDS_MAX + 1)).status, 431);
}

#[test]
fn bodies_are_taken_up_to_their_limit_and_counted() {
    let fake = Fake::new();
    let body = |length: usize| r#"{"weight": 8}"#.to_string() + &" ".repeat(length - 13);
    assert_eq!(ask(&fake, change("POST", WEB_01, &body(BODY_MAX))).status, 200);
    for length in [BODY_MAX + 1, 1 << 20, 1 << 22] {
        let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
        let text = change("POST", WEB_01, &body(length));
        let mut goes_on = true;
        let mut taken = 0;
        for piece in text.as_bytes().chunks(1 << 16) {
            goes_on = goes_on && dialogue.handle_bytes(piece, &mut answer);
            taken += if goes_on { piece.len() } else { 0 };
        }
        // The body is read so that the client gets to the answer, up to a point.
        assert!(!goes_on);
        assert!(taken >= length.min(1 << 20) - (1 << 16), "{taken} of {length}");
        let all = heard(&answer, &[]);
        assert_eq!((all.len(), all[0].status, all[0].ends()), (1, 413, true));
    }
    let endless = format!("POST {WEB_01} HTTP/1.1\r\n{JSON}Content-Length: {}\r\n\r\n", "9".repeat(40));
    assert_eq!(ask(&fake, endless).status, 413);
    for needs in ["POST", "PUT"] {
        let unmeasured = ask(&fake, format!("{needs} {WEB_01} HTTP/1.1\r\n{JSON}\r\n"));
        assert_eq!((unmeasured.status, unmeasured.ends()), (411, false));
    }
    for coding in ["chunked", "gzip, chunked", "identity"] {
        let mut answer = Vec::new();
        let mut dialogue = dialogue(&fake, false);
        let text = format!(
            "POST {WEB_01} HTTP/1.1\r\n{JSON}Transfer-Encoding: {coding}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
        );
        assert!(dialogue.handle_bytes(text.as_bytes(), &mut answer));
        let all = heard(&answer, &[]);
        assert_eq!((all.len(), all[0].status, all[0].ends()), (1, 501, true));
        // Nothing of it is taken for a request.
        assert!(dialogue.handle_bytes(get("/v1/status").as_bytes(), &mut answer));
        assert_eq!(heard(&answer, &[]).len(), 1);
        assert!(!dialogue.handle_bytes(b"", &mut answer));
    }
}

#[test]
fn who_waits_for_a_word_gets_it() {
    let fake = Fake::new();
    let body = r#"{"weight": 6}"#;
    let head = |fields: &str| {
        format!("POST {WEB_01} HTTP/1.1\r\n{JSON}Content-Length: {}\r\n{fields}\r\n", body.len())
    };
    let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
    assert!(dialogue.handle_bytes(head("Expect: 100-Continue\r\n").as_bytes(), &mut answer));
    assert_eq!(answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(dialogue.handle_bytes(body.as_bytes(), &mut answer));
    assert_eq!(heard(&answer, &[])[0].status, 200);
    answer.clear();
    let at_once = head("Expect: 100-continue\r\n") + body;
    assert!(dialogue.handle_bytes(at_once.as_bytes(), &mut answer));
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(ask(&fake, head("Expect: more\r\n")).status, 417);
    // Who is refused may keep the body back: nothing behind can be told apart.
    let refused = ask(&fake, head("Expect: 100-continue\r\n").replace("web-01", "web-01/x"));
    assert_eq!((refused.status, refused.ends()), (404, true));
}

#[test]
fn answers_that_wait_are_bounded() {
    let fake = Fake::new();
    let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
    let many = |count| get("/v1/none").repeat(count);
    assert!(dialogue.handle_bytes(many(AHEAD_MAX).as_bytes(), &mut answer));
    assert_eq!(heard(&answer, &[]).len(), AHEAD_MAX);
    answer.clear();
    assert!(!dialogue.handle_bytes(many(AHEAD_MAX + 1).as_bytes(), &mut answer));
    let all = heard(&answer, &[]);
    assert_eq!((all.len(), all[AHEAD_MAX - 1].ends()), (AHEAD_MAX, true));

    fake.app()
        .update(|edit| {
            (1..2000).try_for_each(|port| edit.add(Backend::parse(&format!("10.1.0.1:{port}"))?).map(drop))
        })
        .unwrap();
    let (mut dialogue, mut answer) = (super::tests::dialogue(&fake, false), Vec::new());
    assert!(!dialogue.handle_bytes(get("/v1/status").repeat(AHEAD_MAX).as_bytes(), &mut answer));
    let all = heard(&answer, &[]);
    let one = answer.len() / all.len();
    assert!(
        all.last().unwrap().ends() && answer.len() < (1 << 20) + 2 * one,
        "{} answers of {one}",
        all.len()
    );
    assert_eq!(answer.len() / ((1 << 20) + one), 1);
}

#[test]
fn a_server_that_is_gone_says_so() {
    let fake = Fake::new();
    let mut dialogue = dialogue(&fake, false);
    drop(fake);
    let mut answer = Vec::new();
    assert!(!dialogue.handle_bytes(get("/v1/status").as_bytes(), &mut answer));
    assert_eq!(heard(&answer, &[])[0].status, 503);
}

#[test]
fn a_server_of_its_own_is_asked_without_a_socket() {
    let text = "listener = [{ name = 'web', bind = '127.0.0.1:0', pool = 'app' }]\npool = [{ name = 'app' }]";
    let server = crate::server::Server::from_toml(text, "test").unwrap();
    let (mut dialogue, mut answer) = (server.admin(), Vec::new());
    assert!(dialogue.handle_bytes(get("/v1/status").as_bytes(), &mut answer));
    let status = heard(&answer, &[]).remove(0);
    assert_eq!((status.status, &status.body["state"]), (200, &Value::from("new")));
    let body = r#"{"address": "10.0.0.1:80"}"#;
    answer.clear();
    assert!(dialogue.handle_bytes(change("PUT", WEB_01, body).as_bytes(), &mut answer));
    assert_eq!(heard(&answer, &[])[0].status, 201);
    assert_eq!(server.pool("app").unwrap().backends()[0].name, "web-01");
    answer.clear();
    assert!(dialogue.handle_bytes(change("POST", "/v1/drain", "").as_bytes(), &mut answer));
    let early = heard(&answer, &[]).remove(0);
    assert_eq!((early.status, early.error()), (409, "the server is not started"));
}

/// Takes a chunked stream apart: its lines, and whether it has ended.
fn streamed(mut bytes: &[u8]) -> (Vec<Value>, bool) {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        let Ok(httparse::Status::Complete((start, length))) = httparse::parse_chunk_size(bytes) else {
            panic!("no chunk: {}", bytes.escape_ascii())
        };
        let (chunk, rest) = bytes[start..].split_at(length as usize);
        assert_eq!(&rest[..2], b"\r\n");
        bytes = &rest[2..];
        if chunk.is_empty() {
            assert!(bytes.is_empty(), "something comes behind the end");
            return (lines, true);
        }
        assert_eq!(chunk.last(), Some(&b'\n'));
        let text = std::str::from_utf8(chunk).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_default()));
    }
    (lines, false)
}

/// The head of a stream, in lower case, and what follows it.
fn stream_head(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends") + 4;
    (String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), &answer[end..])
}

fn note(fake: &Fake, detail: &str) {
    fake.journal.note(&Event::of_server(EventKind::Draining, detail), 7);
}

#[test]
fn events_are_told_as_they_come() {
    let fake = Fake::new();
    note(&fake, "one");
    let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
    assert!(dialogue.handle_bytes(get("/v1/events").as_bytes(), &mut answer));
    let (head, rest) = stream_head(&answer);
    assert!(head.starts_with("http/1.1 200 ok\r\n") && rest.is_empty(), "{head}");
    for field in ["transfer-encoding: chunked", "content-type: application/x-ndjson", "connection: close"] {
        assert!(head.contains(&format!("{field}\r\n")), "{head}");
    }
    assert_eq!(fake.journal.counts().followers, 1);
    answer.clear();
    assert!(dialogue.handle_news(&mut answer) && answer.is_empty());
    note(&fake, "two");
    note(&fake, "three");
    assert!(dialogue.handle_news(&mut answer));
    let (lines, ended) = streamed(&answer);
    let two = serde_json::json!({ "event": "draining", "detail": "two", "sequence": 2, "unix_ms": 7 });
    assert_eq!((&lines[0], lines.len(), ended), (&two, 2, false));
    // What the client says meanwhile is nothing.
    answer.clear();
    assert!(dialogue.handle_bytes(get("/v1/status").as_bytes(), &mut answer) && answer.is_empty());
    // Whoever ends its half does not follow any more.
    assert!(!dialogue.handle_bytes(b"", &mut answer) && answer.is_empty());
    assert_eq!(fake.journal.counts().followers, 0);
    note(&fake, "four");
    assert!(!dialogue.handle_news(&mut answer) && answer.is_empty());
}

#[test]
fn earlier_events_are_told_when_they_are_asked_for() {
    let fake = Fake::new();
    (1..=150).for_each(|number| note(&fake, &number.to_string()));
    for (query, first, count) in [
        ("recent=100", 51, 100),
        ("recent=1000", 1, 150),
        ("since=149", 150, 1),
        ("since=0&follow=true", 1, 150),
    ] {
        for ends in [false, true] {
            let query = if ends {
                format!("{}&follow=false", query.replace("&follow=true", ""))
            } else {
                query.into()
            };
            let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
            assert!(dialogue.handle_bytes(get(&format!("/v1/events?{query}")).as_bytes(), &mut answer));
            let (mut said, mut goes_on) = (0, true);
            while goes_on && answer.len() > said {
                said = answer.len();
                goes_on = dialogue.handle_news(&mut answer);
            }
            let (lines, ended) = streamed(stream_head(&answer).1);
            assert_eq!((lines.len(), ended, goes_on), (count, ends, !ends), "{query}");
            assert_eq!(lines[0]["sequence"], first, "{query}");
        }
    }
    let early = ask(&fake, get("/v1/events?since=151"));
    assert_eq!((early.status, early.error().contains("150 events")), (409, true), "{}", early.error());
    assert_eq!(ask(&fake, get("/v1/events?since=x")).status, 400);
    assert_eq!(ask(&fake, change("POST", "/v1/events", "")).status, 405);
}

#[test]
fn who_speaks_http_1_0_gets_no_chunks_and_head_gets_no_events() {
    let fake = Fake::new();
    note(&fake, "one");
    let (mut old, mut answer) = (dialogue(&fake, false), Vec::new());
    assert!(old.handle_bytes(b"GET /v1/events?recent=1 HTTP/1.0\r\n\r\n", &mut answer));
    assert!(old.handle_news(&mut answer));
    let (head, body) = stream_head(&answer);
    assert!(!head.contains("transfer-encoding"), "{head}");
    let line: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(line["detail"], "one");
    answer.clear();
    Conversation::handle_end(&mut old, &mut answer);
    assert!(answer.is_empty());
    let mut asked = dialogue(&fake, false);
    assert!(!asked.handle_bytes(b"HEAD /v1/events?recent=1 HTTP/1.1\r\nHost: x\r\n\r\n", &mut answer));
    assert!(stream_head(&answer).1.is_empty());
    assert_eq!(fake.journal.counts().followers, 0);
}

#[test]
fn followers_beyond_the_limit_and_foreign_pages_are_refused() {
    let fake = Fake::new();
    let all: Vec<_> = (0..FOLLOWERS_MAX)
        .map(|_| {
            let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
            assert!(dialogue.handle_bytes(get("/v1/events").as_bytes(), &mut answer));
            dialogue
        })
        .collect();
    let refused = ask(&fake, get("/v1/events"));
    assert_eq!((refused.status, refused.error()), (409, "the limit followers = 16 is reached"));
    drop(all);
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("none", 200), ("same-origin", 200)] {
        let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
        let text = format!("GET /v1/events HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: {site}\r\n\r\n");
        assert!(dialogue.handle_bytes(text.as_bytes(), &mut answer));
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{site}");
    }
    assert_eq!(fake.journal.counts().followers, 0);
}

/// The driver ends what is idle, refuses what is begun and shows followers that the server is there.
#[test]
fn time_ends_each_phase_in_its_own_way() {
    let fake = Fake::new();
    let after = |text: &str| {
        let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
        let before = Conversation::handle_bytes(&mut dialogue, text.as_bytes(), &mut answer);
        answer.clear();
        let progress = Conversation::handle_timeout(&mut dialogue, &mut answer);
        (before, progress, answer)
    };
    let status = get("/v1/status");
    assert_eq!(after(&status), (Progress::Idle, Progress::Closing, Vec::new()));
    let body = change("POST", WEB_01, r#"{"weight": 3}"#);
    for (text, number) in [
        ("GET /v1", 0),
        (&status[..status.len() - 1], 0),
        (&body[..body.len() - 1], 0),
        (&format!("{status}G"), 1),
    ] {
        let (before, progress, answer) = after(text);
        assert_eq!((before, progress), (Progress::Begun(number), Progress::Closing), "{text}");
        let late = heard(&answer, &[]).remove(0);
        assert_eq!((late.status, late.ends()), (408, true), "{text}");
    }
    let too_long = format!("POST {WEB_01} HTTP/1.1\r\n{JSON}Content-Length: 70000\r\n\r\n");
    assert_eq!(after(&too_long), (Progress::Begun(1), Progress::Closing, Vec::new()));
    let following = (Progress::Following, Progress::Following, b"1\r\n\n\r\n".to_vec());
    assert_eq!(after(&get("/v1/events")), following);
}

#[test]
fn an_end_of_the_server_ends_the_stream_whole() {
    let fake = Fake::new();
    let (mut following, mut answer) = (dialogue(&fake, false), Vec::new());
    assert!(following.handle_bytes(get("/v1/events").as_bytes(), &mut answer));
    answer.clear();
    Conversation::handle_end(&mut following, &mut answer);
    assert_eq!(answer, b"0\r\n\r\n");
    assert_eq!(fake.journal.counts().followers, 0);
    let (mut idle, mut answer) = (dialogue(&fake, false), Vec::new());
    Conversation::handle_end(&mut idle, &mut answer);
    assert!(answer.is_empty());
}

/// Parts of requests, so that random ones get somewhere.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        "GET ",
        "POST ",
        "PUT ",
        "DELETE ",
        "HEAD ",
        "/v1/status",
        "/v1/pools/app",
        "/backends/web-01",
        "/backends/new",
        "/v1/events",
        "/v1/drain",
        "/v1/stop",
        "?recent=2",
        "%2F",
        "%",
        "?",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "Host: x\r\n",
        "Content-Type: application/json\r\n",
        "Content-Length: 13\r\n",
        "Content-Length: 70000\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "Origin: x\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "{\"weight\": 7}",
        "{\"admin\": \"drain\"}",
        "{\"address\":\"10.0.0.4:80\"}",
        "{",
        "}",
    ]);
    prop_oneof![
        8 => fixed.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => Just(change("POST", WEB_01, "{\"weight\": 7}").into_bytes()),
        1 => Just(get("/v1/none").into_bytes()),
    ]
}

proptest! {
    /// Whatever comes, in whatever pieces: no panic, nothing but whole answers, the same answers, and nothing
    /// more once it is over.
    #[test]
    fn any_bytes_are_answered_alike_in_any_pieces(
        parts in prop::collection::vec(part(), 0..30),
        sizes in prop::collection::vec(1usize..200, 1..20),
    ) {
        // In the middle of a line what is wrong with it may not be seen yet.
        let text = [parts.concat(), b"\n".to_vec()].concat();
        let run = |sizes: &[usize]| {
            let fake = Fake::new();
            let (mut dialogue, mut answer, mut rest) = (dialogue(&fake, false), Vec::new(), &text[..]);
            let mut goes_on = true;
            for size in sizes.iter().cycle() {
                if rest.is_empty() || !goes_on {
                    break;
                }
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                goes_on = dialogue.handle_bytes(piece, &mut answer);
                rest = after;
            }
            // A word in between is said only if the body was not there.
            let words = b"HTTP/1.1 100 Continue\r\n\r\n";
            let at = |answer: &[u8]| answer.windows(words.len()).position(|window| window == words);
            while let Some(at) = at(&answer) {
                answer.drain(at..at + words.len());
            }
            (answer, goes_on)
        };
        let (whole, _) = run(&[usize::MAX]);
        let (pieces, _) = run(&sizes);
        prop_assume!(heads_in(&whole) < AHEAD_MAX && heads_in(&pieces) < AHEAD_MAX);
        prop_assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&pieces));
    }
}

fn heads_in(answer: &[u8]) -> usize {
    answer.windows(9).filter(|window| window == b"HTTP/1.1 ").count()
}
