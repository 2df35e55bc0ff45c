//! What is lost, of answers and of writes: who asks a node that was killed is told nothing of what was answered to the process before,
//! and who waits for other nodes to have what is lost is told that.

use crate::process::until;
use crate::support::{Client, Cluster};

/// Clients that ask a node before it is killed, and those that ask it afterwards.
const BEFORE: usize = 8;
const AFTERWARDS: usize = 4;

/// What a primary's learner has of its log, whether it is committed or not; `None`: it is not sure of being primary.
fn has_learner(client: &mut Client, ip: &str) -> Option<u64> {
    let told = client.ask("INFO replication")?;
    let line = told.split('|').find(|line| line.starts_with("slave") && line.contains(ip))?;
    line.split(',').find_map(|it| it.strip_prefix("offset="))?.parse().ok()
}

#[test]
fn what_a_killed_process_asked_for_is_not_answered_to_the_next_one() {
    let mut cluster = Cluster::start_two_and_learner();
    let primary = cluster.primary_of(&[0, 1]);
    let (stopped, learner) = (1 - primary, 2);
    let ip = format!("ip={},", cluster.ip(learner));
    let mut client = cluster.connect(primary);
    assert_eq!(client.ask("SET lock another").as_deref(), Some("+OK"));
    let passes_on = |cluster: &Cluster| cluster.connect(learner).ask("SET mark 1").as_deref() == Some("+OK");
    until("it passes on", || passes_on(&cluster));
    // Those of a process are counted from somewhere, and those of the next from there again, if they are.
    cluster.kill(learner);
    cluster.start_node(learner);
    let mut begun = 0;
    until("it follows", || {
        has_learner(&mut client, &ip).inspect(|has| begun = *has).is_some()
            && cluster.connect(learner).ask("GET lock").as_deref() == Some("$7|another")
    });
    let mut before: Vec<Client> = (0..BEFORE).map(|_| cluster.connect(learner)).collect();
    cluster.stop(stopped);
    for (at, client) in before.iter_mut().enumerate() {
        assert!(client.say(&format!("SET old{at} x")));
    }
    let mut arrives = |count: usize| {
        until("they come to the primary", || {
            has_learner(&mut client, &ip).is_none_or(|has| has >= begun + count as u64)
        });
    };
    arrives(BEFORE);
    cluster.kill(learner);
    cluster.start_node(learner);
    let mut afterwards = Vec::new();
    until("it is there again", || {
        let missing = AFTERWARDS - afterwards.len();
        afterwards.extend((0..missing).map_while(|_| Client::connect(cluster.resp(learner))));
        afterwards.len() == AFTERWARDS
    });
    for (at, client) in afterwards.iter_mut().enumerate() {
        assert!(client.say(&format!("SET lock me{at} NX")));
    }
    arrives(BEFORE + AFTERWARDS);
    cluster.signal(stopped, "-CONT");
    for mut client in afterwards {
        let told = client.answer().expect("it runs");
        assert!(told == "$-1" || told.starts_with('-'), "{told}");
    }
    until("it passes on", || passes_on(&cluster));
    assert_eq!(cluster.connect(learner).ask("GET lock").as_deref(), Some("$7|another"));
    let next = cluster.primary_of(&[0, 1]);
    // What was begun went on.
    let mut client = cluster.connect(next);
    for at in 0..BEFORE {
        assert_eq!(client.ask(&format!("GET old{at}")).as_deref(), Some("$1|x"));
    }
}

#[test]
fn no_node_counts_for_a_write_that_is_lost() {
    // It is primary for 4 s without the others: long enough to be written to.
    let lines = "learners = [\"n3\"]\ndurability = \"local\"\nelection_ticks = 200";
    let mut cluster = Cluster::start_splitting_store(lines, "");
    let primary = cluster.primary();
    let others: Vec<usize> = (0..3).filter(|at| *at != primary).collect();
    let (mut direct, mut waiting, mut late) =
        (cluster.connect(primary), cluster.connect(3), cluster.connect(3));
    let mut split = Client::connect(cluster.split(3)).expect("it listens");
    assert_eq!(direct.ask("READONLY").as_deref(), Some("+OK"));
    for client in [&mut direct, &mut waiting, &mut late, &mut split] {
        until("it is written", || client.ask("SET warm x").as_deref() == Some("+OK"));
    }
    others.iter().for_each(|at| cluster.kill(*at));
    for client in [&mut direct, &mut waiting, &mut late, &mut split] {
        assert_eq!(client.ask("SET k lost").as_deref(), Some("+OK"));
    }
    assert!(waiting.say("WAIT 1 600000"));
    cluster.stop(primary);
    others.iter().for_each(|at| cluster.start_node(*at));
    let next = cluster.primary_of(&others);
    let mut client = cluster.connect(next);
    until("it is written", || client.ask("SET other x").as_deref() == Some("+OK"));
    let is_lost = |told: Option<String>| told.is_some_and(|it| it.starts_with("-LOST "));
    // It has waited since before that was known.
    assert!(is_lost(waiting.answer()));
    let shows = |at: usize| cluster.connect(at).ask("GET other").as_deref() == Some("$1|x");
    until("the learner follows", || shows(3));
    for line in ["WAIT 1 1000", "WAITAOF 1 1 500", "WAIT 0 0"] {
        assert!(is_lost(late.ask(line)), "{line}");
        assert!(is_lost(split.ask(line)), "{line}");
    }
    assert_eq!(late.ask("GET k").as_deref(), Some("$-1"));
    cluster.signal(primary, "-CONT");
    until("it follows", || shows(primary));
    for line in ["WAIT 1 1000", "WAIT 2 500", "WAITAOF 1 1 500"] {
        assert!(is_lost(direct.ask(line)), "{line}");
    }
    // Of what is written from now on they count.
    for client in [&mut late, &mut split] {
        assert_eq!(client.ask("SET k kept").as_deref(), Some("+OK"));
        until("others have it", || client.ask("WAIT 1 1000").is_some_and(|it| it.as_str() >= ":1"));
    }
}
