"""What programs do with redis-py, in both protocols."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import redis.asyncio
from conftest import Serve, Served
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

SECONDS = 30

Connect = Callable[..., "redis.Redis"]


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def connect(protocol: int) -> Iterator[Connect]:
    made: list[redis.Redis] = []

    def client(served: Served, **options: Any) -> redis.Redis:
        options = {"socket_timeout": SECONDS, "decode_responses": True, "protocol": protocol} | options
        made.append(redis.Redis(port=served.port, **options))
        return made[-1]

    yield client
    for each in made:
        each.close()


def message(channel: Any) -> Any:
    """The next that comes."""
    end = time.monotonic() + SECONDS
    while (got := channel.get_message(timeout=end - time.monotonic())) is None:
        assert time.monotonic() < end, "waited in vain for a message"
    return got


def subscribed(channel: Any, count: int = 1) -> None:
    """Waits until so many subscriptions, or ends of them, are answered."""
    for _ in range(count):
        assert message(channel)["type"].endswith("subscribe")


def test_strings_hashes_lifetimes_and_scans(serve: Serve, connect: Connect) -> None:
    client: Any = connect(serve('durability = "memory"'))
    assert client.set("text", "häuser") and client.get("text") == "häuser"
    assert client.get("none") is None
    assert client.set("text", "x", nx=True) is None
    assert client.set("text", "y", get=True) == "häuser"
    assert client.mset({"a": 1, "b": 2}) and client.mget("a", "none", "b") == ["1", None, "2"]
    assert client.incr("a", 41) == 42 and client.decr("b") == 1
    assert client.incrbyfloat("float", 1.5) == 1.5
    assert client.append("text", "z") == 2 and client.getrange("text", 0, 0) == "y"
    assert client.getdel("text") == "yz" and client.exists("text") == 0

    assert client.hset("hash", mapping={"name": "x", "count": 1}) == 2
    assert client.hincrby("hash", "count", 4) == 5
    assert client.hincrbyfloat("hash", "count", 0.5) == 5.5
    assert client.hgetall("hash") == {"name": "x", "count": "5.5"}
    assert client.hmget("hash", "count", "none") == ["5.5", None]
    assert list(client.hscan_iter("hash")) == [("name", "x"), ("count", "5.5")]
    assert client.hdel("hash", "count") == 1 and client.hkeys("hash") == ["name"]
    assert client.hrandfield("hash", 1, withvalues=True) in (["name", "x"], [["name", "x"]])
    assert client.type("hash") == "hash"
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.get("hash")

    assert client.expire("hash", 100) and 0 < client.ttl("hash") <= 100
    assert not client.expire("hash", 50, gt=True) and client.persist("hash")
    assert (client.ttl("hash"), client.ttl("none")) == (-1, -2)
    assert client.set("brief", 1, px=30)
    end = time.monotonic() + SECONDS
    while client.exists("brief"):
        assert time.monotonic() < end
    assert client.set("long", 1, ex=100) and client.getex("long", persist=True) == "1"

    assert client.mset({f"key:{at:04}": at for at in range(1200)})
    assert sorted(client.scan_iter("key:*", count=100)) == [f"key:{at:04}" for at in range(1200)]
    assert list(client.scan_iter(_type="hash")) == ["hash"]
    assert client.delete(*client.keys("key:*")) == 1200
    assert client.dbsize() == 5
    assert client.info("server")["redis_version"].startswith("7.")
    assert client.client_setname("me") and client.client_getname() == "me"
    assert [each["name"] for each in client.client_list()] == ["me"]
    assert client.config_get("maxclients") == {"maxclients": "10000"}
    assert client.ping() and client.echo("x") == "x" and client.wait(0, 10) == 0


def test_values_of_any_bytes(serve: Serve, connect: Connect) -> None:
    client: Any = connect(serve('durability = "memory"'), decode_responses=False)
    every = bytes(range(256))
    for value in (b"", every, b"\r\n" * 1000, b"\xfeTT" + every, bytes(5 << 20)):
        assert client.set(every, value) and client.get(every) == value
        assert client.hset(b"h", every, value) in (0, 1) and client.hget(b"h", every) == value


def test_a_pipeline_answers_all_in_order(serve: Serve, connect: Connect) -> None:
    client: Any = connect(serve('durability = "memory"'))
    with client.pipeline(transaction=False) as pipeline:
        for at in range(600):
            pipeline.set(f"p{at}", at)
            pipeline.incr("sum")
            pipeline.get(f"p{at}")
        answers = pipeline.execute()
    assert answers == [each for at in range(600) for each in (True, at + 1, str(at))]
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set("text", "x").incr("text").get("text")
        answers = pipeline.execute(raise_on_error=False)
    assert (answers[0], answers[2]) == (True, "x") and isinstance(answers[1], redis.ResponseError)


def test_a_transaction_is_done_as_one(serve: Serve, connect: Connect) -> None:
    served = serve("")
    client: Any = connect(served)
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


def test_who_watches_and_tries_again_loses_nothing(serve: Serve, connect: Connect) -> None:
    client: Any = connect(serve('durability = "memory"'))
    client.mset({"from": 160, "to": 0})

    def move(_: int) -> None:
        def step(transaction: Any) -> None:
            left, right = map(int, transaction.mget("from", "to"))
            assert left + right == 160
            transaction.multi()
            transaction.mset({"from": left - 1, "to": right + 1})

        client.transaction(step, "from", "to")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(move, range(160)))
    assert client.mget("from", "to") == ["0", "160"]


def test_channels_and_what_happens_to_keys(serve: Serve, connect: Connect) -> None:
    client: Any = connect(serve('durability = "memory"'))
    with client.pubsub() as channel:
        channel.subscribe("news")
        channel.psubscribe("n*")
        subscribed(channel, 2)
        assert client.publish("news", "first") == 2
        both = [message(channel), message(channel)]
        got = {each["type"]: (each["pattern"], each["channel"], each["data"]) for each in both}
        assert got == {"message": (None, "news", "first"), "pmessage": ("n*", "news", "first")}
        assert client.pubsub_numsub("news") == [("news", 1)] and client.pubsub_numpat() == 1
        channel.unsubscribe("news")
        subscribed(channel)
        assert client.publish("news", "second") == 1
        assert message(channel)["type"] == "pmessage"

    assert client.config_set("notify-keyspace-events", "KEA")
    with client.pubsub() as channel:
        channel.psubscribe("__keyevent@0__:*")
        subscribed(channel)
        client.set("brief", 1, px=20)
        client.hset("hash", "f", "v")
        client.delete("hash")
        told = [message(channel) for _ in range(4)]
        told = sorted((each["channel"].rsplit(":", 1)[1], each["data"]) for each in told)
        assert told == [("del", "hash"), ("expired", "brief"), ("hset", "hash"), ("set", "brief")]


def test_a_pool_of_connections_serves_many_threads(serve: Serve, protocol: int) -> None:
    served = serve('durability = "memory"')
    blocking: Any = redis.BlockingConnectionPool
    pool = blocking(
        port=served.port, max_connections=4, timeout=SECONDS, socket_timeout=SECONDS, protocol=protocol
    )
    client: Any = redis.Redis(connection_pool=pool)
    with ThreadPoolExecutor(16) as threads:
        sums = list(threads.map(lambda _: client.incr("n"), range(400)))
    assert sorted(sums) == list(range(1, 401))
    assert client.info("clients")["connected_clients"] <= 4
    pool.disconnect()


def test_passwords(serve: Serve, connect: Connect, tmp_path: Any) -> None:
    (tmp_path / "password").write_text("secret")
    served = serve(f'password_file = "{tmp_path}/password"')
    never = Retry(NoBackoff(), 0)
    with pytest.raises(redis.AuthenticationError):
        connect(served, retry=never).ping()
    with pytest.raises(redis.AuthenticationError):
        connect(served, retry=never, password="wrong").ping()
    assert connect(served, password="secret").ping()


def test_who_tries_again_goes_on_after_a_kill(serve: Serve, connect: Connect) -> None:
    rounds = int(os.environ.get("TRIMTAB_SERVER_ROUNDS", "2"))
    served = serve("")
    retry = Retry(ConstantBackoff(0.05), SECONDS * 20)
    client: Any = connect(served, retry=retry)
    acknowledged = [0] * 4
    is_over = threading.Event()

    def write(writer: int) -> None:
        while not is_over.is_set():
            assert client.set(f"writer:{writer}", acknowledged[writer] + 1)
            acknowledged[writer] += 1

    def until_written(more: int) -> None:
        floors = [each + more for each in acknowledged]
        end = time.monotonic() + SECONDS
        while any(now < floor for now, floor in zip(acknowledged, floors, strict=True)):
            assert time.monotonic() < end, f"waited in vain: {acknowledged}, {floors}"
            time.sleep(0.005)

    with client.pubsub() as channel, ThreadPoolExecutor(4) as threads:
        channel.subscribe("news")
        subscribed(channel)
        writers = [threads.submit(write, writer) for writer in range(4)]
        try:
            for _ in range(rounds):
                until_written(20)
                served.kill()
                before = list(acknowledged)
                served.start()
                found = [int(client.get(f"writer:{writer}")) for writer in range(4)]
                assert all(now >= then for now, then in zip(found, before, strict=True)), (found, before)
                until_written(20)
        finally:
            is_over.set()
        for writer in writers:
            writer.result()
        # It subscribes anew by itself once it sees that it was cut off.
        subscribed(channel)
        assert client.publish("news", "again") == 1
        assert message(channel)["data"] == "again"
    assert [int(client.get(f"writer:{writer}")) for writer in range(4)] == acknowledged


def test_asyncio(serve: Serve, protocol: int) -> None:
    served = serve('durability = "memory"')

    async def run() -> None:
        client: Any = redis.asyncio.Redis(port=served.port, protocol=protocol, decode_responses=True)
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
