//! SCAN: a cursor is of the node that gave it.

use super::*;

fn cursor_by(node: u64, nodes: u64) -> u64 {
    let names: Vec<String> = (1..=nodes).map(|id| format!("n{id}")).collect();
    let marks = crate::resp::marks(names.iter().map(String::as_str));
    let cursor = u64::from(marks[&*names[node as usize - 1]]) << 45 | 7;
    assert_eq!(crate::resp::mark_of(cursor), u64::from(marks[&*names[node as usize - 1]]));
    cursor
}

#[test]
fn a_scan_goes_on_at_the_node_that_gave_the_cursor() {
    let mut bench = Bench::new();
    bench.split.handle_topology(&topology(1, Some(1), 3), bench.now);
    let cursors: Vec<u64> = (1..=3).map(|node| cursor_by(node, 3)).collect();
    let client = bench.client();
    // Whoever has seen nothing yet goes there at once.
    bench.say(client, &format!("SCAN {}", cursors[2]));
    let (third, said) = bench.sent(3);
    assert_eq!(said, format!("TRIMTAB AFTER 0 0 50 SCAN {}", cursors[2]));
    bench.answer(third, "*2\r\n$1\r\n0\r\n*0\r\n");
    assert_eq!(bench.told(client), "*2\r\n$1\r\n0\r\n*0\r\n");
    bench.say(client, "GET a");
    assert_eq!(bench.sent(3), (third, "GET a".to_owned()), "it reads there from now on");
    bench.answer(third, "$-1\r\n");
    bench.told(client);
    // Another node must not show less than this one has.
    bench.say(client, &format!("SCAN {}", cursors[1]));
    assert!(bench.is_silent(2));
    let (strong, said) = bench.sent(1);
    assert_eq!(said, "TRIMTAB POSITION");
    bench.answer(strong, "*2\r\n:1\r\n:9\r\n");
    let (second, said) = bench.sent(2);
    assert_eq!(said, format!("TRIMTAB AFTER 1 9 50 SCAN {}", cursors[1]));
    bench.answer(second, "*2\r\n$1\r\n0\r\n*0\r\n");
    bench.told(client);
    // The primary's own, and one that is nobody's.
    bench.say(client, &format!("SCAN {}", cursors[0]));
    let (_, said) = bench.sent(1);
    assert_eq!(said, format!("SCAN {}; TRIMTAB POSITION", cursors[0]));
}

#[test]
fn scans_sent_together_go_each_to_its_node() {
    let mut bench = Bench::new();
    bench.split.handle_topology(&topology(1, Some(1), 3), bench.now);
    let client = bench.client();
    let (second, third) = (cursor_by(2, 3), cursor_by(3, 3));
    bench.say(client, &format!("SCAN {second}\nSCAN {third}"));
    let (link, said) = bench.sent(2);
    assert_eq!(said, format!("TRIMTAB AFTER 0 0 50 SCAN {second}"));
    assert!(bench.links.values().all(|port| *port != 3), "the other waits for the first");
    bench.answer(link, "*2\r\n$1\r\n0\r\n*0\r\n");
    let (strong, said) = bench.sent(1);
    assert_eq!(said, "TRIMTAB POSITION");
    bench.answer(strong, "*2\r\n:1\r\n:9\r\n");
    assert_eq!(bench.sent(3).1, format!("TRIMTAB AFTER 1 9 50 SCAN {third}"));
}

#[test]
fn a_scan_whose_node_is_gone_or_stays_behind_is_answered_elsewhere() {
    let mut bench = Bench::new();
    let client = bench.client();
    let cursor = cursor_by(2, 2);
    bench.say(client, &format!("SCAN {cursor}"));
    for round in 0..16 {
        let token = if round == 0 { "0 0" } else { "1 9" };
        let (link, said) = bench.sent(2);
        assert_eq!(said, format!("TRIMTAB AFTER {token} 50 SCAN {cursor}"));
        bench.answer(link, "-BEHIND this node is not as fresh as was asked; nothing was done\r\n");
        if round < 15 {
            // It may have been shown something before that.
            let (strong, said) = bench.sent(1);
            assert_eq!(said, "TRIMTAB POSITION");
            bench.answer(strong, "*2\r\n:1\r\n:9\r\n");
        }
    }
    // It is told by another one that it does not know the scan.
    let (_, said) = bench.sent(1);
    assert_eq!(said, format!("SCAN {cursor}; TRIMTAB POSITION"));
    let mut bench = Bench::new();
    let client = bench.client();
    bench.split.handle_topology(&topology(1, Some(1), 1), bench.now);
    bench.say(client, &format!("SCAN {cursor}"));
    assert_eq!(bench.sent(1).1, format!("SCAN {cursor}; TRIMTAB POSITION"));
}
