//! MULTI, EXEC and WATCH.

use super::*;

#[test]
fn a_transaction_is_whole_and_watches() {
    let mut world = World::plain(2);
    assert_eq!(
        world.ask(0, "MULTI\nSET a 1\nINCR a\nGET a\nEXEC"),
        "+OK +QUEUED +QUEUED +QUEUED *3 +OK :2 $1 2"
    );
    assert_eq!(world.store.submitted, 1);
    world.ask(0, "WATCH a nothere");
    world.ask(1, "SET nothere 1\nDEL nothere");
    assert_eq!(world.ask(0, "MULTI\nSET a 5\nEXEC"), "+OK +QUEUED *-1", "it came and went");
    // Changed between the attempt and its being applied.
    world.ask(0, "WATCH a\nMULTI\nSET a 5");
    world.send(1, "SET a 7");
    world.send(0, "EXEC");
    while world.apply() {}
    assert_eq!(world.told(0), "*-1");
    assert_eq!(world.ask(0, "GET a\nEXEC\nMULTI\nNOPE\nEXEC").matches("-EXECABORT").count(), 1);
}

#[test]
fn messages_are_published_once_though_the_transaction_is_made_up_twice() {
    let mut world = World::plain(3);
    world.ask(2, "SUBSCRIBE c");
    world.ask(0, "MULTI\nINCR n\nPUBLISH c hi");
    world.send(1, "INCR n");
    world.send(0, "EXEC");
    while world.apply() {}
    world.deliver();
    assert_eq!(world.told(0), "*2 :2 :1");
    assert_eq!(world.told(2), "*3 $7 message $1 c $2 hi");
}
