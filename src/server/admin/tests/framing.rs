//! Where requests begin and end, and how many are taken.

use super::*;

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
