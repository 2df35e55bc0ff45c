"""redis-py's Sentinel, as it is, with three nodes of a cluster as its sentinels: it follows a failover."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import redis
from conftest import Cluster, Cluster3
from redis.sentinel import MasterNotFoundError, Sentinel

PATIENCE = 60
T = TypeVar("T")


def until(what: str, look: Callable[[], T]) -> T:
    """What `look` finds, however long that takes on a machine with much else to do."""
    end = time.monotonic() + PATIENCE
    why: Exception | None = None
    while time.monotonic() < end:
        try:
            if found := look():
                return found
        except (redis.RedisError, MasterNotFoundError, OSError) as error:
            why = error
        time.sleep(0.02)
    raise AssertionError(f"{what}: waited in vain, {why!r}")


# What redis-py has of these is without types.
def sentinel_of(nodes: Cluster, **options: Any) -> Any:
    sentinel: Any = Sentinel
    return sentinel(nodes.addresses, socket_timeout=5, sentinel_kwargs={"socket_timeout": 5}, **options)


def connect(address: tuple[str, int], **options: Any) -> Any:
    return redis.Redis(*address, **options)


def status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_failover_is_followed(cluster: Cluster3, protocol: int) -> None:
    nodes = cluster('sentinel = "mymaster"')
    sentinel = sentinel_of(nodes, min_other_sentinels=1, protocol=protocol)
    first = until("a primary", lambda: sentinel.discover_master("mymaster"))
    writer = sentinel.master_for("mymaster", protocol=protocol)
    reader = sentinel.slave_for("mymaster", protocol=protocol)
    assert until("a write", lambda: writer.set("key", 1))
    until("both replicas", lambda: len(sentinel.discover_slaves("mymaster")) == 2)
    assert first not in sentinel.discover_slaves("mymaster")
    until("it is on a replica", lambda: reader.get("key") == b"1")
    assert writer.role()[0] == b"master" and reader.role()[0] == b"slave"
    with pytest.raises(redis.exceptions.ReadOnlyError):
        connect(sentinel.discover_slaves("mymaster")[0]).set("key", 2)
    at = nodes.ports.index(first[1])
    assert status(nodes.health[at], "/primary") == 200 and status(nodes.health[at], "/replica") == 503
    others = [port for other, port in enumerate(nodes.health) if other != at]
    until("two fresh ones", lambda: all(status(port, "/replica?lag=1s") == 200 for port in others))
    assert all(status(port, "/primary") == 503 for port in others)

    listener = connect(next(it for it in nodes.addresses if it != first), protocol=protocol).pubsub()
    listener.subscribe("+switch-master")
    assert listener.get_message(timeout=PATIENCE)["type"] == "subscribe"
    nodes.kill(at)
    # The same handles go on by themselves.
    number = until("writes are taken again", lambda: writer.incr("number"))
    assert number >= 1 and writer.get("key") == b"1"
    second = sentinel.discover_master("mymaster")
    assert second != first
    told = listener.get_message(timeout=PATIENCE)
    assert told["data"].decode() == f"mymaster {first[0]} {first[1]} {second[0]} {second[1]}"
    until("it is told that one is gone", lambda: len(sentinel.discover_slaves("mymaster")) == 1)
    assert status(nodes.health[nodes.ports.index(second[1])], "/primary") == 200

    # The old one comes back as a replica, and is one for clients too.
    nodes.start(at)
    until("it is back", lambda: first in sentinel.discover_slaves("mymaster"))
    back = connect(first, protocol=protocol)
    until("it has all", lambda: back.get("number") == str(number).encode())
    assert back.info("replication")["role"] == "slave"
    assert back.info("replication")["master_port"] == second[1]


def test_a_handover_is_followed_and_asked_for(cluster: Cluster3) -> None:
    nodes = cluster("")
    sentinel = sentinel_of(nodes)
    first = until("a primary", lambda: sentinel.discover_master("trimtab"))
    writer = sentinel.master_for("trimtab")
    assert until("a write", lambda: writer.set("key", 0))
    until("both replicas", lambda: len(sentinel.discover_slaves("trimtab")) == 2)
    asked = connect(first)
    # All that was written is on two other disks.
    assert asked.set("key", 1) and asked.wait(2, PATIENCE * 1000) == 2
    asked.set_response_callback("SENTINEL CKQUORUM", lambda told, **_: told)
    until("all vote", lambda: b"3 usable Sentinels" in asked.sentinel_ckquorum("trimtab"))
    assert asked.execute_command("SENTINEL", "FAILOVER", "trimtab") in (b"OK", True)
    second = until("another primary", lambda: (it := sentinel.discover_master("trimtab")) != first and it)
    number = until("writes are taken again", lambda: writer.incr("key"))
    assert number >= 2 and writer.connection_pool.get_master_address() == second
    with pytest.raises(redis.ResponseError, match="this node is not primary; ask"):
        until("it has stepped down", lambda: connect(first).role()[0] == b"slave")
        connect(first).execute_command("SENTINEL", "FAILOVER", "trimtab")
    with pytest.raises(MasterNotFoundError):
        sentinel.discover_master("other")


def test_without_a_quorum_nobody_is_primary(cluster: Cluster3) -> None:
    nodes = cluster("")
    sentinel = sentinel_of(nodes)
    first = until("a primary", lambda: sentinel.discover_master("trimtab"))
    writer = sentinel.master_for("trimtab")
    assert until("a write", lambda: writer.set("key", 1))
    at = nodes.ports.index(first[1])
    others = [other for other in range(3) if other != at]
    until("both have it", lambda: all(connect(nodes.addresses[it]).get("key") for it in others))
    for other in others:
        nodes.kill(other)
    alone = connect(first)
    until("it steps down", lambda: alone.role()[0] == b"slave")
    assert status(nodes.health[at], "/primary") == 503
    with pytest.raises(MasterNotFoundError):
        sentinel.discover_master("trimtab")
    with pytest.raises(redis.exceptions.ReadOnlyError):
        alone.set("key", 2)
    # Whoever is content with what there is gets it, however old.
    with alone.client() as client:
        assert client.readonly() and client.get("key") == b"1"
    nodes.start(others[0])
    assert until("writes are taken again", lambda: writer.set("key", 3))
