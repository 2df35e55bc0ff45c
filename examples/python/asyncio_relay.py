"""A relay that an asyncio loop hosts: no thread is made, and its clients and backends are tasks beside it.

The backends are in this process too, so that the example needs nothing else and ends by itself.
"""

import asyncio
from collections import Counter

import trimtab
import trimtab.aio
from trimtab import Event

CONFIGURATION = """
[[listener]]
name = "web"
bind = "127.0.0.1:0"             # any free port; Server.address tells which
pool = "app"

[[pool]]
name = "app"
"""


async def start_backend(name: str) -> asyncio.Server:
    """Answers each line with its own name in front."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(name.encode() + b": " + line)
            await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def ask(address: str, text: str) -> str:
    """One connection, one question."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(text.encode() + b"\n")
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer.decode().strip()


def show(event: Event) -> None:
    """Called on the loop's thread."""
    print("   ", event)


async def main() -> None:
    names = ("red", "green", "blue")
    backends = [await start_backend(name) for name in names]
    server = trimtab.Server(CONFIGURATION, source="asyncio_relay.py", on_event=show)
    # Entering the block starts the server in this loop, leaving it closes the server.
    async with trimtab.aio.serve(server) as hosted:
        address, pool = server.address("web"), server.pool("app")
        for name, backend in zip(names, backends, strict=True):
            host, port = backend.sockets[0].getsockname()
            pool.add(f"{host}:{port}", name=name)

        answers = await asyncio.gather(*(ask(address, f"hello {number}") for number in range(9)))
        print("nine clients:", dict(Counter(answer.partition(":")[0] for answer in answers)))

        pool.set_admin(pool.find("green"), "drain")
        answers = await asyncio.gather(*(ask(address, f"hello {number}") for number in range(6)))
        print("green drained:", dict(Counter(answer.partition(":")[0] for answer in answers)))

        # Accepts nothing new, lets sessions end by themselves for five seconds at most, and waits for that.
        await hosted.drain(5)
        status = server.status()
        print(f"{status['state']}: {status['totals']['finished']} sessions, {status['workers']} threads")
    for backend in backends:
        backend.close()


if __name__ == "__main__":
    asyncio.run(main())
