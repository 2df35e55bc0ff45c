//! Messages of channels, and notifications of what happens to keys.

use trimtab::embedded::Call;

use crate::support::Served;

#[test]
fn keys_tell_what_happens_to_them_whoever_does_it() {
    let served = Served::start(1, "");
    let mut subscriber = served.connect();
    assert_eq!(subscriber.ask("CONFIG SET notify-keyspace-events KEA"), "+OK");
    subscriber.ask("PSUBSCRIBE __key*@0__:*");
    let mut writer = served.connect();
    writer.ask("SET a 1");
    let told = |event: &str, key: &str| {
        [
            format!(
                "*4|$8|pmessage|$12|__key*@0__:*|${}|__keyspace@0__:{key}|${}|{event}",
                15 + key.len(),
                event.len()
            ),
            format!(
                "*4|$8|pmessage|$12|__key*@0__:*|${}|__keyevent@0__:{event}|${}|{key}",
                15 + event.len(),
                key.len()
            ),
        ]
    };
    assert_eq!([subscriber.answer(), subscriber.answer()], told("set", "a"));
    writer.ask("DEL a");
    assert_eq!([subscriber.answer(), subscriber.answer()], told("del", "a"));
    served.server.store().unwrap().put(b"own", b"1", &Call::default()).unwrap();
    assert_eq!([subscriber.answer(), subscriber.answer()], told("set", "own"));
    writer.ask("SET brief 1 PX 20");
    assert_eq!([subscriber.answer(), subscriber.answer()], told("set", "brief"));
    assert_eq!([subscriber.answer(), subscriber.answer()], told("expired", "brief"));
}
