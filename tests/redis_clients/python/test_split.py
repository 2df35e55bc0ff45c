"""redis-py, as it is, with a listener as its server that splits reads from writes, before three nodes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import redis
import redis.asyncio
from conftest import Cluster, Cluster3
from redis.backoff import NoBackoff
from redis.retry import Retry
from test_failover import until

SECONDS = 60

# What a client is told of a write that may have been done.
DOUBTS = ("INDOUBT", "UNKNOWN")


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


Connect = Callable[..., Any]


@pytest.fixture
def connect(protocol: int) -> Iterator[Connect]:
    """Clients that try nothing again by themselves."""
    made: list[redis.Redis] = []

    def client(nodes: Cluster, port: int | None = None, **options: Any) -> Any:
        never = Retry(NoBackoff(), 0)
        ours: dict[str, Any] = {"socket_timeout": SECONDS, "decode_responses": True, "protocol": protocol}
        options = ours | {"retry": never} | options
        made.append(redis.Redis(port=port or nodes.split, **options))
        return made[-1]

    yield client
    for each in made:
        each.close()


def ready(client: Any) -> None:
    until("a write", lambda: client.set("ready", 1))


def primary(nodes: Cluster, connect: Connect) -> int:
    """Which node is primary."""

    def look() -> list[int]:
        running = [at for at in range(3) if nodes.processes[at]]
        found = [at for at in running if connect(nodes, nodes.ports[at]).role()[0] == "master"]
        return found if len(found) == 1 else []

    return until("one primary", look)[0]


def message(channel: Any) -> Any:
    """The next that comes."""
    end = time.monotonic() + SECONDS
    while (got := channel.get_message(timeout=end - time.monotonic())) is None:
        assert time.monotonic() < end, "waited in vain for a message"
    return got


def test_a_client_reads_what_it_has_written(cluster: Cluster3, connect: Connect) -> None:
    nodes = cluster(listener='reads = "replicas"')
    ready(connect(nodes))
    client = connect(nodes, single_connection_client=True)
    for at in range(300):
        assert client.set("key", at) and client.get("key") == str(at)
        assert client.hset("hash", mapping={"f": at, "g": -at}) == (2 if at == 0 else 0)
        assert client.hgetall("hash") == {"f": str(at), "g": str(-at)}
    # It was other nodes that were read.
    first = primary(nodes, connect)
    others = [port for at, port in enumerate([*nodes.ports, nodes.learner]) if at != first]
    told = [each["cmd"] for port in others for each in connect(nodes, port).client_list()]
    assert {"get", "hgetall"} & set(told), told


def test_what_programs_do(cluster: Cluster3, connect: Connect) -> None:
    nodes = cluster(listener="")
    client = connect(nodes)
    ready(client)
    assert client.mset({"a": 1, "b": 2}) and client.mget("a", "none", "b") == ["1", None, "2"]
    assert client.incr("a", 41) == 42 and client.incrbyfloat("float", 1.5) == 1.5
    assert client.set("a", "x", nx=True) is None and client.getdel("a") == "42"
    assert client.expire("b", 100) and 0 < client.ttl("b") <= 100 and client.persist("b")
    assert client.set("brief", 1, px=30)
    until("it has expired", lambda: not client.exists("brief"))
    raw, every = connect(nodes, decode_responses=False), bytes(range(256)) * 4096
    assert raw.set(every[:256], every) and raw.get(every[:256]) == every
    assert client.mset({f"key:{at:04}": at for at in range(1200)})
    assert sorted(client.scan_iter("key:*", count=100)) == [f"key:{at:04}" for at in range(1200)]
    assert client.delete(*client.keys("key:*")) == 1200
    assert client.info("server")["redis_version"].startswith("7.")
    assert client.client_setname("me") and client.client_getname() == "me"
    assert client.ping() and client.echo("x") == "x"
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.hget("b", "f")


def test_pipelines_and_transactions(cluster: Cluster3, connect: Connect) -> None:
    client = connect(cluster(listener=""))
    ready(client)
    with client.pipeline(transaction=False) as pipeline:
        for at in range(400):
            pipeline.set(f"p{at}", at)
            pipeline.incr("sum")
            pipeline.get(f"p{at}")
        answers = pipeline.execute()
    assert answers == [each for at in range(400) for each in (True, at + 1, str(at))]
    with client.pipeline() as transaction:
        transaction.set("a", 1).hset("h", "f", "v").incr("a").hgetall("h").get("none")
        assert transaction.execute() == [True, 1, 2, {"f": "v"}, None]
    with client.pipeline() as transaction:
        transaction.watch("a")
        assert transaction.get("a") == "2"
        client.set("a", 7)
        transaction.multi()
        transaction.set("a", 3)
        with pytest.raises(redis.WatchError):
            transaction.execute()
    with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
        with client.pipeline() as transaction:
            transaction.set("b", 1).execute_command("GET")
            transaction.execute()
    assert client.mget("a", "b") == ["7", None]

    client.mset({"from": 80, "to": 0})

    def move(_: int) -> None:
        def step(transaction: Any) -> None:
            left, right = map(int, transaction.mget("from", "to"))
            assert left + right == 80
            transaction.multi()
            transaction.mset({"from": left - 1, "to": right + 1})

        client.transaction(step, "from", "to")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(move, range(80)))
    assert client.mget("from", "to") == ["0", "80"]


def test_channels(cluster: Cluster3, connect: Connect) -> None:
    client = connect(cluster(listener=""))
    ready(client)
    with client.pubsub() as channel:
        channel.subscribe("news")
        channel.psubscribe("n*")
        assert [message(channel)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
        assert client.publish("news", "first") == 2
        both = [message(channel), message(channel)]
        got = {each["type"]: (each["pattern"], each["channel"], each["data"]) for each in both}
        assert got == {"message": (None, "news", "first"), "pmessage": ("n*", "news", "first")}
        channel.unsubscribe("news")
        assert message(channel)["type"] == "unsubscribe"
        assert client.publish("news", "second") == 1
        assert message(channel)["type"] == "pmessage"


def test_asyncio(cluster: Cluster3, connect: Connect, protocol: int) -> None:
    nodes = cluster(listener="")
    ready(connect(nodes))

    async def run() -> None:
        client: Any = redis.asyncio.Redis(port=nodes.split, protocol=protocol, decode_responses=True)
        async with client:
            sums = await asyncio.gather(*(client.incr("n") for _ in range(50)))
            assert sorted(sums) == list(range(1, 51))
            async with client.pipeline(transaction=True) as pipeline:
                assert await pipeline.set("a", 1).get("a").execute() == [True, "1"]
            async with client.pubsub() as channel:
                await channel.subscribe("news")
                assert (await channel.get_message(timeout=SECONDS))["type"] == "subscribe"
                assert await client.publish("news", "x") == 1
                assert (await channel.get_message(timeout=SECONDS))["data"] == "x"

    asyncio.run(asyncio.wait_for(run(), SECONDS))


class Load:
    """Programs that write rising numbers to keys of their own and read them, each by its own connection."""

    def __init__(self, nodes: Cluster, connect: Connect) -> None:
        self.clients = [connect(nodes, single_connection_client=True) for _ in range(4)]
        self.written = [0] * 4
        self.errors: list[list[str]] = [[] for _ in self.clients]
        self.is_over = threading.Event()
        self.threads = ThreadPoolExecutor(4)
        self.running = [self.threads.submit(self.run, writer) for writer in range(4)]

    def run(self, writer: int) -> None:
        client, number = self.clients[writer], 0
        while not self.is_over.is_set():
            number += 1
            try:
                assert client.set(f"writer:{writer}", number)
                self.written[writer] = number
            except redis.ResponseError as error:
                self.errors[writer].append(str(error))
            found = int(client.get(f"writer:{writer}") or 0)
            assert self.written[writer] <= found <= number, (writer, found, number)

    def goes_on(self) -> None:
        """Waits until each has written some more."""
        floors = [each + 50 for each in self.written]

        def have() -> bool:
            for each in self.running:
                if each.done():
                    each.result()
            return all(now >= floor for now, floor in zip(self.written, floors, strict=True))

        until("clients go on", have)

    def end(self) -> None:
        self.is_over.set()
        for each in self.running:
            each.result()
        self.threads.shutdown()
        for writer, client in enumerate(self.clients):
            assert int(client.get(f"writer:{writer}")) >= self.written[writer]


def test_a_killed_primary_costs_one_retry_at_most(cluster: Cluster3, connect: Connect) -> None:
    nodes = cluster(listener="")
    ready(connect(nodes))
    load = Load(nodes, connect)
    try:
        load.goes_on()
        nodes.kill(primary(nodes, connect))
        load.goes_on()
    finally:
        load.end()
    for told in load.errors:
        assert len(told) <= 1 and all(each.startswith(DOUBTS) for each in told), load.errors


def test_nodes_that_are_restarted_in_turn_fail_no_write(cluster: Cluster3, connect: Connect) -> None:
    nodes = cluster(listener="")
    ready(connect(nodes))
    load = Load(nodes, connect)
    try:
        for at in range(3):
            load.goes_on()
            nodes.stop(at)
            load.goes_on()
            nodes.start(at)
            # It has to be there before the next one goes, or most of them are away.
            back = connect(nodes, nodes.ports[at])
            until("it is in the cluster again", partial(back.get, "ready"))
        load.goes_on()
    finally:
        load.end()
    assert load.errors == [[]] * 4
