//! The interface as curl and scripts use it.

use std::io::{BufReader, Read, Write};
use std::net::Shutdown;

use serde_json::json;

use crate::support::{Server, answer, change, err, expect_echo, get, out, relaying, relaying_beside};

const JSON: [&str; 2] = ["-H", "Content-Type: application/json"];
const WEB_01: &str = "/v1/pools/app/backends/web-01";

#[test]
fn curl_reads_and_changes_over_every_kind_of_address() {
    for admin in ["unix:FOLDER/admin.sock", "unix:@FOLDER/admin", "127.0.0.1:0", "[::1]:0"] {
        let server = Server::start_with(&relaying(), admin);
        let (code, status) = server.curl_json("/v1/status", &[]);
        assert_eq!((code, &status["state"]), (200, &json!("running")), "{admin}");
        let (code, changed) =
            server.curl_json(WEB_01, &[&JSON[..], &["-d", r#"{"weight": 5, "admin": "drain"}"#]].concat());
        assert_eq!(
            (code, &changed["weight"], &changed["admin"]),
            (200, &json!(5), &json!("drain")),
            "{admin}"
        );
        let put = [&JSON[..], &["-X", "PUT", "-d", r#"{"address": "10.0.0.4:80"}"#]].concat();
        assert_eq!(server.curl_json("/v1/pools/app/backends/web-04", &put).0, 201);
        let delete = [&JSON[..], &["-X", "DELETE"]].concat();
        assert_eq!(server.curl_json("/v1/pools/app/backends/web-04", &delete).0, 204);
        let (code, missing) = server.curl_json("/v1/pools/app/backends/web-04", &delete);
        assert_eq!(code, 404, "{admin}");
        assert!(missing["error"].as_str().unwrap().contains("did you mean"), "{missing}");
        let head = out(&server.curl("/v1/status", &["-I"]));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nServer: trimtab/"), "{head}");
        assert_eq!(server.curl_json("/v1/status", &["-X", "PATCH"]).0, 405);
        assert_eq!(server.curl_json(WEB_01, &["-d", "{}"]).0, 415);
        // The command speaks with it too.
        assert_eq!(server.status(&[])["pools"], server.curl_json("/v1/status", &[]).1["pools"]);
    }
}

#[test]
fn several_requests_go_over_one_connection() {
    let server = Server::start();
    let url = format!("http://localhost{WEB_01}");
    let output = server.curl("/v1/pools/app", &[&url, &url, "-w", "%{num_connects}\n", "-o", "/dev/null"]);
    assert_eq!(out(&output).lines().filter(|line| *line == "0").count(), 2, "{}", out(&output));
}

/// Whoever sends too much hears why, rather than find the connection broken.
#[test]
fn what_is_too_long_is_refused_in_words() {
    let server = Server::start();
    let file = server.folder.file("big");
    std::fs::write(&file, vec![b'x'; 3_000_000]).unwrap();
    let data = format!("@{file}");
    let (code, refused) = server.curl_json(WEB_01, &[&JSON[..], &["--data-binary", &data]].concat());
    assert_eq!((code, &refused["error"]), (413, &json!("the body has 3000000 bytes; 65536 are taken")));
    // At once, without asking first whether it may.
    let eager = [&JSON[..], &["-H", "Expect:", "--data-binary", &data]].concat();
    assert_eq!(server.curl_json(WEB_01, &eager).0, 413);
    let field = format!("X: {}", "x".repeat(100_000));
    let (code, refused) = server.curl_json("/v1/status", &["-H", &field]);
    assert_eq!(
        (code, &refused["error"]),
        (431, &json!("the head of the request is longer than 16384 bytes"))
    );
    let chunked = [&JSON[..], &["-H", "Transfer-Encoding: chunked", "-d", "{}"]].concat();
    assert_eq!(server.curl_json(WEB_01, &chunked).0, 501);
    assert_eq!(server.curl_json("/v1/status", &[]).0, 200);
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let server = Server::start();
    let stream = server.connect();
    let mut reader = BufReader::new(&stream);
    for round in 0..20 {
        let texts: Vec<String> =
            (1..=40).map(|weight| change(&format!("{{\"weight\": {weight}}}"))).collect();
        (&stream).write_all(texts.concat().as_bytes()).unwrap();
        for weight in 1..=40 {
            let (status, head, body) = answer(&mut reader);
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((status, &body["weight"]), (200, &json!(weight)), "round {round}");
            assert!(!head.contains("connection: close"));
        }
    }
    // More than are answered at once: those that are, are whole, and the last says that it is.
    (&stream).write_all(get("/v1/none").repeat(500).as_bytes()).unwrap();
    let mut count = 0;
    loop {
        let (status, head, _) = answer(&mut reader);
        assert_eq!(status, 404);
        count += 1;
        if head.contains("connection: close") {
            break;
        }
    }
    assert!(count >= 64, "{count}");
    assert_eq!(reader.read(&mut [0; 64]).unwrap(), 0);
}

#[test]
fn who_ends_its_half_is_answered() {
    let server = Server::start();
    for text in [get("/v1/status"), change(r#"{"weight": 3}"#), get("/v1/status").repeat(3)] {
        let mut stream = server.connect();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        assert_eq!(all.matches("HTTP/1.1 200 OK\r\n").count(), text.matches("HTTP/1.1").count(), "{all}");
    }
    // Half a request is none.
    let mut stream = server.connect();
    stream.write_all(b"GET /v1/stat").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.is_empty());
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::start();
    let stream = server.connect();
    let mut reader = BufReader::new(&stream);
    for byte in change(r#"{"weight": 8}"#).as_bytes() {
        (&stream).write_all(&[*byte]).unwrap();
    }
    assert_eq!(answer(&mut reader).0, 200);
    assert_eq!(server.status(&["app/web-01"])["weight"], 8);
}

/// An answer far beyond what the system keeps goes out as fast as the client takes it, whole, and the relay goes
/// on meanwhile.
#[test]
fn a_large_answer_waits_for_who_reads_slowly() {
    let server = Server::start_with(&relaying_beside(8000), "unix:FOLDER/admin.sock");
    let stream = server.connect();
    (&stream).write_all(get("/v1/pools/large").as_bytes()).unwrap();
    let mut relayed = server.relayed();
    expect_echo(&mut relayed, b"meanwhile");
    let mut reader = BufReader::with_capacity(1000, &stream);
    let (status, _, body) = answer(&mut reader);
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, value["backends"].as_array().unwrap().len()), (200, 8000));
    assert!(body.len() > 1 << 20, "{}", body.len());
    let table = server.good(&["status", "large"]);
    assert_eq!(table.lines().count(), 8002);
    let output = server.curl("/v1/status", &["-o", "/dev/null", "--limit-rate", "5M"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}
