//! Plays the steps, one after the other, tells how it goes, and judges.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::desk::{Desk, Waited};
use super::judge;
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

/// Plays everything in about so many seconds. What goes wrong is in the report; an error is one of the output.
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
    introduce(&stage, voice)?;
    let mut player = Player { seconds, start: Clock.now(), broke: 0, voice };
    let played = player.play_all(&mut stage, &mut report)?;
    match played {
        Ok(End::Played) => {
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
    ))
}

/// How far it came.
enum End {
    Played,
    /// There is no sense in the steps that are left.
    GivenUp,
    Interrupted,
}

struct Player<'v, 'o> {
    seconds: u32,
    start: Instant,
    /// Connections that steps broke on purpose, at most.
    broke: u64,
    voice: &'v mut Voice<'o>,
}

impl Player<'_, '_> {
    fn play_all(&mut self, stage: &mut Stage, report: &mut Report) -> io::Result<Result<End>> {
        let mut steps = steps::all();
        let weights = steps.iter().map(|step| step.weight()).sum();
        let count = steps.len();
        if let Err(error) = stage.start_load() {
            return Ok(Err(error));
        }
        for (index, step) in steps.iter_mut().enumerate() {
            let time = step_time(self.seconds, step.weight(), weights);
            let is_last = index + 1 == count;
            match self.play_one(&mut **step, time, is_last, stage, report)? {
                Ok(End::Played) => {}
                ended => return Ok(ended),
            }
        }
        Ok(Ok(End::Played))
    }

    fn play_one(
        &mut self,
        step: &mut dyn Step,
        time: Duration,
        is_last: bool,
        stage: &mut Stage,
        report: &mut Report,
    ) -> io::Result<Result<End>> {
        let begun = Clock.now();
        self.voice.say(&format!("{} {}", self.clock(begun), step.announce()))?;
        let last = begun.saturating_add(PATIENCE);
        if stage.desk.wait(last, |ledger| step.is_moment(ledger)) == Waited::Interrupted {
            return Ok(Ok(End::Interrupted));
        }
        if let Err(error) = step.act(stage) {
            return Ok(Err(error));
        }
        stage.desk.ledger().acted();
        let (name, mut problems) = (step.name(), Vec::new());
        let waited = self.watch(step, begun, time, &stage.desk)?;
        if waited == Waited::Interrupted {
            return Ok(Ok(End::Interrupted));
        }
        if waited == Waited::TimedOut {
            let sum = stage.desk.ledger().counts().connections_sum();
            let seconds = Clock.now().duration_since(begun).as_secs();
            problems
                .push(format!("after {seconds} s there is too little to judge by: {sum} new connections"));
        }
        if is_last {
            // What is on its way belongs to this step, and nothing comes after it.
            stage.end_load();
        }
        let counts = stage.desk.ledger().next_step();
        let is_hopeless = waited == Waited::TimedOut || counts.failed >= FAILURES_MAX;
        let mut judgement = match step.judge(stage, &counts) {
            Ok(judgement) => judgement,
            Err(error) => return Ok(Err(error)),
        };
        // A failure says more than the shares that follow from it.
        problems.splice(0..0, judge::nothing_failed(&counts));
        problems.append(&mut judgement.wrong);
        judgement.wrong = problems;
        if !judgement.wrong.is_empty() {
            judgement.cost = "more than it should: see below".into();
        }
        self.broke += step.broke();
        report.problems.extend(judgement.wrong.iter().map(|wrong| format!("{name}: {wrong}")));
        let seconds = Clock.now().duration_since(begun).as_secs_f64();
        report.rows.push(Row { name, seconds, counts, judgement });
        Ok(Ok(if is_hopeless { End::GivenUp } else { End::Played }))
    }

    /// Waits for the end of a step: its time is over and enough was seen, or it is hopeless.
    fn watch(&mut self, step: &dyn Step, begun: Instant, time: Duration, desk: &Desk) -> io::Result<Waited> {
        let (end, last) = (begun.saturating_add(time), begun.saturating_add(time + PATIENCE_OF_STEP));
        let mut before = Counts::new(BACKENDS.len());
        let mut tick = begun;
        loop {
            tick = tick.saturating_add(TICK);
            let is_hopeless = |ledger: &Ledger| ledger.counts().failed >= FAILURES_MAX;
            let waited = if tick < end {
                desk.wait(tick, is_hopeless)
            } else {
                match desk.wait(end, is_hopeless) {
                    Waited::TimedOut => {
                        desk.wait(tick.min(last), |ledger| is_hopeless(ledger) || step.is_seen(ledger))
                    }
                    waited => waited,
                }
            };
            let now = Clock.now();
            if waited != Waited::TimedOut || now >= last {
                return Ok(waited);
            }
            let counts = desk.ledger().counts().clone();
            self.voice.tick(&format!("{} {}", self.clock(now), since(&counts, &before)))?;
            before = counts;
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
