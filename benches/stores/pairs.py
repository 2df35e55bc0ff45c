"""A client for what redis-benchmark cannot ask: a write, and the question behind it whether replicas have it.

Both go in one write; a pair is answered when both answers are there. One thread does everything, so it has a
ceiling of its own: what it reaches with `PING` as the second command, which asks for nothing.
"""

from __future__ import annotations

import random
import selectors
import socket
import time
from dataclasses import dataclass, field

VALUE_BYTES = 128


class Unanswered(Exception):
    """An answer that is not what was asked for."""


def encode(*words: bytes) -> bytes:
    return b"".join([b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in words])


@dataclass
class Conversation:
    """One connection, with one pair on its way."""

    socket: socket.socket
    received: bytes = b""
    since: float = 0.0
    times: list[float] = field(default_factory=list)

    def send(self, keys: int, tail: bytes) -> None:
        key = b"key:%012d" % random.randrange(keys)
        self.since = time.perf_counter()
        self.socket.sendall(encode(b"SET", key, b"x" * VALUE_BYTES) + tail)

    def receive(self) -> bool:
        """Takes what is there; says whether the pair is answered."""
        data = self.socket.recv(4096)
        if not data:
            raise Unanswered("the store has closed the connection")
        self.received += data
        if self.received.count(b"\r\n") < 2:
            return False
        self.times.append(time.perf_counter() - self.since)
        first, second = self.received.split(b"\r\n")[:2]
        if first != b"+OK" or second[:1] not in (b":", b"+") or second == b":0":
            raise Unanswered(f"a pair was answered with {first!r} and {second!r}")
        self.received = b""
        return True


def pairs(port: int, tail: bytes, keys: int, seconds: float, connections: int) -> dict[str, float]:
    """Pairs a second and their latencies in milliseconds; how many there were."""
    with selectors.EpollSelector() as selector:
        conversations = []
        try:
            for _ in range(connections):
                connection = socket.create_connection(("127.0.0.1", port), 5)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                conversations.append(Conversation(connection))
                selector.register(connection, selectors.EVENT_READ, conversations[-1])
            start = time.perf_counter()
            for conversation in conversations:
                conversation.send(keys, tail)
            while time.perf_counter() < start + seconds:
                for key, _ in selector.select(5):
                    if key.data.receive():
                        key.data.send(keys, tail)
            elapsed = time.perf_counter() - start
        finally:
            for conversation in conversations:
                conversation.socket.close()
    times = sorted(each * 1e3 for conversation in conversations for each in conversation.times)
    if not times:
        raise Unanswered(f"no pair was answered within {seconds} s")
    count = len(times)
    return {
        "rate": count / elapsed,
        "p50": times[count // 2],
        "p99": times[int(count * 0.99)],
        "count": count,
    }
