//! [`Route`]: where a request goes that reaches one of several nodes.

use super::generic::cursor;
use super::{Args, Control, Failure, Run, Spec, fail, failure, is, of_request};

/// What a request needs of the one who answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It only reads keys: any node that is fresh enough.
    Read,
    /// A step of a scan: the node that gave the cursor, as its [mark](crate::resp::mark_of) says.
    Scan {
        /// The cursor; 0: it begins.
        cursor: u64,
    },
    /// It writes, or tells others something: the primary, once.
    Write,
    /// It asks about the store as a whole, or how it is set up: the primary.
    Primary,
    /// It subscribes to something: a connection to the primary of its own, for good.
    Join,
    /// `WAIT` and `WAITAOF`: the primary, with the position of the client's last write.
    Wait,
    /// `MULTI`.
    Multi,
    /// `EXEC`.
    Exec,
    /// `DISCARD`.
    Discard,
    /// `WATCH`.
    Watch,
    /// `UNWATCH`.
    Unwatch,
    /// `QUIT`.
    Quit,
    /// `RESET`.
    Reset,
    /// It is about the connection alone: [`Desk`](crate::resp::Desk) answers it.
    Desk,
}

/// A request by its route.
#[derive(Clone, Copy, Debug)]
pub struct Routed {
    /// Where it goes.
    pub route: Route,
    /// Whether it may stand between `MULTI` and `EXEC` on a connection that others share.
    pub is_queueable: bool,
    /// Whether it is answered before the client has logged in.
    pub is_for_strangers: bool,
    /// Whether it is a write that holds up nothing behind it on the connection: one step of the index.
    pub is_light: bool,
    /// Its name, in small letters.
    pub name: &'static str,
}

/// Finds the route of a request.
///
/// # Errors
///
/// What the client is to be told, without `-` and the end of the line: no such command, a wrong number of arguments,
/// or one that only a node itself takes.
pub fn route(args: &[&[u8]]) -> Result<Routed, Vec<u8>> {
    find(args).map_err(|Failure(text)| text.into_owned())
}

fn find(args: Args<'_>) -> Result<Routed, Failure> {
    let spec = of_request(args)?;
    let route = route_of(spec, args)?;
    let is_queueable = match spec.run {
        Run::Data(_) => true,
        Run::Control(control) => matches!(control, Control::Wait | Control::WaitAof | Control::Unwatch),
        Run::Session(_) => {
            matches!(spec.name, "ping" | "echo" | "time" | "select" | "publish" | "pubsub" | "info" | "scan")
        }
    };
    let is_for_strangers = spec.flags & super::NO_AUTH != 0;
    Ok(Routed { route, is_queueable, is_for_strangers, is_light: is_light(spec, args), name: spec.name })
}

/// Whether [`blind`](super::blind) has a plan for it.
fn is_light(spec: &Spec, args: Args<'_>) -> bool {
    match spec.name {
        "set" => !args[3..].iter().any(|arg| is(arg, "get")),
        "setnx" | "setex" | "psetex" | "incr" | "decr" | "incrby" | "decrby" => true,
        "del" | "unlink" => args.len() == 2,
        _ => false,
    }
}

fn route_of(spec: &Spec, args: Args<'_>) -> Result<Route, Failure> {
    Ok(match spec.run {
        Run::Data(_) if spec.is_write() => Route::Write,
        Run::Data(_) => Route::Read,
        Run::Control(control) => match control {
            Control::Multi => Route::Multi,
            Control::Exec => Route::Exec,
            Control::Discard => Route::Discard,
            Control::Watch => Route::Watch,
            Control::Unwatch => Route::Unwatch,
            Control::Wait | Control::WaitAof => Route::Wait,
            Control::Quit => Route::Quit,
            Control::Reset => Route::Reset,
            Control::Trimtab => return Err(fail("ERR TRIMTAB is for connections to a node itself")),
        },
        Run::Session(_) => match spec.name {
            "scan" => Route::Scan { cursor: args.get(1).and_then(|arg| cursor(arg).ok()).unwrap_or(0) },
            "publish" => Route::Write,
            "subscribe" | "psubscribe" => Route::Join,
            "config" if args.get(1).is_some_and(|sub| is(sub, "set")) => {
                return Err(failure("ERR CONFIG SET is for a node itself: connect to it".into()));
            }
            "ping" | "echo" | "hello" | "auth" | "select" | "client" | "command" | "debug" | "readonly"
            | "readwrite" | "unsubscribe" | "punsubscribe" => Route::Desk,
            _ => Route::Primary,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Route {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        route(&args).unwrap_or_else(|text| panic!("{line}: {}", text.escape_ascii())).route
    }

    #[test]
    fn reads_and_writes_are_told_apart_by_the_table_of_commands() {
        for line in ["GET a", "mget a b", "HGETALL h", "TTL a", "KEYS *", "DBSIZE"] {
            assert_eq!(of(line), Route::Read, "{line}");
        }
        for line in ["SET a b", "GETDEL a", "hset h f v", "EXPIRE a 1", "PUBLISH c m", "FLUSHALL"] {
            assert_eq!(of(line), Route::Write, "{line}");
        }
        for line in ["PING", "HELLO 3", "CLIENT ID", "COMMAND", "UNSUBSCRIBE", "PUNSUBSCRIBE a*"] {
            assert_eq!(of(line), Route::Desk, "{line}");
        }
        assert_eq!(of("SCAN 0"), Route::Scan { cursor: 0 });
        assert_eq!(of("SCAN 17 COUNT 5"), Route::Scan { cursor: 17 });
        assert_eq!(of("SUBSCRIBE c"), Route::Join);
        assert_eq!(of("WAIT 1 0"), Route::Wait);
        for line in ["INFO", "CONFIG GET maxmemory", "CONFIG RESETSTAT"] {
            assert_eq!(of(line), Route::Primary, "{line}");
        }
    }

    #[test]
    fn what_no_node_may_get_is_refused() {
        let refused = |line: &str| {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            String::from_utf8(route(&args).unwrap_err()).unwrap()
        };
        assert!(refused("NOPE").starts_with("ERR unknown command"));
        assert!(refused("GET").starts_with("ERR wrong number"));
        assert!(refused("CONFIG SET a b").starts_with("ERR CONFIG SET is for a node itself"));
        assert!(refused("TRIMTAB POSITION").starts_with("ERR TRIMTAB is for"));
    }
}
