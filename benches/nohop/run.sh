#!/usr/bin/env bash
# No hop: requests per second of a client with the pick embedded, beside the same client that does not pick
# and the same client through HAProxy and nginx. Everything runs on the loopback interface of this machine:
# three nginx with one worker each, the two proxies with a worker for each core, the client.
#
#   run.sh [--smoke] [--rounds 15] [--duration 1s] [--connections 64] [--policy NAME] [--json FILE]
#
# --smoke is one round of a second for each mode; it fails when an answer is wrong or the shares are not
# even. Needs go and the packages in apt.txt: apt-get install nginx-light haproxy
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Debian keeps daemons where not every user looks.
PATH=$PATH:/usr/sbin

rounds=15 duration=1s connections=64 policy=round-robin json='' check=()

die() {
    echo "run.sh: $*" >&2
    exit 1
}

while (($#)); do
    case $1 in
    --smoke) rounds=1 duration=1s check=(-check) ;;
    --rounds | --duration | --connections | --policy | --json)
        (($# > 1)) || die "$1 needs a value"
        declare "${1#--}=$2"
        shift
        ;;
    *) die "unknown option $1; see the head of this file" ;;
    esac
    shift
done
[[ $rounds =~ ^[1-9][0-9]{0,2}$ ]] || die "--rounds is 1 to 999"
[[ $duration =~ ^([1-9][0-9]{0,4})(ms|s)$ ]] || die "--duration is a whole number of s or ms"
milliseconds=${BASH_REMATCH[1]}
[[ ${BASH_REMATCH[2]} = ms ]] || milliseconds=$((milliseconds * 1000))
[[ $connections =~ ^[1-9][0-9]{0,2}$ ]] || die "--connections is 1 to 999"

for tool in nginx haproxy go; do
    command -v "$tool" >/dev/null ||
        die "$tool is missing; on Debian: apt-get install $(tr '\n' ' ' <"$here/apt.txt")(and go)"
done

dir=$(mktemp -d)
pids=()
cleanup() {
    trap - EXIT
    if ((${#pids[@]})); then
        kill "${pids[@]}" 2>/dev/null || true
        wait "${pids[@]}" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$here/../../bindings/go/build-archive.sh"
(cd "$here" && go build -o "$dir/client" .)

# Below the range from which the system gives ports to clients, so that none of ours takes one.
taken=' '
free_port() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        port=$((10000 + RANDOM % 20000))
        [[ $taken == *" $port "* ]] && continue
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            taken+="$port "
            return
        fi
    done
    die "found no free port"
}

wait_for() { # name port pid
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        kill -0 "$3" 2>/dev/null || break
        if (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; then return; fi
        sleep 0.05
    done
    cat "$dir"/*.log >&2 || true
    die "$1 did not come up on port $2"
}

cores=$(nproc)
user=''
if ((EUID == 0)); then user='user root;'; fi

# nginx_start NAME WORKERS HTTP: starts one nginx with this http block; gives `pid`.
nginx_start() {
    mkdir -p "$dir/$1"
    cat >"$dir/$1.conf" <<CONF
$user
daemon off;
worker_processes $2;
pid $dir/$1/pid;
error_log $dir/$1.log warn;
events { worker_connections 4096; }
http {
    access_log off;
    default_type text/plain;
    # More than any run sends, so that no connection is closed for its age or number of requests.
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    keepalive_time 24h;
    client_body_temp_path $dir/$1/body;
    proxy_temp_path $dir/$1/proxy;
    fastcgi_temp_path $dir/$1/fastcgi;
    uwsgi_temp_path $dir/$1/uwsgi;
    scgi_temp_path $dir/$1/scgi;
    $3
}
CONF
    nginx -p "$dir/$1" -e "$dir/$1.log" -c "$dir/$1.conf" &
    pid=$!
    pids+=("$pid")
}

servers=() server_pids=()
for server in 0 1 2; do
    free_port
    nginx_start "server-$server" 1 "server {
        listen 127.0.0.1:$port backlog=1024;
        location / { return 200 \"hello from server $server\\n\"; }
    }"
    wait_for "nginx $server" "$port" "$pid"
    servers+=("127.0.0.1:$port")
    server_pids+=("$pid")
done

free_port
nginx_port=$port
nginx_start proxy "$cores" "upstream servers {
        $(printf 'server %s; ' "${servers[@]}")
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_time 24h;
        keepalive_timeout 1h;
    }
    server {
        listen 127.0.0.1:$nginx_port backlog=1024;
        location / {
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
        }
    }"
nginx_pid=$pid
wait_for "the nginx proxy" "$nginx_port" "$nginx_pid"

# One HAProxy for each mode, so that each one's processor time can be told apart.
haproxy_start() { # MODE OPTIONS: gives `port` and `pid`
    local server=0 address
    free_port
    {
        cat <<CONF
global
    nbthread $cores
    maxconn 4096
defaults
    mode $1
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    $2
listen nohop
    bind 127.0.0.1:$port
    balance roundrobin
CONF
        for address in "${servers[@]}"; do
            echo "    server s$((server++)) $address"
        done
    } >"$dir/haproxy-$1.cfg"
    haproxy -db -q -f "$dir/haproxy-$1.cfg" >"$dir/haproxy-$1.log" 2>&1 &
    pid=$!
    pids+=("$pid")
    wait_for "HAProxy in $1 mode" "$port" "$pid"
}

haproxy_start http 'option http-keep-alive
    http-reuse always'
haproxy_http=127.0.0.1:$port=$pid
haproxy_start tcp ''
haproxy_tcp=127.0.0.1:$port=$pid

if [[ -r /proc/cpuinfo ]]; then
    echo "$cores cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1); load $(cut -d' ' -f1-3 /proc/loadavg)"
fi
echo "$(nginx -v 2>&1); $(haproxy -v | head -n 1)"

# Six modes, and each is warmed up once; the rest is slack for a busy machine.
limit=$(((rounds + 1) * milliseconds * 6 / 1000 + 60))
timeout --kill-after=5 "$limit" "$dir/client" -rounds "$rounds" -duration "$duration" \
    -connections "$connections" -policy "$policy" -json "$json" "${check[@]}" \
    -backends "$(IFS=,; echo "${servers[*]}")" -backend-pids "$(IFS=,; echo "${server_pids[*]}")" \
    -proxies "haproxy-http=$haproxy_http,haproxy-tcp=$haproxy_tcp,nginx=127.0.0.1:$nginx_port=$nginx_pid" &
# Waited for, because a signal interrupts a wait but not a command.
client=$!
pids+=("$client")
wait "$client"
