//! Which keys there are. The names are fixed for every release to come; those this version lacks are known
//! all the same, so that they are refused for what they are.

/// One kind of table.
pub(super) struct Schema {
    /// How messages call it: `in [[listener]]`.
    pub(super) place: &'static str,
    /// The keys it may have, in the order of the documentation.
    pub(super) keys: &'static [Key],
    /// The keys that later versions have.
    pub(super) later: &'static [&'static str],
}

/// One key.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// A value it may have, as it is written.
    pub(super) example: &'static str,
}

impl Schema {
    /// The key of this name.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names of all keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.keys.iter().map(|key| key.name)
    }
}

pub(super) const fn key(name: &'static str, example: &'static str) -> Key {
    Key { name, example }
}

pub(super) const ROOT: Schema = Schema {
    place: "at the top",
    keys: &[
        key("runtime", "{ workers = 2 }"),
        key("listener", "[{ name = \"web\", bind = \"0.0.0.0:8080\", pool = \"app\" }]"),
        key("pool", "[{ name = \"app\" }]"),
        key("discovery", "{ nameservers = [\"10.0.0.2\"] }"),
        key("store", "{ dir = \"data\", resp = \"127.0.0.1:6379\" }"),
        key("admin", "{ bind = \"unix:/run/trimtab.sock\" }"),
    ],
    later: &["guard", "log"],
};

pub(super) const RUNTIME: Schema =
    Schema { place: "in [runtime]", keys: &[key("workers", "2"), key("probes_max", "1024")], later: &[] };

pub(super) const DISCOVERY: Schema = Schema {
    place: "in [discovery]",
    keys: &[
        key("nameservers", "[\"10.0.0.2\", \"10.0.0.3:5353\"]"),
        key("search", "[\"example.org\"]"),
        key("resolv_conf", "\"/etc/resolv.conf\""),
        key("hosts", "\"/etc/hosts\""),
        key("families", "\"both\""),
        key("ttl_min", "\"1s\""),
        key("ttl_max", "\"1h\""),
        key("ttl_negative_max", "\"30s\""),
        key("hold", "\"30s\""),
        key("retry_min", "\"1s\""),
        key("retry_max", "\"30s\""),
        key("lookup_max", "\"60s\""),
        key("endpoints_max", "10000"),
    ],
    later: &[],
};

#[cfg(feature = "store")]
pub(super) const STORE: Schema = Schema {
    place: "in [store]",
    keys: &[
        key("dir", "\"data\""),
        key("node", "\"db-1\""),
        key("resp", "\"127.0.0.1:6379\""),
        key("health", "\"0.0.0.0:8008\""),
        key("durability", "\"local\""),
        key("maxclients", "10000"),
        key("flush", "\"allow\""),
        key("memory_max", "\"1GiB\""),
        key("eviction", "\"lru\""),
        key("disk_bytes_max", "\"10GiB\""),
        key("kept_bytes", "\"1GiB\""),
        key("value_max", "\"32MiB\""),
        key("operations_max", "10000"),
        key("clients_max", "10000"),
        key("client_bytes_max", "\"64MiB\""),
        key("timeout", "\"30s\""),
        key("waiting_max", "65536"),
        key("flush_interval", "\"1s\""),
        key("flush_bytes", "\"8MiB\""),
        key("snapshot_bytes", "\"256MiB\""),
        key("snapshot_retry", "\"10s\""),
        key("segment_bytes", "\"64MiB\""),
        key("pending_bytes_max", "\"64MiB\""),
        key("disk_retry", "\"1s\""),
        key("history_bytes_max", "\"16MiB\""),
        key("eviction_places", "1_048_576"),
        key("scrub_interval", "\"1d\""),
        key("scrub_bytes_per_second", "\"8MiB\""),
        key("notify", "\"KEA\""),
        key("output_max", "\"256MiB\""),
        key("idle", "\"5m\""),
        key("drain", "\"10s\""),
        key("password", "\"secret\""),
        key("password_file", "\"/etc/trimtab/store.password\""),
        key("cluster", "\"orders\""),
        key("listen", "\"10.0.0.5:7400\""),
        key("peers", "{ db-1 = \"10.0.0.5:7400\" }"),
        key("learners", "[\"db-4\"]"),
        key("peer_tls", "{ certificates = [\"node.pem\"], ca = \"ca.pem\" }"),
        key("join", "true"),
        key("adopt", "true"),
        key("forward", "false"),
        key("degrade_after", "\"1s\""),
        key("feed_from", "[\"db-2\"]"),
        key("feed_timeout", "\"2s\""),
        key("stale_max", "\"10s\""),
        key("announce", "\"10.0.0.5:6379\""),
        key("sentinel", "\"mymaster\""),
        key("patience", "\"3s\""),
        key("forward_max", "65536"),
        key("transfer_timeout", "\"2s\""),
        key("tick", "\"20ms\""),
        key("heartbeat_ticks", "2"),
        key("election_ticks", "20"),
        key("clock_drift_permille", "10"),
        key("slow_flush", "\"1s\""),
        key("handover_pause", "\"30s\""),
        key("message_bytes", "\"256KiB\""),
        key("inflight_messages", "64"),
        key("uncommitted_bytes_max", "\"64MiB\""),
        key("tail_bytes", "\"16MiB\""),
        key("kept_bytes_max", "\"256MiB\""),
        key("snapshot_rate", "\"50MiB\""),
        key("snapshot_window", "16"),
        key("snapshot_timeout", "\"30s\""),
    ],
    later: &[],
};

pub(super) const ADMIN: Schema = Schema {
    place: "in [admin]",
    keys: &[key("bind", "\"unix:/run/trimtab.sock\""), key("mode", "\"0600\"")],
    later: &[],
};

pub(super) const LISTENER: Schema = Schema {
    place: "in [[listener]]",
    keys: &[
        key("name", "\"web\""),
        key("bind", "\"0.0.0.0:8080\""),
        key("mode", "\"tcp\""),
        key("pool", "\"app\""),
        key("maxconn", "20000"),
        key("backlog", "4096"),
        key("proxy_protocol", "\"accept\""),
        key("abort_on_close", "true"),
        key("timeouts", "{ connect = \"1s\", idle = \"60s\" }"),
        key("reads", "\"any\""),
        key("max_age", "\"1s\""),
        key("catch_up", "\"50ms\""),
        key("queue_max", "1024"),
    ],
    later: &["guard", "tls", "route"],
};

pub(super) const TIMEOUTS: Schema = Schema {
    place: "in listener.timeouts",
    keys: &[
        key("connect", "\"1s\""),
        key("header", "\"10s\""),
        key("idle", "\"60s\""),
        key("half_closed", "\"30s\""),
        key("queue", "\"5s\""),
        key("drain", "\"30s\""),
    ],
    later: &["tunnel"],
};

pub(super) const POOL: Schema = Schema {
    place: "in [[pool]]",
    keys: &[
        key("name", "\"app\""),
        key("policy", "\"least-connections\""),
        key("hash", "\"ring\""),
        key("bounded_load", "1.5"),
        key("backups", "\"one\""),
        key("panic_threshold", "50"),
        key("fail_open", "true"),
        key("slow_start", "\"30s\""),
        key("slow_start_aggression", "1.0"),
        key("slow_start_min", "0.1"),
        key("outlier", "{ consecutive_errors = 5 }"),
        key("formula", "\"trimtab\""),
        key("tick", "\"1s\""),
        key("blend", "0.5"),
        key("gain", "1.0"),
        key("history", "8"),
        key("floor", "0.02"),
        key("stale", "\"10s\""),
        key("decay", "\"10s\""),
        key("seed", "0"),
        key("hash_seed", "0"),
        key("queue_max", "1024"),
        key("proxy_protocol", "\"v2\""),
        key("check", "{ kind = \"http\", path = \"/healthz\" }"),
        key("role", "\"primary\""),
        key("lag_max", "\"5s\""),
        key("retry", "{ attempts = 3 }"),
        key("retries_max", "100"),
        key("maxconn", "2000"),
        key("connection_rate", "500"),
        key("connection_burst", "50"),
        key("pending_max", "500"),
        key("adaptive", "{ min = 10 }"),
        key("on_down", "\"close\""),
        key("members_file", "\"/etc/trimtab/app.members\""),
        key("store", "{ role = \"primary\" }"),
        key("backend", "[{ address = \"10.0.0.1:80\" }]"),
    ],
    later: &["sticky", "tls"],
};

pub(super) const STORE_MEMBERS: Schema = Schema {
    place: "in pool.store",
    keys: &[
        key("role", "\"any\""),
        key("port", "6379"),
        key("lag_max", "\"5s\""),
        key("lag_entries_max", "10000"),
    ],
    later: &[],
};

pub(super) const RETRY: Schema = Schema {
    place: "in pool.retry",
    keys: &[key("attempts", "3"), key("budget", "0.2"), key("min", "3")],
    later: &[],
};

pub(super) const ADAPTIVE: Schema = Schema {
    place: "in pool.adaptive",
    keys: &[
        key("scope", "\"backend\""),
        key("min", "3"),
        key("max", "1000"),
        key("window", "\"100ms\""),
        key("percentile", "0.5"),
        key("rtt_interval", "\"60s\""),
        key("rtt_jitter", "0.15"),
        key("rtt_requests", "50"),
        key("rtt_buffer", "0.25"),
        key("rtt_pins", "true"),
    ],
    later: &[],
};

pub(super) const OUTLIER: Schema = Schema {
    place: "in pool.outlier",
    keys: &[
        key("consecutive_errors", "5"),
        key("interval", "\"10s\""),
        key("ejection_time", "\"30s\""),
        key("ejection_time_max", "\"5m\""),
        key("ejection_percent_max", "10"),
    ],
    later: &[],
};

pub(super) const CHECK: Schema = Schema {
    place: "in pool.check",
    keys: &[
        key("kind", "\"http\""),
        key("interval", "\"2s\""),
        key("interval_transition", "\"200ms\""),
        key("interval_down", "\"5s\""),
        key("timeout", "\"1s\""),
        key("rise", "2"),
        key("fall", "3"),
        key("initial", "\"unknown\""),
        key("jitter", "0.1"),
        key("port", "8081"),
        key("address", "\"10.0.0.1:8081\""),
        key("method", "\"GET\""),
        key("path", "\"/healthz\""),
        key("host", "\"example.org\""),
        key("headers", "[{ name = \"Accept\", value = \"*/*\" }]"),
        key("statuses", "[\"200-299\"]"),
        key("expect", "\"ok\""),
        key("expect_regex", "\"ok|fine\""),
        key("expect_headers", "[{ name = \"X-Ready\", value = \"yes\" }]"),
        key("steps", "[{ send = \"PING\\r\\n\" }, { expect = \"+PONG\" }]"),
        key("server_name", "\"example.org\""),
        key("alpn", "[\"http/1.1\"]"),
        key("user", "\"monitor\""),
        key("password_file", "\"/etc/trimtab/monitor.password\""),
        key("database", "\"postgres\""),
        key("allow_cleartext", "true"),
        key("name", "\"localhost\""),
        key("send", "\"app-01\\n\""),
    ],
    later: &[],
};

#[cfg(feature = "replication")]
pub(super) const PEER_TLS: Schema = Schema {
    place: "in store.peer_tls",
    keys: &[key("certificates", "[\"node.pem\"]"), key("key", "\"node.key\""), key("ca", "\"ca.pem\"")],
    later: &[],
};

pub(super) const HEADER: Schema = Schema {
    place: "in pool.check.headers",
    keys: &[key("name", "\"Accept\""), key("value", "\"*/*\"")],
    later: &[],
};

pub(super) const EXPECT_HEADER: Schema = Schema {
    place: "in pool.check.expect_headers",
    keys: &[key("name", "\"X-Ready\""), key("value", "\"yes\""), key("value_regex", "\"y|yes\"")],
    later: &[],
};

pub(super) const STEP: Schema = Schema {
    place: "in pool.check.steps",
    keys: &[
        key("send", "\"PING\\r\\n\""),
        key("send_hex", "\"50494e470d0a\""),
        key("expect", "\"+PONG\""),
        key("expect_hex", "\"2b504f4e47\""),
        key("expect_regex", "\"^\\\\+(PONG|OK)\""),
    ],
    later: &[],
};

pub(super) const BACKEND: Schema = Schema {
    place: "in [[pool.backend]]",
    keys: &[
        key("name", "\"app-01\""),
        key("address", "\"10.0.0.1:80\""),
        key("weight", "2"),
        key("maxconn", "500"),
        key("connection_rate", "100"),
        key("connection_burst", "10"),
        key("backup", "true"),
        key("tier", "1"),
        key("admin", "\"drain\""),
    ],
    later: &[],
};

/// Every kind of table.
#[cfg(test)]
pub(super) const ALL: &[&Schema] = &[
    #[cfg(feature = "store")]
    &STORE,
    &ROOT,
    &DISCOVERY,
    &RUNTIME,
    &LISTENER,
    &TIMEOUTS,
    &POOL,
    &OUTLIER,
    &CHECK,
    &HEADER,
    &EXPECT_HEADER,
    &STEP,
    &STORE_MEMBERS,
    &RETRY,
    &ADAPTIVE,
    &BACKEND,
    &ADMIN,
];
