//! That a tier panics is told like what else happens in a pool.

use trimtab::balance::Observed;
use trimtab::server::{Event, EventKind};

use crate::support::{Family, Listen, Mode, Relay, Setup, refused, until};

/// What was told of panic, in lines.
fn told(relay: &Relay) -> Vec<String> {
    let is_panic = |event: &Event| matches!(event.kind, EventKind::PanicBegan(_) | EventKind::PanicEnded(_));
    relay.events().iter().filter(|event| is_panic(event)).map(ToString::to_string).collect()
}

const BEGAN: &str = "panic-began pool=app value=0";
const ENDED: &str = "panic-ended pool=app value=0";

/// Members that go down and come back, by their checks.
#[test]
fn it_begins_when_too_few_are_up_and_ends_when_enough_came_back() {
    let check = "panic_threshold = 60\n\
                 check = { interval = \"50ms\", fall = 1, rise = 1, timeout = \"5s\", initial = \"up\" }";
    for mode in Mode::BOTH {
        let (well, (address, ill)) = (Listen::new(Family::V4), refused(Family::V4));
        let relay = Setup::new(&[&well.address, &address]).pool(check).start(mode);
        until("one of two is down", || told(&relay) == [BEGAN]);
        assert_eq!(relay.backend(1).observed, Observed::Down);
        ill.as_ref().unwrap().listen(1024).unwrap();
        until("it is back", || told(&relay) == [BEGAN, ENDED]);
        assert_eq!(relay.backend(1).observed, Observed::Up);
    }
}

#[test]
fn it_is_told_which_tier() {
    for mode in Mode::BOTH {
        let backends: Vec<String> = (1..=4).map(|n| format!("127.0.0.1:{n}")).collect();
        let backends: Vec<&str> = backends.iter().map(String::as_str).collect();
        let relay = Setup::new(&backends).pool("panic_threshold = 60\nbackups = \"spill\"").start(mode);
        let pool = relay.pool();
        let ids = pool.ids();
        pool.set_tier(ids[2], 3).unwrap();
        pool.set_tier(ids[3], 3).unwrap();
        // The standby tier carries all.
        pool.set_observed(ids[0], Observed::Down).unwrap();
        pool.set_observed(ids[1], Observed::Down).unwrap();
        assert_eq!(told(&relay), [] as [String; 0]);
        pool.set_observed(ids[2], Observed::Down).unwrap();
        assert_eq!(told(&relay), ["panic-began pool=app value=3"]);
        pool.set_observed(ids[0], Observed::Up).unwrap();
        assert_eq!(told(&relay)[1..], ["panic-ended pool=app value=3"]);
    }
}
