#!/usr/bin/env bash
# setup.sh TOOLS: installs what the tests and checks need beyond the compilers: Debian packages for the
# commands that are missing, and the Python tools of requirements-dev.txt into the virtualenv TOOLS. Done
# before, it only looks and returns.
set -euo pipefail

tools=${1:?usage: setup.sh TOOLS}
python=${PYTHON:-python3}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# These cannot come from a package of a stable distribution in the version that is needed.
missing=0
for command in cargo go "$python"; do
    if ! command -v "$command" >/dev/null; then
        echo "setup: $command is not on the PATH; install it first" >&2
        missing=1
    fi
done
(( missing == 0 )) || exit 1

packages=()
need() {
    command -v "$1" >/dev/null || packages+=("$2")
}
need cc gcc
need c++ g++
need readelf binutils
need cmake cmake
need pkg-config pkg-config
need abidiff abigail-tools
need shellcheck shellcheck
need curl curl
# Debian keeps daemons where not every user looks.
PATH=$PATH:/usr/sbin
need nginx nginx-light
need haproxy haproxy
need wrk wrk
need strace strace
need nft nftables
need ip iproute2
need redis-server redis-server
need etcd etcd-server
need etcdctl etcd-client
need h2load nghttp2-client
need dnsmasq dnsmasq-base
need openssl openssl
need mariadbd mariadb-server
# Of PostgreSQL only the client is where everybody looks: each version's server has a folder of its own.
for bin in /usr/lib/postgresql/*/bin; do
    PATH=$PATH:$bin
done
need postgres postgresql
# A distribution's nginx has the stream module, which is no command, in a package of its own.
nginx_is=$(nginx -V 2>&1 || true)
if [[ -z $(command -v nginx) || $nginx_is == *--with-stream=dynamic* ]]; then
    modules=${nginx_is#*--modules-path=}
    [[ -e ${modules%% *}/ngx_stream_module.so ]] || packages+=(libnginx-mod-stream)
fi
# A distribution's Python may come without the means to make a virtualenv.
"$python" -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)

if (( ${#packages[@]} )); then
    echo "setup: installing ${packages[*]}"
    as_root=()
    if (( EUID != 0 )); then
        as_root=(sudo)
    fi
    if ! command -v apt-get >/dev/null; then
        echo "setup: no apt-get here; install these by other means: ${packages[*]}" >&2
        exit 1
    fi
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends \
        "${packages[@]}" >/dev/null
fi

# The copy of the requirements beside the virtualenv is written last and says that it is complete.
if ! cmp -s "$here/requirements-dev.txt" "$tools/requirements-dev.txt"; then
    echo "setup: installing the Python tools into $tools"
    rm -rf "$tools"
    "$python" -m venv "$tools"
    "$tools/bin/pip" install --quiet -r "$here/requirements-dev.txt"
    cp "$here/requirements-dev.txt" "$tools/requirements-dev.txt"
fi
