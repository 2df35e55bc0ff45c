"""Stores as members of a cluster, several in one process on loopback."""

from __future__ import annotations

import asyncio
import itertools
import os
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trimtab
from conftest import SEGMENT_BYTES
from peers import TIMEOUT, script
from trimtab import AtLeast, ClusterEventKind, ClusterOptions, Member, NodeRole, Standing, Store

PATIENCE = 60.0
_numbers = itertools.count(1)


def free_address() -> str:
    """An address of this machine for each process, all of whose number is in it, and a port for each call."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16 & 0x3F)}.{pid >> 8 & 0xFF}.{pid & 0xFF}:{7400 + next(_numbers)}"


class Cluster:
    """Voters ``a``, ``b``, ``c`` and the learner ``d``, all open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.members = [Member(name, free_address(), learner=name == "d") for name in "abcd"]
        self.stores = {member.name: self.open(member.name) for member in self.members}

    def open(self, name: str) -> Store:
        options = ClusterOptions(
            name,
            self.members,
            insecure_plaintext=True,
            cluster="of python",
            patience=PATIENCE,
            client_address=f"clients of {name}",
            transfer_timeout=PATIENCE,
            message_bytes=16 << 10,
        )
        return Store(self.path / name, segment_bytes=SEGMENT_BYTES, timeout=PATIENCE, cluster=options)

    def primary(self, but: str | None = None) -> str:
        """Waits, as events tell, until all nodes that are open, but that one, know of the same primary, and
        it is not that one."""
        while True:
            stores = [store for name, store in self.stores.items() if self._counts(name, but)]
            known = {self._primary(store, but) for store in stores}
            if len(known) == 1:
                return known.pop()

    def _counts(self, name: str, but: str | None) -> bool:
        store = self.stores[name]
        return name != but and not store.closed and store.cluster().standing is Standing.ACTIVE

    def _primary(self, store: Store, but: str | None) -> str:
        with store.cluster_events() as events:
            while True:
                event = events.poll(PATIENCE)
                assert event, store.cluster()
                if event.kind is ClusterEventKind.ROLE:
                    primary = store.cluster().primary
                    if primary not in (None, but):
                        assert primary
                        return primary

    def close(self) -> None:
        for store in self.stores.values():
            store.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


def wait_for(events: trimtab.ClusterEvents, kind: ClusterEventKind, text: str = "") -> trimtab.ClusterEvent:
    while True:
        event = events.poll(PATIENCE)
        assert event, f"no {kind!r} with {text!r}"
        if event.kind is kind and (text in (event.name or "") or text in (event.detail or "")):
            return event


def wait_for_voters(store: Store, names: str) -> None:
    """Waits until a node votes itself, as far as it has a vote, and those who have one are these, with a link
    to each. A founder that came after the first election has its vote a little later, which the others may
    not know at first: when this has been waited for on each of them all vote, and one may be closed."""
    with store.cluster_events() as events:
        while True:
            status = store.cluster()
            voters = {node.name: node.is_linked for node in status.nodes if node.is_voter}
            if status.standing is Standing.ACTIVE and voters == dict.fromkeys(names, True):
                return
            # Members and links that change are told.
            assert events.poll(PATIENCE), store.cluster()


def test_writes_and_reads_on_every_node(cluster: Cluster) -> None:
    stores = list(cluster.stores.values())
    for turn in range(12):
        result = stores[turn % 4].put(b"key", b"%d" % turn)
        assert result.durability >= trimtab.Durability.QUORUM
        assert result.nodes >= 2 and not result.is_degraded and result.position[0] > 0
        for store in stores:
            # Each by another way of reading.
            assert store[b"key"] == store.get(b"key") == b"%d" % turn
            entry = store.entry(b"key")
            assert entry and entry.value == b"%d" % turn and b"key" in store
            assert len(store) == store.count() == 1 and list(store.items()) == [(b"key", b"%d" % turn)]
    assert stores[3].increment(b"n", 2) and stores[0].increment(b"n", 3).number == 5
    assert stores[1].put(b"four", b"v", durability=AtLeast(4)).nodes == 4
    done = stores[2].put(b"all", b"v", durability="all")
    assert done.durability is trimtab.Durability.ALL and done.nodes >= 3
    for store in stores:
        with store.view(level="local", position=done.position, timeout=PATIENCE) as view:
            assert view[b"all"] == b"v" and view.count() == 4 and view.sequence >= done.position[1]
        with store.view(age_max=5, timeout=PATIENCE) as view:
            assert b"key" in view
        # What no replica can say it has: the primary is asked.
        with store.view(age_max=0, timeout=PATIENCE) as view:
            assert view[b"all"] == b"v"
    requests = trimtab.Requests()
    request = next(requests)
    written = stores[0].put(b"key", b"asked", request=request)
    for store in stores:
        state, told = store.outcome(request)
        assert state is trimtab.RequestState.APPLIED and told and told.sequence == written.sequence
        assert store.outcome(next(requests)) == (trimtab.RequestState.NOT_APPLIED, None)
    epoch, entry_number = done.position
    with pytest.raises((trimtab.NotPrimaryError, trimtab.TimedOutError)):
        stores[3].view(level="local", position=(epoch, entry_number + 1000), timeout=0.06)
    for wrong in ({"level": "replica"}, {"level": "local", "age_max": 1}, {"level": "none"}):
        with pytest.raises(trimtab.InvalidArgumentError):
            stores[0].view(**wrong)
    moved = stores[3].transaction().when(b"n", value=b"5").then(trimtab.Operation.put(b"t", b"")).commit()
    assert moved and b"t" in stores[1]
    with stores[3].lease_grant(100) as lease:
        stores[0].put(b"l", b"", lease=lease)
        assert stores[1].lease(lease.id)
    with stores[2].queue() as queue:
        queue.submit(trimtab.Operation.increment(b"n"), 7)
        assert [one.user_data for one in queue.wait(timeout=PATIENCE)] == [7]
        queue.submit(trimtab.Operation.increment(b"n"), durability=AtLeast(4))
        (four,) = queue.wait(timeout=PATIENCE)
        assert four.result and four.result.nodes == 4


def test_how_it_is(cluster: Cluster) -> None:
    primary = cluster.primary()
    cluster.stores[primary].put(b"k", b"v", durability=AtLeast(4))
    for name, store in cluster.stores.items():
        status = store.cluster()
        assert (status.cluster, status.node, status.primary) == ("of python", name, primary)
        assert status.standing is Standing.ACTIVE and status.trouble is None and status.epoch > 0
        role = {primary: NodeRole.PRIMARY, "d": NodeRole.LEARNER}.get(name, NodeRole.REPLICA)
        assert status.role is role and (status.lease is not None) == (name == primary)
        nodes = {node.name: node for node in status.nodes}
        assert set(nodes) == set("abcd") and [node for node in nodes if nodes[node].is_primary] == [primary]
        for member in cluster.members:
            node = nodes[member.name]
            assert (node.address, node.is_voter) == (member.address, not member.learner)
            assert (node.lag is not None) == (name == primary)


def test_who_is_primary_and_who_is_in_it(cluster: Cluster) -> None:
    primary = cluster.primary()
    to, other = (name for name in "abc" if name != primary)
    stores = cluster.stores
    with stores[other].cluster_events() as events:
        assert select.select([events], [], [], TIMEOUT)[0]
        while events.poll():
            pass
        assert not select.select([events], [], [], 0)[0]
        refusal = ""
        while f"; {primary} is: ask there" not in refusal:
            # On a machine that is busy there may be an election between.
            primary = cluster.primary()
            to, other = (name for name in "abc" if name != primary)
            with pytest.raises(trimtab.NotPrimaryError) as refused:
                stores[other].transfer(to)
            refusal = str(refused.value)
            assert "is not primary" in refusal
        with pytest.raises(trimtab.NotFoundError):
            stores[primary].transfer("nobody")
        with pytest.raises(trimtab.StateError, match="plaintext"):
            stores[primary].reload_certificates()
        stores[primary].transfer(to, timeout=PATIENCE)
        assert wait_for(events, ClusterEventKind.ROLE, to).role is NodeRole.REPLICA
        assert cluster.primary(but=primary) == to
        stores[to].promote_learner("d", timeout=PATIENCE)
        assert "d" in (wait_for(events, ClusterEventKind.MEMBERS, "d").name or "")
        stores[to].add_node("e", timeout=PATIENCE)
        wait_for(events, ClusterEventKind.MEMBERS, "e")
        stores[to].remove_node("e", timeout=PATIENCE)
        with pytest.raises(trimtab.InvalidArgumentError, match="used once"):
            stores[to].add_node("e", free_address())
        with pytest.raises(trimtab.NotFoundError):
            stores[to].replace_node("e", "a")
        with stores["d"].cluster_events() as fenced:
            stores[to].remove_node("d", timeout=PATIENCE)
            assert "removed" in (wait_for(fenced, ClusterEventKind.FENCED).detail or "")
        with pytest.raises(trimtab.StateError, match="removed"):
            stores["d"].put(b"k", b"v")
        assert stores["d"].cluster().standing is Standing.FENCED
        # A handover to a node that is gone holds nobody up, outlasts who waits for it, and is called off.
        stores[primary].close()
        with pytest.raises(trimtab.TimedOutError, match="handover"):
            stores[to].transfer(primary, timeout=0.05)
        assert stores[to].put(b"meanwhile", b"v").nodes == 2
        with pytest.raises(trimtab.NotPrimaryError):
            stores[other].abort_transfer()
        assert stores[to].abort_transfer()
        assert not stores[to].abort_transfer()
        stores[primary] = cluster.open(primary)
        assert stores[to].put(b"three", b"v", durability=AtLeast(3), timeout=PATIENCE).nodes == 3
        # A primary that is closed hands over, and the others go on.
        stores[to].close()
        assert stores[other].put(b"k", b"v", timeout=PATIENCE) and cluster.primary(but=to) != to
        ended: list[bool] = []

        def follow() -> None:
            try:
                for _ in events:
                    pass
            except trimtab.ClosedError:
                ended.append(True)

        thread = threading.Thread(target=follow)
        thread.start()
        stores[other].close()
        thread.join(TIMEOUT)
        assert ended == [True]


def test_a_dead_node_is_replaced_and_then_another_one_dies(cluster: Cluster) -> None:
    primary = cluster.primary()
    stores = cluster.stores
    for name in "abc":
        wait_for_voters(stores[name], "abc")
    lost, other = (name for name in "abc" if name != primary)
    stores[lost].close()
    # All that are left have it, so the learner has caught up.
    assert stores[primary].put(b"key", b"1", durability=AtLeast(3), timeout=PATIENCE).nodes == 3
    with pytest.raises(trimtab.InvalidArgumentError, match="no learner"):
        stores[primary].replace_node(lost, other)
    with pytest.raises(trimtab.NotPrimaryError):
        stores["d"].replace_node(lost, "d")
    stores[primary].replace_node(lost, "d", timeout=PATIENCE)
    left = primary + other + "d"
    for name in left:
        wait_for_voters(stores[name], left)
        assert lost not in {node.name for node in stores[name].cluster().nodes}
    with pytest.raises(trimtab.NotFoundError):
        stores[primary].replace_node(lost, "d")
    # Of the three that there were at first one is left; with the new one it is a majority.
    stores[primary].close()
    for turn in range(20):
        key = b"%d" % turn
        done = stores["d" if turn % 2 else other].put(key, key, timeout=PATIENCE)
        assert done.nodes == 2 and stores[other][key] == stores["d"][key] == key
    assert stores["d"][b"key"] == b"1" and cluster.primary(but=primary) in (other, "d")


class Authority:
    """Makes certificates, with openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name, self.ca = folder, name, folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        self._openssl("req", "-x509", "-out", self.ca, "-keyout", self._key, "-subj", f"/CN={name}", *KEY)

    def issue(self, node: str, beside: bool) -> trimtab.Tls:
        """A certificate for this node's name; its key stands beside it, or in a file of its own."""
        paths = {kind: self.folder / f"{self.name}-{node}.{kind}" for kind in ("pem", "key", "csr", "ext")}
        self._openssl("req", "-out", paths["csr"], "-keyout", paths["key"], "-subj", f"/CN={node}", *KEY)
        paths["ext"].write_text(f"subjectAltName=DNS:{node}\nextendedKeyUsage=serverAuth,clientAuth\n")
        signed = ("-CA", self.ca, "-CAkey", self._key, "-CAcreateserial", "-days", "2")
        self._openssl(
            "x509", "-req", "-in", paths["csr"], "-out", paths["pem"], "-extfile", paths["ext"], *signed
        )
        if not beside:
            return trimtab.Tls(paths["pem"], self.ca, paths["key"])
        paths["pem"].write_text(paths["pem"].read_text() + paths["key"].read_text())
        return trimtab.Tls(str(paths["pem"]), self.ca)

    def _openssl(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=PATIENCE)


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def test_links_that_are_secured_and_all_options(tmp_path: Path) -> None:
    members = [Member(name, free_address()) for name in "abc"]

    def join(at: int, tls: trimtab.Tls, folder: str) -> Store:
        options = ClusterOptions(
            members[at].name,
            members,
            tls=tls,
            cluster="secured",
            listen=members[at].address,
            beginning=trimtab.Beginning.NEW,
            directory=trimtab.Directory.DETECT,
            durability=AtLeast(3),
            read="replica",
            age_max=PATIENCE,
            forwards=False,
            patience=PATIENCE,
            forward_max=1000,
            client_address=f"clients of {members[at].name}",
            degrade_after=0.2,
            transfer_timeout=PATIENCE,
            message_bytes=16 << 10,
        )
        return Store(tmp_path / folder, segment_bytes=SEGMENT_BYTES, timeout=PATIENCE, cluster=options)

    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    nodes = Cluster.__new__(Cluster)
    nodes.path, nodes.members = tmp_path, members
    nodes.stores = {it.name: join(at, ours.issue(it.name, at == 0), it.name) for at, it in enumerate(members)}
    primary = nodes.primary()
    others = [name for name in "abc" if name != primary]
    # At all of them, without having been asked for; unless one is too late, which is told.
    done = nodes.stores[primary].put(b"key", b"value")
    assert done.nodes == 3 or done.is_degraded
    for name in others:
        with nodes.stores[name].view(level="local", position=done.position, timeout=PATIENCE):
            assert nodes.stores[name][b"key"] == b"value"
        with pytest.raises(trimtab.NotPrimaryError, match=primary):
            nodes.stores[name].put(b"key", b"other")
    expected = {name: f"clients of {name}" for name in "abc"}
    end = time.monotonic() + PATIENCE
    while {node.name: node.client_address for node in nodes.stores[primary].cluster().nodes} != expected:
        assert time.monotonic() < end, nodes.stores[primary].cluster()
        time.sleep(0.01)
    # Who is certified by others stays out.
    with nodes.stores[primary].cluster_events() as events:
        nodes.stores[others[1]].close()
        done = nodes.stores[primary].put(b"key", b"two of three")
        assert done.is_degraded and done.nodes == 2
        at = [member.name for member in members].index(others[1])
        with join(at, theirs.issue(others[1], False), "stranger") as stranger:
            wait_for(events, ClusterEventKind.REFUSED, "certificate")
            # The one whose name comes first dials, and hears of whom it meant to reach. Who is dialled by a
            # stranger that takes no certificate of it knows only from where.
            status = nodes.stores[primary].cluster()
            seen = next(node for node in status.nodes if node.name == others[1])
            why = seen.trouble if primary < others[1] else status.last_refusal
            assert why and "certificate" in why and not seen.is_linked, status
            assert stranger.cluster().primary is None
            # Once all have both authorities, new links are made.
            both = Path(ours.ca).read_text() + Path(theirs.ca).read_text()
            for authority in (ours, theirs):
                Path(authority.ca).write_text(both)
            for store in (nodes.stores[primary], stranger):
                store.reload_certificates()
            wait_for(events, ClusterEventKind.LINK_UP, others[1])
            Path(theirs.ca).write_text("none")
            with pytest.raises(trimtab.TrimtabError, match=Path(theirs.ca).name):
                stranger.reload_certificates()
    nodes.close()


def test_what_cannot_be(tmp_path: Path, store: Store) -> None:
    calls = (
        store.cluster,
        store.cluster_events,
        store.abort_transfer,
        store.reload_certificates,
        lambda: store.transfer("b"),
        lambda: store.add_node("b"),
    )
    for call in calls:
        with pytest.raises(trimtab.StateError):
            call()
    with pytest.raises(trimtab.UnsupportedError):
        store.put(b"k", b"v", durability="quorum")
    assert store.view(level="primary").count() == 0
    a = Member("a", "127.0.0.1:7400")
    good = {"insecure_plaintext": True, "message_bytes": 16 << 10}
    for options, why in (
        (ClusterOptions("a", [a]), "security"),
        (ClusterOptions("a", [a], tls=trimtab.Tls("n", "c"), insecure_plaintext=True), "security"),
        (ClusterOptions("b", [a], insecure_plaintext=True), "not among"),
        (ClusterOptions("a", [Member("a", "localhost")], insecure_plaintext=True), "address"),
        (ClusterOptions("a", [Member("a", "10.0.0.5:7400")], **good), "10.0.0.5"),  # type: ignore[arg-type]
        (ClusterOptions("No", [a], insecure_plaintext=True), "node name"),
        (ClusterOptions("a", [a], insecure_plaintext=True, beginning="late"), "beginning"),
        (ClusterOptions("a", [a], insecure_plaintext=True, directory=9), "directory"),
        (ClusterOptions("a", [a], insecure_plaintext=True), "message_bytes"),
    ):
        with pytest.raises(trimtab.InvalidArgumentError, match=why):
            Store(tmp_path / "x", segment_bytes=SEGMENT_BYTES, cluster=options)
    files = trimtab.Tls("/nowhere/node.pem", "/nowhere/ca.pem")
    with pytest.raises(trimtab.TrimtabError, match="/nowhere/"):
        options = ClusterOptions("a", [a], tls=files, message_bytes=16 << 10)
        Store(tmp_path / "y", segment_bytes=SEGMENT_BYTES, cluster=options)
    alone = ClusterOptions("a", [Member("a")], **good)  # type: ignore[arg-type]
    with pytest.raises(trimtab.UnsupportedError):
        Store(tmp_path / "z", segment_bytes=SEGMENT_BYTES, cluster=alone, hosted=True)
    with pytest.raises(TypeError, match="cluster"):
        Store(tmp_path / "z", cluster={})  # type: ignore[arg-type]


def test_a_cluster_of_one_forks_and_ends_with_the_interpreter(tmp_path: Path) -> None:
    code = """
        import os, sys, threading, trimtab

        alone = trimtab.ClusterOptions(
            "a", [trimtab.Member("a")], insecure_plaintext=True, message_bytes=16 << 10, patience=60
        )
        store = trimtab.Store(sys.argv[1], segment_bytes=256 << 10, cluster=alone)
        assert store.put(b"k", b"v").nodes == 1
        events = store.cluster_events()
        pid = os.fork()
        if pid == 0:
            code = 0
            for call in (store.cluster, store.cluster_events, events.poll, store.view, lambda: store[b"k"],
                         lambda: store.transfer("a")):
                try:
                    call()
                    code = 1
                except trimtab.ForkedError:
                    pass
            events.close()
            store.close()
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), store[b"k"].decode(), flush=True)

        def follow():
            try:
                for _ in events:
                    pass
            except trimtab.ClosedError:
                pass

        threading.Thread(target=follow, daemon=True).start()
        """
    assert script(code, str(tmp_path), timeout=60) == "0 v\n"


def test_a_directory_is_promoted_by_force(tmp_path: Path) -> None:
    options = ClusterOptions(
        "x",
        [Member("x")],
        insecure_plaintext=True,
        message_bytes=16 << 10,
        patience=PATIENCE,
        kept_bytes_max=1 << 20,
        snapshot_rate=1 << 30,
        slow_flush=None,
        election_ticks=30,
    )
    with Store(tmp_path / "x", segment_bytes=SEGMENT_BYTES, cluster=options, timeout=PATIENCE) as store:
        store[b"k"] = b"v"
        store.add_node("l")
        with pytest.raises(trimtab.StateError):
            trimtab.promote_directory(tmp_path / "x")
    promoted = trimtab.promote_directory(tmp_path / "x")
    assert (promoted.cluster, promoted.node, promoted.generation) == ("trimtab", "x", 2)
    assert promoted.last >= 1 and promoted.out == () and promoted.learners == ("l",)
    with Store(tmp_path / "x", segment_bytes=SEGMENT_BYTES, cluster=options, timeout=PATIENCE) as store:
        store[b"on"] = b"v"
        assert store[b"k"] == b"v" and store.cluster().generation == 2
    with pytest.raises(trimtab.InvalidArgumentError):
        trimtab.promote_directory(tmp_path)


@pytest.mark.parametrize(
    ("option", "value"), [("election_ticks", 9), ("slow_flush", 0.001), ("kept_bytes_max", 1 << 49)]
)
def test_options_of_consensus_have_their_ranges(tmp_path: Path, option: str, value: float) -> None:
    given: dict[str, Any] = {"insecure_plaintext": True, "message_bytes": 16 << 10, option: value}
    with pytest.raises(trimtab.InvalidArgumentError, match=option):
        Store(tmp_path, segment_bytes=SEGMENT_BYTES, cluster=ClusterOptions("a", [Member("a")], **given))


def test_what_is_no_member_is_told(tmp_path: Path) -> None:
    for members in ([("a", "127.0.0.1:1")], ["a"], 5):
        options = trimtab.ClusterOptions("a", members, insecure_plaintext=True)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="members"):
            Store(tmp_path / "wrong", cluster=options)


def test_a_durability_of_a_member_is_said_in_one_place(tmp_path: Path) -> None:
    options = trimtab.ClusterOptions("a", [trimtab.Member("a", "127.0.0.1:1")], insecure_plaintext=True)
    with pytest.raises(trimtab.InvalidArgumentError, match="durability.*ClusterOptions"):
        Store(tmp_path / "wrong", durability="memory", cluster=options)


def test_events_in_a_loop(cluster: Cluster) -> None:
    store = cluster.stores[cluster.primary()]

    async def main() -> None:
        with store.cluster_events() as events:
            async for event in events:
                if event.kind is ClusterEventKind.ROLE:
                    break

            async def rest() -> int:
                return len([event async for event in events])

            # Whether it waits by then or not: it ends.
            task = asyncio.create_task(rest())
            await asyncio.sleep(0)
            await asyncio.to_thread(events.close)
            assert await task >= 0

        # What comes while it is waited for wakes it.
        with store.cluster_events() as events:

            async def left() -> str | None:
                async for event in events:
                    if event.kind is ClusterEventKind.LINK_DOWN:
                        return event.name
                return None

            task_of_link = asyncio.create_task(left())
            other = next(name for name in cluster.stores if cluster.stores[name] is not store)
            await asyncio.to_thread(cluster.stores[other].close)
            assert await task_of_link == other

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
