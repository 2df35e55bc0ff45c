"""nginx behind a server, as a site would have it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest
import trimtab
from peers import TIMEOUT, config, connect
from trimtab import Admin, Server

# Debian keeps daemons where not every user looks.
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is missing; packaging/setup.sh installs it")

BODY = os.urandom(2 << 20)


class Nginx:
    """One nginx with a site of one large file, and a page that tells who came; on a unix socket."""

    def __init__(self, folder: Path, name: str) -> None:
        self.address = f"unix:{folder}/{name}.sock"
        site = folder / "site"
        site.mkdir(exist_ok=True)
        (site / "large").write_bytes(BODY)
        temporary = "\n".join(
            f"{kind}_temp_path {folder}/{name}-{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = folder / f"{name}.conf"
        configuration.write_text(
            f"""
            daemon off;
            master_process off;
            pid {folder}/{name}.pid;
            error_log stderr error;
            events {{}}
            http {{
                access_log off;
                {temporary}
                server {{
                    listen {self.address} proxy_protocol;
                    root {site};
                    location = /who {{ return 200 "{name} $proxy_protocol_addr\\n"; }}
                }}
            }}
            """,
            encoding="utf-8",
        )
        assert NGINX is not None
        self.process = subprocess.Popen(
            [NGINX, "-p", str(folder), "-e", "stderr", "-c", str(configuration)], stderr=subprocess.PIPE
        )
        until = time.monotonic() + TIMEOUT
        while True:
            try:
                connect(self.address).close()
                return
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.process.poll() is None and time.monotonic() < until, "nginx does not start"
                time.sleep(0.005)

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=TIMEOUT)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[list[Nginx]]:
    started: list[Nginx] = []
    try:
        for name in ("one", "two"):
            started.append(Nginx(tmp_path, name))
        yield started
    finally:
        for nginx in started:
            nginx.close()


def get(address: str, path: str) -> bytes:
    host, _, port = address.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=TIMEOUT)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == 200
    return body


def test_a_site_of_two_nginx(site: list[Nginx]) -> None:
    text = config(*(nginx.address for nginx in site), more='proxy_protocol = "v2"')
    with Server(text) as server, ThreadPoolExecutor(8) as executor:
        address = server.address("web")
        wanted = hashlib.sha256(BODY).digest()
        for body in executor.map(lambda _: get(address, "/large"), range(32)):
            assert hashlib.sha256(body).digest() == wanted
        assert {get(address, "/who") for _ in range(32)} == {b"one 127.0.0.1\n", b"two 127.0.0.1\n"}
        # One leaves for a while, another is killed; nobody notices.
        pool = server.pool("app")
        pool.set_admin(pool.find("b1"), Admin.MAINTENANCE)
        assert {get(address, "/who") for _ in range(8)} == {b"two 127.0.0.1\n"}
        pool.set_admin(pool.find("b1"), Admin.READY)
        site[1].close()
        assert {get(address, "/who") for _ in range(8)} == {b"one 127.0.0.1\n"}
        statistics = server.statistics()
        assert statistics.accepted == 32 + 32 + 8 + 8
        assert statistics.bytes_to_clients > 32 * len(BODY)
        server.drain()
        server.wait(TIMEOUT)
        assert server.state is trimtab.ServerState.STOPPED


def test_a_connection_that_is_kept_stays_with_its_nginx(site: list[Nginx]) -> None:
    text = config(*(nginx.address for nginx in site), more='proxy_protocol = "v1"')
    with Server(text) as server:
        host, _, port = server.address("web").rpartition(":")
        connection = HTTPConnection(host, int(port), timeout=TIMEOUT)
        seen = set()
        for _ in range(20):
            connection.request("GET", "/who")
            seen.add(connection.getresponse().read())
        assert len(seen) == 1
        server.drain(TIMEOUT)
        # The session goes on until its client leaves.
        connection.request("GET", "/who")
        seen.add(connection.getresponse().read())
        connection.close()
        server.wait(TIMEOUT)
        assert len(seen) == 1 and server.statistics().accepted == 1
