//! What is right becomes what was meant.

use std::time::Duration;

use super::{BASE, backend, good, listener, pool};
use crate::balance::options::{BACKENDS_MAX, LANES_MAX};
use crate::balance::{Adaptive, Admin, Backend, Backups, Formula, Hash, Options, Policy, Scope};
use crate::server::config::{
    AcceptProxy, Bind, Config, LISTENERS_MAX, OnDown, POOLS_MAX, Position, SendProxy, TEXT_MAX, Timeouts,
};

#[test]
fn the_mode_of_the_admin_socket_is_octal() {
    let read =
        |text: &str| super::good(&format!("{BASE}[admin]\nbind = \"unix:/a\"\n{text}")).admin.unwrap().mode;
    for (text, mode) in
        [("", 0o600), ("mode = \"0660\"", 0o660), ("mode = '777'", 0o777), ("mode = \"0000\"", 0)]
    {
        assert_eq!(read(text), mode, "{text}");
    }
}

#[test]
fn what_is_not_said_has_its_default() {
    let config = good(BASE);
    assert_eq!(config.source, "t");
    let workers = config.runtime.workers;
    assert_eq!(workers as usize, crate::sync::cores().clamp(1, LANES_MAX as usize));
    assert_eq!(config.admin, None);
    let [listener] = &config.listeners[..] else { panic!("{config:?}") };
    assert_eq!((&*listener.name, listener.pool, listener.maxconn, listener.backlog), ("web", 0, 0, 4096));
    assert_eq!(listener.bind, Bind::Inet("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(listener.bind_at, Position { line: 3, column: 8 });
    assert_eq!((listener.proxy_protocol, listener.abort_on_close), (AcceptProxy::Off, false));
    let seconds = |timeouts: Timeouts| {
        let Timeouts { connect, header, idle, half_closed, queue, drain } = timeouts;
        [connect, header, idle, half_closed, queue, drain].map(|timeout| timeout.as_secs())
    };
    assert_eq!(seconds(listener.timeouts), [1, 10, 60, 30, 5, 30]);
    let [pool] = &config.pools[..] else { panic!("{config:?}") };
    assert_eq!((&*pool.name, pool.queue_max, pool.attempts), ("app", 1024, 3));
    assert_eq!((pool.proxy_protocol, pool.backends.len(), pool.on_down), (SendProxy::Off, 0, OnDown::Keep));
    assert_eq!(pool.options, Options { lanes: workers, ..Options::default() });
}

/// The design's example, without what this version lacks and with a policy that `bounded_load` goes with.
#[test]
fn the_example_of_the_design_is_read_whole() {
    let config = good(
        r#"
[runtime]
workers = 0                      # 0: one per core

[[listener]]
name = "web"
bind = "0.0.0.0:8080"            # or [::]:8080, unix:/run/web.sock, unix:@abstract
mode = "tcp"                     # "tcp" (default), "http"
pool = "app"
maxconn = 20000
proxy_protocol = "accept"        # "off" (default), "accept" (required on this port)
timeouts = { connect = "2s", header = "11s", idle = "61s", queue = "6s", drain = "31s" }

[[pool]]
name = "app"
policy = "source"
hash = "ring"                    # for source and hash: "ring", "maglev", "rendezvous"
bounded_load = 1.5
proxy_protocol = "v2"            # send: "off" (default), "v1", "v2"; received TLVs are passed on
retry = { attempts = 4 }
  [[pool.backend]]
  name = "web-01"
  address = "10.0.0.1:80"
  weight = 2
  maxconn = 500
  [[pool.backend]]
  name = "web-02"
  address = "10.0.0.2:80"
  backup = true                  # active-passive

[admin]
bind = "unix:/run/trimtab.sock"  # or 127.0.0.1:9900; metrics, JSON API, dashboard, ctl
"#,
    );
    let listener = &config.listeners[0];
    assert_eq!((listener.maxconn, listener.proxy_protocol), (20_000, AcceptProxy::Required));
    let timeouts = Timeouts {
        connect: Duration::from_secs(2),
        header: Duration::from_secs(11),
        idle: Duration::from_secs(61),
        queue: Duration::from_secs(6),
        drain: Duration::from_secs(31),
        ..Timeouts::default()
    };
    assert_eq!(listener.timeouts, timeouts);
    let pool = &config.pools[0];
    assert_eq!((pool.options.policy, pool.options.hash), (Policy::Source, Hash::Ring));
    assert_eq!(
        (pool.options.bounded_load, pool.proxy_protocol, pool.attempts),
        (Some(1.5), SendProxy::V2, 4)
    );
    let named = |name: &str| Some(name.to_string());
    let first =
        Backend { name: named("web-01"), weight: 2, maxconn: 500, ..Backend::parse("10.0.0.1:80").unwrap() };
    let second = Backend { name: named("web-02"), tier: 1, ..Backend::parse("10.0.0.2:80").unwrap() };
    assert_eq!(pool.backends, [first, second]);
    let admin = config.admin.unwrap();
    assert_eq!((admin.bind, admin.mode), (Bind::Unix("/run/trimtab.sock".into()), 0o600));
    assert_eq!(admin.bind_at, Position { line: 32, column: 8 });
}

#[test]
fn every_option_of_a_pool_arrives() {
    let config = good(&pool(
        r#"policy = "predictive"
        hash = "maglev"
        backups = "all"
        formula = "f5-k6406"
        tick = "500ms"
        blend = 0.25
        gain = 2
        history = 16
        floor = 0.1
        stale = "1m30s"
        decay = "5s"
        seed = 18446744073709551615
        hash_seed = 0xff
        queue_max = 0
        proxy_protocol = "v1"
        maxconn = 1_000
        connection_rate = 200
        connection_burst = 20
        pending_max = 50
        retries_max = 7
        on_down = "close"
        adaptive = { scope = "pool", min = 10, max = 20, window = "1s", percentile = 0.9, rtt_interval = "30s", rtt_jitter = 0.5, rtt_requests = 9, rtt_buffer = 1, rtt_pins = false }
        retry = { attempts = 1, budget = 0.5, min = 0 }"#,
    ));
    let expected = Options {
        policy: Policy::Predictive,
        hash: Hash::Maglev,
        backups: Backups::All,
        formula: Formula::F5K6406,
        tick: Duration::from_millis(500),
        blend: 0.25,
        gain: 2.0,
        history: 16,
        floor: 0.1,
        stale: Duration::from_secs(90),
        decay: Duration::from_secs(5),
        seed: u64::MAX,
        hash_seed: 255,
        lanes: config.runtime.workers,
        maxconn: 1_000,
        connection_rate: 200,
        connection_burst: 20,
        pending_max: 50,
        retries_max: 7,
        retry_budget: Some(0.5),
        retry_min: 0,
        adaptive: Some(Adaptive {
            scope: Scope::Pool,
            min: 10,
            max: 20,
            window: Duration::from_secs(1),
            percentile: 0.9,
            rtt_interval: Duration::from_secs(30),
            rtt_jitter: 0.5,
            rtt_requests: 9,
            rtt_buffer: 1.0,
            rtt_pins: false,
        }),
        ..Options::default()
    };
    let pool = &config.pools[0];
    assert_eq!(pool.options, expected);
    assert_eq!(pool.on_down, OnDown::Close);
    // A table with nothing in it turns it on; a share that is off is none.
    let config = good(&self::pool("adaptive = {}\nretry.budget = \"off\""));
    let options = &config.pools[0].options;
    assert_eq!((options.adaptive, options.retry_budget), (Some(Adaptive::default()), None));
    assert_eq!((pool.queue_max, pool.attempts, pool.proxy_protocol), (0, 1, SendProxy::V1));
}

#[test]
fn every_name_of_a_policy_is_taken() {
    for (name, policy) in Policy::NAMES {
        let config = good(&pool(&format!("policy = {name:?}")));
        assert_eq!(config.pools[0].options.policy, policy);
    }
}

#[test]
fn a_backend_stands_where_it_is_put() {
    let read = |lines: &str| good(&backend(lines)).pools[0].backends[0].clone();
    let at = "address = \"unix:@app\"\n";
    assert_eq!(read(at), Backend::parse("unix:@app").unwrap());
    for (lines, tier) in
        [("backup = true", 1), ("backup = false", 0), ("tier = 0", 0), ("tier = 1", 1), ("tier = 255", 255)]
    {
        assert_eq!(read(&format!("{at}{lines}")).tier, tier, "{lines}");
    }
    for (name, admin) in
        [("ready", Admin::Ready), ("drain", Admin::Drain), ("maintenance", Admin::Maintenance)]
    {
        assert_eq!(read(&format!("{at}admin = {name:?}")).admin, admin);
    }
    // Its address is its name unless it has one; the address of another is a name like any.
    let config = good(&backend(
        "address = \"10.0.0.1:80\"\n[[pool.backend]]\naddress = \"10.0.0.1:81\"\nname = \"10.0.0.1:82\"",
    ));
    assert_eq!(config.pools[0].backends[0].name, None);
}

#[test]
fn the_same_can_be_written_in_every_way_toml_has() {
    let inline = r#"
        listener = [{ name = "web", bind = "127.0.0.1:8080", pool = "app", timeouts.idle = "2s" }]
        pool = [{ name = "app", retry = { attempts = 2 }, backend = [{ address = "10.0.0.1:80" }] }]
        runtime.workers = 2
        "admin" = { 'bind' = """unix:@a""" }
    "#;
    let long = "\u{feff}[runtime]\r\nworkers = 0b10\r\n[[listener]]\r\npool = \"app\"\r\nbind = \"127.0.0.1:8080\"\r\nname = \
                \"web\"\r\n[listener.timeouts]\r\nidle = \"2000ms\"\r\n[[pool]]\r\nname = \"app\"\r\n[pool.retry]\r\n\
                attempts = 0x2\r\n[[pool.backend]]\r\naddress = \"10.0.0.1:80\"\r\n[admin]\r\nbind = \"unix:@a\"\r\n";
    let (mut inline, mut long) = (good(inline), good(long));
    assert_eq!(inline.listeners[0].bind_at, Position { line: 2, column: 44 });
    assert_eq!(long.listeners[0].bind_at, Position { line: 5, column: 8 });
    for config in [&mut inline, &mut long] {
        config.listeners[0].bind_at = Position::default();
        config.admin.as_mut().unwrap().bind_at = Position::default();
    }
    assert_eq!(inline, long);
}

#[test]
fn pools_are_found_in_whatever_order_and_need_not_be_used() {
    let config = good(&format!(
        "[[pool]]\nname = \"spare\"\n{BASE}[[listener]]\nname = \"other\"\nbind = \"[::1]:8080\"\npool = \"spare\"\n\
         [[pool]]\nname = \"unused\"\n"
    ));
    let pools: Vec<_> = config.listeners.iter().map(|listener| &*config.pools[listener.pool].name).collect();
    assert_eq!(pools, ["app", "spare"]);
    assert_eq!(config.pools.len(), 3);
}

#[test]
fn a_port_that_the_system_chooses_can_be_asked_for_twice() {
    let config = good(
        "listener = [{ name = \"a\", bind = \"127.0.0.1:0\", pool = \"p\" }, \
         { name = \"b\", bind = \"127.0.0.1:0\", pool = \"p\" }]\npool = [{ name = \"p\" }]\nadmin.bind = \"127.0.0.1:0\"",
    );
    assert_eq!(config.listeners.len(), 2);
}

#[test]
fn what_is_at_its_limit_is_taken() {
    let name = "n".repeat(255);
    let largest = format!(
        "[runtime]\nworkers = 64\n[[listener]]\nname = {name:?}\nbind = \"unix:/{}\"\npool = {name:?}\n\
         maxconn = 1073741824\nbacklog = 65535\n\
         timeouts = {{ connect = \"30d\", header = \"1ms\", idle = \"30d\", half_closed = \"720h\" }}\n\
         [[pool]]\nname = {name:?}\nqueue_max = 1048576\nretry = {{ attempts = 100, budget = 1, min = 65536 }}\n\
         retries_max = 65536\nmaxconn = 1073741824\nconnection_rate = 1000000\nconnection_burst = 1000000\n\
         pending_max = 1073741824\npolicy = \"hash\"\n\
         bounded_load = 10\nblend = 1\ngain = 4.0\nhistory = 32\nfloor = 0.2\ntick = \"60s\"\nstale = \"1h\"\n\
         decay = \"10m\"\n[[pool.backend]]\nname = {name:?}\naddress = \"10.0.0.1:65535\"\nweight = 65535\n\
         maxconn = 1073741824\nconnection_rate = 1000000\nconnection_burst = 1000000\ntier = 255\n",
        "x".repeat(106),
    );
    assert_eq!(good(&largest).listeners[0].timeouts.connect, Duration::from_secs(30 * 86_400));
    let smallest = good(&pool(
        "queue_max = 0\nretry = { attempts = 1, budget = 0, min = 0 }\nretries_max = 0\nmaxconn = 0\n\
         connection_rate = 0\nconnection_burst = 0\npending_max = 0\npolicy = \"source\"\nbounded_load = 1.01\nblend = 0\ngain = 0.0\n\
         history = 2\nfloor = 0.001\ntick = \"10ms\"\nstale = \"100ms\"\ndecay = \"1ms\"\nseed = 0\nhash_seed = -0",
    ));
    assert_eq!(smallest.pools[0].options.bounded_load, Some(1.01));
    assert_eq!(good(&listener("backlog = 1\nmaxconn = 0")).listeners[0].backlog, 1);
    good(&backend("address = \"10.0.0.1:1\"\nname = \"n\"\nweight = 1\nmaxconn = 0"));
}

#[test]
fn as_many_as_fit_are_taken() {
    let listeners: String = (0..LISTENERS_MAX)
        .map(|n| format!("[[listener]]\nname = \"{n}\"\nbind = \"127.0.0.1:{}\"\npool = \"0\"\n", n + 1))
        .collect();
    let pools: String = (0..POOLS_MAX).map(|n| format!("[[pool]]\nname = \"{n}\"\n")).collect();
    let backends: String = (0..BACKENDS_MAX)
        .map(|n| format!("[[pool.backend]]\naddress = \"10.0.{}.{}:80\"\n", n / 256, n % 256))
        .collect();
    let config = good(&format!("{listeners}{pools}{backends}"));
    assert_eq!((config.listeners.len(), config.pools.len()), (LISTENERS_MAX, POOLS_MAX));
    assert_eq!(config.pools[POOLS_MAX - 1].backends.len(), BACKENDS_MAX);

    let padded = format!("{BASE}#{}", " ".repeat(TEXT_MAX - BASE.len() - 1));
    assert_eq!(padded.len(), TEXT_MAX);
    good(&padded);
}

#[test]
fn a_file_is_read_and_named() {
    let path = std::env::temp_dir().join(format!("trimtab-config-{}.toml", std::process::id()));
    std::fs::write(&path, BASE).unwrap();
    let read = Config::read(&path);
    std::fs::write(&path, "[[pool]]\nnam = 1\n").unwrap();
    let refused = Config::read(&path);
    std::fs::remove_file(&path).unwrap();
    let source = path.display().to_string();
    assert_eq!(read.unwrap(), Config { source: source.clone(), ..good(BASE) });
    let refused = refused.unwrap_err().to_string();
    assert!(refused.starts_with(&format!("{source}: there is no [[listener]]")), "{refused}");
}
