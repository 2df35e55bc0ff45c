"""Visits counted, sessions that end by themselves, and what happened to them: a store in this process."""

import asyncio
import tempfile

import trimtab
import trimtab.aio
from trimtab import Operation


def visit(store: trimtab.Store, name: str, requests: trimtab.Requests) -> None:
    """Counts a visit once, however often the call has to be made."""
    request = next(requests)
    session = Operation.put(f"session/{name}".encode(), b"here", ttl=0.2)
    txn = store.transaction().then(Operation.increment(b"visits"), session)
    try:
        result = txn.commit(request=request)
    except trimtab.TimedOutError:
        result = txn.commit(request=request, timeout=None)
    print(f"{name} is visitor {result.steps[0].number}, durable as {result.durability.name.lower()}")


async def import_many(store: trimtab.Store) -> None:
    """A thousand writes under way at once, without a thread; the loop goes on meanwhile."""
    async with trimtab.aio.attach(store) as writes:
        puts = (writes.put(b"product/%04d" % n, b"%d" % (n * 7)) for n in range(1000))
        results = await asyncio.gather(*puts)
    print(f"{len(results)} products, in {store.status().counts.flushes} writes to disk so far")


async def follow(store: trimtab.Store, sequence: int) -> None:
    """What happened to the sessions since then, until both are over."""
    left = 2
    with store.watch(prefix=b"session/", sequence=sequence) as watch:
        async for change in watch:
            if isinstance(change, trimtab.Compacted):
                print("too late: read what there is, and watch on from there")
                return
            print(f"at {change.sequence}: {change.key.decode()} {change.kind.name.lower()}")
            left -= change.kind is trimtab.ChangeKind.EXPIRED
            if left == 0:
                return


with tempfile.TemporaryDirectory() as directory:
    with trimtab.Store(directory) as store:
        requests = trimtab.Requests()
        before = store.status().applied + 1
        for name in ("ann", "bob"):
            visit(store, name, requests)
        asyncio.run(import_many(store))
        asyncio.run(follow(store, before))
        with store.view() as view:
            (last,) = view.keys(prefix=b"product/", reverse=True, limit=1)
            print("the last of", view.count(prefix=b"product/"), "is", last.decode())
    # A crash would have left the same.
    with trimtab.Store(directory) as store:
        print("opened again:", store[b"visits"].decode(), "visits, from", store.report.replayed, "entries")
