"""A relay in this process, on threads of its own: three small backends, a few requests, one backend drained.

The backends are in this process too, so that the example needs nothing else and ends by itself.
"""

import socket
import threading
from collections import Counter

import trimtab
from trimtab import Admin, Event

CONFIGURATION = """
[runtime]
workers = 2

[[listener]]
name = "web"
bind = "127.0.0.1:0"             # any free port; Server.address tells which
pool = "app"
timeouts = { drain = "5s" }

[[pool]]
name = "app"
policy = "least-connections"
"""


class Backend:
    """Answers each line with its own name in front."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._socket = socket.create_server(("127.0.0.1", 0))
        host, port = self._socket.getsockname()
        self.address = f"{host}:{port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return  # it was closed
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, client.makefile("rwb") as stream:
            for line in stream:
                stream.write(self.name.encode() + b": " + line)
                stream.flush()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Client:
    """One connection to the relay."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._stream = self._socket.makefile("rwb")

    def ask(self, text: str) -> str:
        self._stream.write(text.encode() + b"\n")
        self._stream.flush()
        return self._stream.readline().decode().strip()

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def show(event: Event) -> None:
    """Called on whatever thread made it happen; it must not wait for long."""
    print("   ", event)


def main() -> None:
    backends = [Backend(name) for name in ("red", "green", "blue")]
    # Entering the block starts the server, leaving it closes the server.
    with trimtab.Server(CONFIGURATION, source="relay.py", on_event=show) as server:
        address, pool = server.address("web"), server.pool("app")
        for backend in backends:
            pool.add(backend.address, name=backend.name)

        clients = [Client(address) for _ in range(6)]
        answers = [client.ask("hello") for client in clients]
        print("six clients:", dict(Counter(answer.partition(":")[0] for answer in answers)))

        # Drain: nothing new for green; who is connected to it stays so.
        pool.set_admin(pool.find("green"), Admin.DRAIN)
        old = clients[[answer.partition(":")[0] for answer in answers].index("green")]
        new = [Client(address) for _ in range(4)]
        print("drained, a new client:", *(client.ask("who?") for client in new), sep="\n    ")
        print("drained, an old client:", old.ask("still there?"))

        # The whole server: it accepts nothing new, and ends when its sessions have.
        server.drain()
        for client in clients + new:
            client.close()
        server.wait(10)
        for told in pool.backends():
            print(f"{told.name}: {told.picks} sessions, {told.success} good, {told.in_flight} left")
        counted = server.statistics()
        print(f"{counted.accepted} accepted, {counted.finished} finished, {counted.failed} failed")
    for backend in backends:
        backend.close()


if __name__ == "__main__":
    main()
