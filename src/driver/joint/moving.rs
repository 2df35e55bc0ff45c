//! The bytes of a session: from one of its sockets to the other, as its flows say.

use std::net::Shutdown;
use std::os::fd::AsFd;

use crate::driver::joint::{Joint, Joints};
use crate::driver::net;
use crate::driver::pipes::Broken;
use crate::driver::shared::{Counters, add};
use crate::driver::token::{Key, Side, Source};
use crate::driver::worker::Core;
use crate::proxy::flow::{Flow, Step};
use crate::proxy::session::{Cause, Direction, Next};

/// How many reads one flow has in a turn before others have theirs.
const READS_PER_TURN: usize = 16;

impl Joints {
    /// Runs both flows as far as they go.
    pub(super) fn run(&mut self, core: &mut Core, key: Key) {
        let joint = &mut self.table[key.index as usize];
        let counters = self.shared.listeners[joint.listener as usize].counters(core.index);
        let mut ended = false;
        // In this order: a backend that takes nothing any more may still have something to say.
        for direction in [Direction::ToBackend, Direction::ToClient] {
            match joint.run_flow(direction, core, key, counters) {
                Ran::Waits => {}
                Ran::HasEnded => ended = true,
                Ran::Closes(cause) => return self.close(core, key, cause),
            }
        }
        if joint.session.flow(Direction::ToClient).is_sink_blocked() && !joint.is_client_writable_asked {
            joint.is_client_writable_asked = true;
            if core.ask_for_writing(&joint.client, Source::Session(key, Side::Client)).is_err() {
                return self.close(core, key, Cause::NoDescriptor);
            }
        }
        if ended {
            self.arm(core, key);
        }
    }
}

/// How far a flow came.
enum Ran {
    /// It waits for an event, or for the next turn.
    Waits,
    /// Its source has ended, or its sink's half was ended just now: look at the deadline.
    HasEnded,
    /// The session ends.
    Closes(Cause),
}

impl Joint {
    #[inline]
    fn run_flow(&mut self, direction: Direction, core: &mut Core, key: Key, counters: &Counters) -> Ran {
        let Some(backend) = &self.backend else { return Ran::Waits };
        let (source, sink, counter) = match direction {
            Direction::ToBackend => (&self.client, backend, &counters.to_backends),
            Direction::ToClient => (backend, &self.client, &counters.to_clients),
        };
        let session = &mut self.session;
        let mut reads = 0;
        let mut ended = false;
        loop {
            let flow: &mut Flow = session.flow(direction);
            let broken = match flow.next() {
                // An end that waits behind what the sink does not take has a deadline of its own, too.
                Step::Wait if flow.has_source_ended() => return Ran::HasEnded,
                Step::Wait | Step::Over => {
                    return if ended { Ran::HasEnded } else { Ran::Waits };
                }
                Step::Read => {
                    if direction == Direction::ToBackend
                        && !self.is_tuned_for_messages
                        && flow.delivered() > 0
                    {
                        self.is_tuned_for_messages = true;
                        net::tune_for_messages(sink);
                    }
                    if reads == READS_PER_TURN {
                        core.again.push(key);
                        return Ran::Waits;
                    }
                    reads += 1;
                    match net::read(source, &mut core.buffer) {
                        Ok(None) => {
                            flow.handle_source_blocked();
                            None
                        }
                        Ok(Some(bytes)) => {
                            flow.handle_read(bytes, core.buffer.len());
                            if bytes == 0 {
                                continue;
                            }
                            let read = &core.buffer[..bytes];
                            let written = if flow.has_source_ended() {
                                net::write_last(sink, read)
                            } else {
                                net::write(sink, read)
                            };
                            match written {
                                Ok(written) => {
                                    flow.handle_passed(read, written);
                                    session.handle_movement(direction, core.now);
                                    add(counter, written as u64);
                                    None
                                }
                                Err(_) => Some(Broken::Sink),
                            }
                        }
                        Err(_) => Some(Broken::Source),
                    }
                }
                Step::Write => match net::write(sink, flow.kept()) {
                    Ok(written) => {
                        flow.handle_written(written);
                        session.handle_movement(direction, core.now);
                        add(counter, written as u64);
                        None
                    }
                    Err(_) => Some(Broken::Sink),
                },
                Step::Move => {
                    core.mask_pipe();
                    if direction == Direction::ToBackend && !self.is_tuned_for_bulk {
                        self.is_tuned_for_bulk = true;
                        net::tune_for_bulk(sink);
                    }
                    let held = match direction {
                        Direction::ToBackend => &mut self.to_backend,
                        Direction::ToClient => &mut self.to_client,
                    };
                    let Some(mut pipe) = held.take().or_else(|| core.pipes.take().map(Box::new)) else {
                        flow.handle_no_pipe();
                        continue;
                    };
                    let (moved, broken) = pipe.relay(source.as_fd(), sink.as_fd(), flow.has_source_ended());
                    flow.handle_moved(moved);
                    let is_share_used = broken.is_none()
                        && !moved.source_blocked
                        && !moved.sink_blocked
                        && !moved.source_ended;
                    if pipe.held() > 0 {
                        *held = Some(pipe);
                    } else {
                        core.pipes.give(*pipe);
                    }
                    if moved.bytes > 0 {
                        session.handle_movement(direction, core.now);
                        add(counter, moved.bytes);
                    }
                    if is_share_used {
                        core.again.push(key);
                        return Ran::Waits;
                    }
                    broken
                }
                Step::End => {
                    match session.handle_end(direction) {
                        Some(Next::Close(cause)) => return Ran::Closes(cause),
                        _ => {
                            // Whoever reset the connection meanwhile is met at the next read.
                            let _ = sink.shutdown(Shutdown::Write);
                            ended = true;
                        }
                    }
                    None
                }
            };
            let next = match broken {
                None => continue,
                Some(Broken::Source) => session.handle_source_broken(direction),
                Some(Broken::Sink) => session.handle_sink_broken(direction),
                Some(Broken::Unfit) => {
                    session.flow(direction).handle_no_pipe();
                    None
                }
            };
            if let Some(Next::Close(cause)) = next {
                return Ran::Closes(cause);
            }
        }
    }
}
