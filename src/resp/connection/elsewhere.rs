//! Reads of what this node does not show as fresh as is asked: the primary is asked, and nothing else of the
//! connection is done meanwhile.
//!
//! What names its keys is done there, as of now ([`Errand`]). Everything else, and what is too much to be done there,
//! is done here, once this node shows all that was answered before: it asks up to where. When neither comes to
//! anything in `quorum_wait`, half of it for each, the client is told what it would be without a primary to be asked.

use super::answer::LAPSED;
use super::job::Job;
use super::take::Taken;
use super::{Busy, Connection};
use crate::error::Error;
use crate::resp::command::{Args, Spec};
use crate::resp::errand::Errand;
use crate::resp::hub::Hub;
use crate::resp::keys::{Keys, Position, Ticket, Told};
use crate::resp::world::Failure;
use crate::store::index::Timestamp;

/// What came of asking, for the request that is looked at once more.
#[derive(Debug)]
pub(super) enum Heard {
    /// The primary's answer, and up to where it has read.
    Answer(Position, Vec<u8>),
    /// What is here has all that was answered before.
    All,
    /// No answer to an errand.
    NoErrand,
    /// Nothing.
    Nothing,
}

impl Connection {
    /// What comes of a request that reads, and is not to be answered from what is here for `failure`. `None`: it is,
    /// since that has all by now.
    ///
    /// - `position`: what it has to see in any case.
    pub(super) fn read_elsewhere(
        &mut self,
        spec: &Spec,
        args: Args<'_>,
        position: Option<Position>,
        failure: Failure,
        hub: &mut Hub,
        keys: &mut impl Keys,
    ) -> Option<Taken> {
        let errand = match self.heard.take() {
            None => {
                let random = hub.rng.next_u64();
                Errand::of(spec, args, hub.client(self.id).protocol, random)
            }
            Some(Heard::NoErrand) => None,
            Some(Heard::All) => return None,
            Some(Heard::Answer(position, bytes)) => {
                self.seen = self.seen.max(position);
                hub.counters.errors += u64::from(bytes.starts_with(b"-"));
                self.output.extend_from_slice(&bytes);
                self.check_output(false, hub);
                return Some(Taken::Yes);
            }
            Some(Heard::Nothing) => {
                self.refuse(failure, hub);
                return Some(Taken::Yes);
            }
        };
        let Some(ticket) = self.ask_primary(errand.as_ref(), position, &failure, hub, keys) else {
            self.refuse(failure, hub);
            return Some(Taken::Yes);
        };
        self.busy = Some(Busy::Elsewhere { ticket, is_errand: errand.is_some(), job: None });
        Some(Taken::Later)
    }

    /// Has a job that changes nothing made up anew once what is here has all; otherwise it is told `failure`.
    pub(super) fn seek_whole(
        &mut self,
        job: Job,
        attempts: u32,
        failure: Failure,
        hub: &mut Hub,
        keys: &mut impl Keys,
    ) {
        match self.ask_primary(None, None, &failure, hub, keys) {
            Some(ticket) => {
                self.busy =
                    Some(Busy::Elsewhere { ticket, is_errand: false, job: Some((job, attempts, failure)) });
            }
            None => self.fail_job(job.is_transaction, failure, hub),
        }
    }

    /// A primary that has lost its quorum has nobody to ask. A balancer goes to the primary by itself.
    fn ask_primary(
        &self,
        errand: Option<&Errand>,
        position: Option<Position>,
        failure: &Failure,
        hub: &mut Hub,
        keys: &mut impl Keys,
    ) -> Option<Ticket> {
        if *failure == LAPSED || hub.client(self.id).is_balancer {
            return None;
        }
        keys.ask(errand, position, self.options.quorum_wait / 2)
    }

    /// Takes what came of asking the primary. [`Connection::advance`] is to follow.
    pub fn take_told(
        &mut self,
        ticket: Ticket,
        told: Result<Told, Error>,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) {
        if !matches!(&self.busy, Some(Busy::Elsewhere { ticket: own, .. }) if *own == ticket) {
            return;
        }
        let Some(Busy::Elsewhere { is_errand, job, .. }) = self.busy.take() else { return };
        if let Some((job, attempts, failure)) = job {
            match told {
                Ok(_) => self.start_job(Job { is_whole: true, ..job }, attempts, hub, keys, now),
                Err(_) => self.fail_job(job.is_transaction, failure, hub),
            }
            return;
        }
        self.heard = Some(match told {
            Ok(Told { position, answer: Some(bytes) }) if is_errand => Heard::Answer(position, bytes),
            _ if is_errand => Heard::NoErrand,
            Ok(_) => Heard::All,
            Err(_) => Heard::Nothing,
        });
    }
}
