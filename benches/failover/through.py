"""The same troubles as clients see them who know one address: a listener that splits reads from writes, on a
learner that stays up."""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from cluster import PATIENCE, Client, Cluster, Refused
from system import Failure

CLIENTS = 8
# What the listener promises by default, in seconds: what a read shows is no older.
AGE_MAX = 1.0


class Passenger(threading.Thread):
    """Writes numbers to a key of its own and reads it, and the key of another one, all by one connection.

    What comes to nothing is written again, and counted. A read is wrong when it shows less than this
    connection was answered before, or what nobody wrote; of another's key, when it lacks what was
    acknowledged for longer than AGE_MAX, or shows less than this connection was shown before.
    """

    def __init__(self, cluster: Cluster, number: int, all_of_them: Sequence[Passenger]) -> None:
        super().__init__(daemon=True)
        self.cluster, self.number, self.others = cluster, number, all_of_them
        self.key = b"passenger:%d" % number
        self.is_over = False
        self.begun = 0
        # When each number was acknowledged, from 1 on.
        self.acknowledged: list[float] = []
        self.retries: list[str] = []
        self.reads = self.wrong = 0
        # The longest that a write took, in seconds.
        self.longest = 0.0
        self.seen: dict[int, int] = {}
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.ride()
        except BaseException as failure:
            self.failure = failure

    def ride(self) -> None:
        client = self.cluster.split_client(PATIENCE)
        rng = random.Random(self.number)
        while not self.is_over:
            self.begun += 1
            since = time.monotonic()
            while True:
                try:
                    client.ask(b"SET", self.key, b"%d" % self.begun)
                    break
                except Refused as refused:
                    self.retries.append(str(refused))
                except OSError as broken:
                    self.retries.append(str(broken))
                    client = self.cluster.split_client(PATIENCE)
                    # What it is promised, it is promised for a connection.
                    self.seen.clear()
            now = time.monotonic()
            self.longest = max(self.longest, now - since)
            self.acknowledged.append(now)
            self.look(client, self, self.begun)
            other = rng.choice(self.others)
            self.look(client, other, self.least_of(other))
        client.close()

    def least_of(self, other: Passenger) -> int:
        """What a read that begins now has to show of another's key."""
        until = time.monotonic() - AGE_MAX
        numbers = len(other.acknowledged)
        while numbers > 0 and other.acknowledged[numbers - 1] > until:
            numbers -= 1
        return max(numbers, self.seen.get(other.number, 0))

    def look(self, client: Client, whose: Passenger, least: int) -> None:
        found = client.ask(b"GET", whose.key)
        value = int(found) if isinstance(found, bytes) else 0
        self.reads += 1
        self.wrong += not least <= value <= whose.begun
        self.seen[whose.number] = value


class Ride:
    def __init__(self, cluster: Cluster) -> None:
        self.passengers: list[Passenger] = []
        self.passengers.extend(Passenger(cluster, number, self.passengers) for number in range(CLIENTS))
        for passenger in self.passengers:
            passenger.start()

    def until_more(self, count: int) -> None:
        """Until so many more writes were acknowledged, and one of each client."""
        end = time.monotonic() + PATIENCE
        before = [len(each.acknowledged) for each in self.passengers]
        while True:
            more = [len(each.acknowledged) - had for each, had in zip(self.passengers, before, strict=True)]
            if sum(more) >= count and min(more) > 0:
                return
            for each in self.passengers:
                if each.failure is not None:
                    raise Failure(f"a client gave up: {each.failure!r}")
            if time.monotonic() > end:
                raise Failure("writes are not acknowledged any more")
            time.sleep(0.005)

    def end(self) -> None:
        for passenger in self.passengers:
            passenger.is_over = True
        for passenger in self.passengers:
            passenger.join(PATIENCE)
            if passenger.failure is not None:
                raise Failure(f"a client gave up: {passenger.failure!r}")

    def retries(self) -> list[int]:
        """Of each client."""
        return [len(each.retries) for each in self.passengers]

    def wrong(self) -> str:
        wrong, reads = (sum(getattr(each, what) for each in self.passengers) for what in ("wrong", "reads"))
        return f"{wrong} of {reads} reads wrong"

    def lost(self, cluster: Cluster) -> int:
        """Clients whose last acknowledged write is not there; by a read of the primary."""
        client = cluster.client(cluster.primary())
        lost = 0
        for each in self.passengers:
            found = client.ask(b"GET", each.key)
            lost += (int(found) if isinstance(found, bytes) else 0) < len(each.acknowledged)
        client.close()
        return lost


def kill(folder: Path, rounds: int) -> str:
    cluster = Cluster(folder, splits=True)
    waits: list[float] = []
    most: list[int] = []
    try:
        ride = Ride(cluster)
        for turn in range(rounds):
            ride.until_more(200)
            before = ride.retries()
            for passenger in ride.passengers:
                passenger.longest = 0.0
            victim = cluster.primary()
            cluster.kill(victim)
            ride.until_more(400)
            most.append(max(now - had for now, had in zip(ride.retries(), before, strict=True)))
            waits.append(max(passenger.longest for passenger in ride.passengers) * 1e3)
            cluster.start(victim)
            cluster.until_all_vote()
            print(f"split-kill {turn + 1}/{rounds}: {most[-1]} retries", file=sys.stderr, flush=True)
        ride.end()
        told, lost = sum(ride.retries()), ride.lost(cluster)
    finally:
        cluster.stop()
    longest = f"{statistics.median(waits):.3g} ({min(waits):.3g} to {max(waits):.3g}) ms"
    return (
        f"kill -9 of the primary behind a split listener, {rounds} rounds: a client retries {max(most)} "
        f"times at most in a round, {told} retries of {CLIENTS} clients in all; "
        f"a write takes {longest} at most; {ride.wrong()}, {lost} clients lost a write"
    )


def restart(folder: Path, rounds: int) -> str:
    cluster = Cluster(folder, splits=True)
    try:
        ride = Ride(cluster)
        ride.until_more(200)
        for turn in range(rounds):
            for node in range(3):
                cluster.end(node)
                ride.until_more(200)
                cluster.start(node)
                cluster.until_all_vote()
                ride.until_more(200)
            failed = sum(ride.retries())
            print(f"split-restart {turn + 1}/{rounds}: {failed} failed", file=sys.stderr, flush=True)
        ride.end()
        lost = ride.lost(cluster)
    finally:
        cluster.stop()
    writes = sum(len(each.acknowledged) for each in ride.passengers)
    longest = max(each.longest for each in ride.passengers) * 1e3
    return (
        f"restart of all nodes behind a split listener, {rounds} rounds: {sum(ride.retries())} of {writes} "
        f"writes failed; a write takes {longest:.3g} ms at most; {ride.wrong()}, {lost} clients lost a write"
    )
