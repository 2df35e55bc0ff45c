//! Plays the steps, one after the other, tells how it goes, and judges.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::desk::{Desk, Waited};
use super::judge::{self, number};
use super::ledger::{Counts, Ledger};
use super::plan::{
    BACKENDS, CLIENTS, FAILURES_MAX, KEPT_CLIENTS, PATIENCE, PATIENCE_OF_STEP, WORK, requests_per_second,
    step_time,
};
use super::report::{Report, Row};
use super::stage::Stage;
use super::steps::{self, Step};
use super::voice::Voice;
use crate::error::Result;
use crate::time::{Clock, Instant};

/// How often it is told how it goes.
const TICK: Duration = Duration::from_secs(1);

/// Plays everything in about so many seconds. What goes wrong is in the report; an error is the output's.
pub(super) fn play(seconds: u32, desk: &Arc<Desk>, voice: &mut Voice<'_>) -> io::Result<Report> {
    let mut report = Report::default();
    let mut stage = match Stage::set(desk) {
        Ok(stage) => stage,
        Err(error) => {
            report.problems.push(error.to_string());
            return Ok(report);
        }
    };
    report.config.clone_from(&stage.text);
    report.listener = stage.address.to_string();
    report.store_config = stage.store.text().into();
    introduce(&stage, voice)?;
    let start = Clock.now();
    let mut player = Player { seconds, start, begun: start, broke: 0, voice };
    let played = player.play_all(&mut stage, &mut report)?;
    match played {
        Ok(End::Played) => {
            // The clients have ended: the counts stand still.
            match stage.counted() {
                Ok(counted) => {
                    let wrong = counted.wrong(&BACKENDS);
                    report.problems.extend(wrong.map(|wrong| format!("the end: {wrong}")));
                    report.problems.extend(stage.stale().map(|wrong| format!("the end: {wrong}")));
                    report.counted = Some(counted);
                    report.freshness = Some(desk.ledger().freshness.clone());
                }
                Err(error) => report.problems.push(format!("the end: {error}")),
            }
            let testimony = stage.finish().map_err(|error| error.to_string());
            let wrong = match &testimony {
                Ok(testimony) => judge::server_agrees(testimony, player.broke),
                Err(error) => Some(error.clone()),
            };
            let unanswered = judge::every_request_ended(&report.total(), desk.ledger().begun());
            for wrong in unanswered.into_iter().chain(wrong) {
                report.problems.push(format!("the end: {wrong}"));
            }
            report.server = testimony.ok();
        }
        Ok(End::GivenUp) => stage.stop(),
        Ok(End::Interrupted) => {
            stage.stop();
            report.problems = vec!["interrupted".into()];
        }
        Err(error) => {
            stage.stop();
            report.problems.push(error.to_string());
        }
    }
    Ok(report)
}

fn introduce(stage: &Stage, voice: &mut Voice<'_>) -> io::Result<()> {
    voice.say("Three web backends behind one listener, all in this process. The configuration:\n")?;
    for line in stage.text.lines() {
        voice.say(format!("    {line}").trim_end())?;
    }
    voice.say(&format!(
        "\nThe listener is on http://{}/. {KEPT_CLIENTS} clients keep their connections and {} make a new one \
         each\ntime, together {} requests a second. A backend works {} ms on an answer.\n",
        stage.address,
        CLIENTS - KEPT_CLIENTS,
        requests_per_second(),
        WORK.as_millis(),
    ))?;
    voice.say(
        "They count what they are answered in a store of three nodes and a learner, each a process of its own. The \
         first\nhas this configuration:\n",
    )?;
    for line in stage.store.text().lines() {
        voice.say(format!("    {line}").trim_end())?;
    }
    let port = stage.store.addresses()[0].port();
    voice.say(&format!("\nLook with: redis-cli -p {port} get answers:{}\n", BACKENDS[0]))
}

/// How far it came.
enum End {
    Played,
    /// There is no sense in the steps that are left.
    GivenUp,
    Interrupted,
}

/// How watching a step ended.
enum Watched {
    Seen,
    /// It will not get better; why, where that is not told by what failed.
    Hopeless(Option<String>),
    Interrupted,
}

struct Player<'v, 'o> {
    seconds: u32,
    start: Instant,
    /// When the present step acted.
    begun: Instant,
    /// Connections that steps broke on purpose, at most.
    broke: u64,
    voice: &'v mut Voice<'o>,
}

impl Player<'_, '_> {
    fn play_all(&mut self, stage: &mut Stage, report: &mut Report) -> io::Result<Result<End>> {
        let mut steps = steps::all();
        let weights = steps.iter().map(|step| step.weight()).sum();
        if let Err(error) = stage.start_load() {
            return Ok(Err(error));
        }
        for index in 0..steps.len() {
            let time = step_time(self.seconds, steps[index].weight(), weights);
            if let Err(error) = self.begin(&mut steps, index, stage, report)? {
                return Ok(Err(error));
            }
            match self.watch(&*steps[index], time, &stage.desk)? {
                Watched::Seen => {}
                Watched::Interrupted => return Ok(Ok(End::Interrupted)),
                Watched::Hopeless(why) => {
                    let closed = self.close(&mut *steps[index], why, stage, report);
                    return Ok(closed.map(|()| End::GivenUp));
                }
            }
        }
        // What is on its way belongs to the last step.
        stage.end_load();
        let closed = steps.last_mut().map_or(Ok(()), |last| self.close(&mut **last, None, stage, report));
        Ok(closed.map(|()| End::Played))
    }

    /// Has a step act, which ends the one before.
    fn begin(
        &mut self,
        steps: &mut [Box<dyn Step>],
        index: usize,
        stage: &mut Stage,
        report: &mut Report,
    ) -> io::Result<Result<()>> {
        let now = Clock.now();
        self.voice.say(&format!("{} {}", self.clock(now), steps[index].announce()))?;
        // An interruption is met by the wait that follows.
        stage.desk.wait(now.saturating_add(PATIENCE), |ledger| steps[index].is_moment(ledger));
        if let Some(before) = index.checked_sub(1)
            && let Err(error) = self.close(&mut *steps[before], None, stage, report)
        {
            return Ok(Err(error));
        }
        self.begun = Clock.now();
        let acted = steps[index].act(stage);
        stage.desk.ledger().acted();
        Ok(acted)
    }

    /// Ends a step, and judges it by what was counted until now.
    fn close(
        &mut self,
        step: &mut dyn Step,
        hopeless: Option<String>,
        stage: &Stage,
        report: &mut Report,
    ) -> Result<()> {
        let counts = stage.desk.ledger().next_step();
        let seconds = Clock.now().duration_since(self.begun).as_secs_f64();
        let mut judgement = step.judge(stage, &counts)?;
        // A failure says more than what follows from it.
        judgement.wrong.splice(0..0, judge::nothing_failed(&counts).into_iter().chain(hopeless));
        if !judgement.wrong.is_empty() {
            judgement.cost = "more than it should: see below".into();
        }
        self.broke += step.broke();
        let name = step.name();
        report.problems.extend(judgement.wrong.iter().map(|wrong| format!("{name}: {wrong}")));
        report.rows.push(Row { name, seconds, counts, judgement });
        Ok(())
    }

    /// Waits until a step's time is over and enough was seen to judge it by.
    fn watch(&mut self, step: &dyn Step, time: Duration, desk: &Desk) -> io::Result<Watched> {
        let end = self.begun.saturating_add(time);
        let last = end.saturating_add(PATIENCE_OF_STEP);
        let is_hopeless = |ledger: &Ledger| ledger.counts().failed >= FAILURES_MAX;
        let mut before = Counts::new(BACKENDS.len());
        let mut tick = self.begun;
        loop {
            let now = Clock.now();
            // One that was missed, because the process was suspended, is not made up for.
            tick = tick.saturating_add(TICK).max(now);
            let waited = match desk.wait(tick.min(end), is_hopeless) {
                Waited::TimedOut if tick >= end => {
                    desk.wait(tick.min(last), |ledger| is_hopeless(ledger) || step.is_seen(ledger))
                }
                waited => waited,
            };
            let counts = desk.ledger().counts().clone();
            match waited {
                Waited::Interrupted => return Ok(Watched::Interrupted),
                Waited::Seen if counts.failed >= FAILURES_MAX => return Ok(Watched::Hopeless(None)),
                Waited::Seen => return Ok(Watched::Seen),
                Waited::TimedOut if tick >= last => {
                    let connections = number(counts.connections_sum(), "new connection");
                    let seconds = (time + PATIENCE_OF_STEP).as_secs();
                    let why = format!("after {seconds} s there is too little to judge by, {connections}");
                    return Ok(Watched::Hopeless(Some(why)));
                }
                Waited::TimedOut => {
                    self.voice.tick(&format!("{} {}", self.clock(Clock.now()), since(&counts, &before)))?;
                    before = counts;
                }
            }
        }
    }

    /// The time, for the beginning of a line.
    fn clock(&self, now: Instant) -> String {
        format!("{:5.1} s ", now.duration_since(self.start).as_secs_f64())
    }
}

/// What came since the last line, in words.
fn since(counts: &Counts, before: &Counts) -> String {
    let answers = counts.answers.iter().zip(&before.answers).map(|(now, before)| now - before);
    let answers: Vec<_> =
        BACKENDS.iter().zip(answers).map(|(name, count)| format!("{name} {count}")).collect();
    let mut text = format!("{} requests: {}", counts.requests() - before.requests(), answers.join(", "));
    for (what, now, before) in [("cut", counts.cut, before.cut), ("failed", counts.failed, before.failed)] {
        if now > before {
            text += &format!("; {} {what}", now - before);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_new() {
        let before = Counts { answered: 10, cut: 1, answers: vec![4, 3, 3], ..Counts::new(3) };
        let counts = Counts { answered: 18, cut: 1, answers: vec![8, 3, 7], ..Counts::new(3) };
        assert_eq!(since(&counts, &before), "8 requests: web-01 4, web-02 0, web-03 4");
        let counts = Counts { cut: 3, failed: 1, ..counts };
        assert_eq!(since(&counts, &before), "11 requests: web-01 4, web-02 0, web-03 4; 2 cut; 1 failed");
    }
}
