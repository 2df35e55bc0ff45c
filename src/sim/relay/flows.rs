//! What clients and backends do, and bytes between the sockets of one session, moved as the driver moves them.

use crate::proxy::flow::{Moved, Step};
use crate::proxy::session::{Cause, Direction, Next};
use crate::sim::relay::{BUFFER, Live, World};
use crate::sim::socket::Got;

impl World {
    /// A client or a backend sends, reads, ends or breaks off; the relay hears of it, later or now.
    pub(super) fn a_peer_acts(&mut self) -> Result<(), String> {
        let count = self.live.len() as u64;
        if count == 0 {
            return Ok(());
        }
        let chosen = self.rng.below(count) as usize;
        let Some(key) = self.live.keys().nth(chosen).copied() else { return Ok(()) };
        let Some(live) = self.live.get_mut(&key) else { return Ok(()) };
        let is_client = live.backend.is_none() || self.rng.below(2) == 0;
        let socket = match &mut live.backend {
            Some(backend) if !is_client => backend,
            _ => &mut live.client,
        };
        match self.rng.below(40) {
            0 => socket.peer_ends(),
            1 if self.rng.below(3) == 0 => socket.peer_resets(),
            2..20 => socket.peer_sends(self.rng.below(700) as usize),
            _ => socket.peer_reads(self.rng.below(700) as usize)?,
        }
        if self.rng.below(3) > 0 {
            self.deliver(key)?;
        }
        Ok(())
    }

    /// Tells the relay what happened to one session's sockets, as one event each, and lets it act.
    pub(super) fn deliver(&mut self, key: u64) -> Result<(), String> {
        let Some(live) = self.live.get_mut(&key) else { return Ok(()) };
        for side in [Direction::ToBackend, Direction::ToClient] {
            let socket = match (side, &mut live.backend) {
                (Direction::ToBackend, _) => &mut live.client,
                (Direction::ToClient, Some(backend)) => backend,
                (Direction::ToClient, None) => continue,
            };
            if std::mem::take(&mut socket.readable_edge) {
                let is_ending = socket.peer_ended || socket.peer_reset;
                live.session.flow(side).handle_source_ready(is_ending);
                if socket.peer_ended && !socket.peer_reset {
                    live.session.flow(side).handle_end_known();
                }
            }
            if std::mem::take(&mut socket.writable_edge) {
                live.session.flow(side.opposite()).handle_sink_ready();
            }
        }
        if live.session.is_relaying() {
            return self.relay(key);
        }
        if live.client.peer_reset {
            return self.follow(key, Next::Close(Cause::ClientLeft));
        }
        Ok(())
    }

    /// Runs both flows as the driver does.
    pub(super) fn relay(&mut self, key: u64) -> Result<(), String> {
        for direction in [Direction::ToBackend, Direction::ToClient] {
            if let Some(Next::Close(cause)) = self.run_flow(key, direction)? {
                return self.follow(key, Next::Close(cause));
            }
        }
        Ok(())
    }

    fn run_flow(&mut self, key: u64, direction: Direction) -> Result<Option<Next>, String> {
        let Some(live) = self.live.get_mut(&key) else { return Ok(None) };
        let Live { session, client, backend: Some(backend), pipes, .. } = live else { return Ok(None) };
        let (source, sink, pipe) = match direction {
            Direction::ToBackend => (client, backend, &mut pipes[0]),
            Direction::ToClient => (backend, client, &mut pipes[1]),
        };
        for _ in 0..1_000 {
            let flow = session.flow(direction);
            if flow.kept().len() > BUFFER {
                return Err(format!("a flow keeps {} bytes", flow.kept().len()));
            }
            let mut broken = None;
            match flow.next() {
                Step::Wait | Step::Over => return Ok(None),
                Step::Read => match source.read(&mut self.buffer) {
                    Got::Blocked => flow.handle_source_blocked(),
                    Got::Broken => broken = Some(true),
                    Got::Bytes(bytes) => {
                        flow.handle_read(bytes, BUFFER);
                        if bytes > 0 {
                            let read = &self.buffer[..bytes];
                            match sink.write(read, &mut self.rng) {
                                Got::Broken => broken = Some(false),
                                Got::Blocked => flow.handle_passed(read, 0),
                                Got::Bytes(written) => {
                                    flow.handle_passed(read, written);
                                    session.handle_movement(direction, self.now);
                                }
                            }
                        }
                    }
                },
                Step::Write => match sink.write(flow.kept(), &mut self.rng) {
                    Got::Broken => broken = Some(false),
                    Got::Blocked => flow.handle_written(0),
                    Got::Bytes(written) => {
                        flow.handle_written(written);
                        session.handle_movement(direction, self.now);
                    }
                },
                Step::Move if self.rng.below(8) == 0 && pipe.is_empty() => flow.handle_no_pipe(),
                Step::Move => {
                    let mut moved = Moved {
                        bytes: 0,
                        in_pipe: 0,
                        source_blocked: false,
                        sink_blocked: false,
                        source_ended: flow.has_source_ended(),
                    };
                    if pipe.is_empty() && !moved.source_ended {
                        match source.read(&mut self.buffer) {
                            Got::Blocked => moved.source_blocked = true,
                            Got::Broken => broken = Some(true),
                            Got::Bytes(0) => moved.source_ended = true,
                            Got::Bytes(bytes) => pipe.extend_from_slice(&self.buffer[..bytes]),
                        }
                    }
                    if !pipe.is_empty() {
                        match sink.write(pipe, &mut self.rng) {
                            Got::Broken => broken = Some(false),
                            Got::Blocked => moved.sink_blocked = true,
                            Got::Bytes(written) => {
                                pipe.drain(..written);
                                moved.bytes = written as u64;
                                moved.sink_blocked = !pipe.is_empty();
                            }
                        }
                    }
                    moved.in_pipe = pipe.len();
                    flow.handle_moved(moved);
                    if moved.bytes > 0 {
                        session.handle_movement(direction, self.now);
                    }
                }
                Step::End => {
                    if source.sent != flow.delivered() && !source.peer_reset {
                        return Err(format!("an end overtook {} bytes", source.sent - flow.delivered()));
                    }
                    match session.handle_end(direction) {
                        Some(next) => return Ok(Some(next)),
                        None => sink.relay_ended = true,
                    }
                }
            }
            let next = match broken {
                None => continue,
                Some(true) => session.handle_source_broken(direction),
                Some(false) => session.handle_sink_broken(direction),
            };
            if next.is_some() {
                return Ok(next);
            }
        }
        Err("a flow goes round in circles".into())
    }
}
