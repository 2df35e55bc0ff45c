//! What can be wrong about how members are found and checked.

use super::errors::check;
use super::{BASE, backend, pool, told};

#[test]
fn checks() {
    let at = |text: &str| pool(&format!("check = {text}"));
    check(&[
        (at("{ kind = \"htp\" }"), &[":8:18: unknown kind \"htp\"; did you mean \"http\"?"]),
        (
            at("{ kind = \"tcp\", path = \"/\" }"),
            &[":8:32: path does not go with the kind tcp; take it out, or choose the kind http"],
        ),
        (at("{ interval = \"1ms\" }"), &[":8:22: interval: 1ms is outside 50ms to 86400s"]),
        (at("{ rise = 0 }"), &[":8:18: rise 0 is outside 1 to 100"]),
        (at("{ jitter = 0.6 }"), &[":8:20: jitter: 0.6 is outside 0 to 0.5"]),
        (
            at("{ port = 1, address = \"10.0.0.1:2\" }"),
            &[":8:31: a check has port or address, not both; the address has a port of its own"],
        ),
        (
            at("{ kind = \"http\", statuses = [\"2xx\"] }"),
            &[":8:37: statuses: \"2xx\" is no status and no range of them; write [\"200-299\", \"401\"]"],
        ),
        (
            at("{ kind = \"script\", steps = [{ send = \"a\", expect = \"b\" }] }"),
            &[
                ":8:37: a step has one key, which says what it does; known are send, send_hex, expect, expect_hex, expect_regex",
            ],
        ),
        (
            pool("role = \"primary\""),
            &[
                ":8:8: role needs a check that tells it; add check = { kind = \"postgres\", user = \"monitor\" }, or mysql or redis",
            ],
        ),
        (
            pool("role = \"master\"\ncheck.kind = \"redis\""),
            &[":8:8: unknown role \"master\"; known: \"primary\", \"replica\""],
        ),
    ]);
    for (text, part) in [
        ("{ kind = \"http\", expect_regex = \"(\" }", "expect_regex: "),
        ("{ kind = \"http\", expect = \"a\", expect_regex = \"b\" }", "exclude each other"),
        ("{ kind = \"script\" }", "steps is missing"),
        ("{ kind = \"mysql\", password_file = \"/x\" }", "give a user beside it"),
    ] {
        let all = told(&at(text));
        assert!(all.len() == 1 && all[0].contains(part), "{all:?}");
    }
}

#[test]
fn discovery() {
    let at = |text: &str| format!("{BASE}[discovery]\n{text}\n");
    check(&[
        (
            at("nameservers = [\"resolver\"]"),
            &[":9:15: \"resolver\" is no address of a resolver; write [\"10.0.0.2\", \"10.0.0.3:5353\"]"],
        ),
        (
            at("families = \"v4\""),
            &[
                ":9:12: unknown families \"v4\"; known: \"both\", \"ipv4\", \"ipv6\", \"prefer-ipv4\", \"prefer-ipv6\"",
            ],
        ),
        (backend("address = \"app\""), &[":9:11: address \"app\" has no port; write app:80"]),
    ]);
    for (text, part) in
        [("ttl_min = \"2h\"", "ttl_min"), ("search = [\"a..b\"]", "search: "), ("hold = \"8d\"", "hold: ")]
    {
        let all = told(&at(text));
        assert!(all.len() == 1 && all[0].contains(part), "{all:?}");
    }
}
