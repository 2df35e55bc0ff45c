//! From bytes to the head of one request.

use std::net::IpAddr;

use crate::server::admin::answer::Answer;
use crate::server::admin::dialogue::Reach;
use crate::server::admin::path::{Nowhere, Resource};
use crate::server::admin::{BODY_MAX, FIELDS_MAX, HEAD_MAX};
use crate::server::config::suggest::shown;

/// The head of a request that may be carried out, as far as it can tell.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) resource: Resource,
    /// How long its body is.
    pub(super) body: usize,
    /// Whether the client waits for a word before it sends the body.
    pub(super) expects: bool,
    /// Whether the connection ends after it.
    pub(super) is_last: bool,
    /// Whether the client speaks HTTP/1.0, which has no chunks.
    pub(super) is_old: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
}

/// A request that is refused by its head alone.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) answer: Answer,
    /// Bytes of its body that are on their way.
    pub(super) body: u64,
    pub(super) is_head: bool,
}

impl Refused {
    /// Nothing that follows can be made sense of.
    fn broken(status: u16, why: &str) -> Self {
        Self { answer: Answer::error(status, why).last(), body: 0, is_head: false }
    }
}

/// What bytes begin with.
pub(super) enum Parsed {
    /// A head that is not all there.
    Partial,
    /// A head and its length in bytes.
    Whole(Box<Head>, usize),
    /// One that is refused. Its length is 0 when it cannot be told.
    Refused(Refused, usize),
}

/// Stands for a body whose length cannot be told.
const LENGTH_UNKNOWN: u64 = u64::MAX;

/// Reads the head that `bytes` begin with.
pub(super) fn parse(bytes: &[u8], reach: Reach) -> Parsed {
    let limited = &bytes[..bytes.len().min(HEAD_MAX)];
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let broken = |status, why: &str| Parsed::Refused(Refused::broken(status, why), 0);
    match request.parse(limited) {
        Ok(httparse::Status::Complete(length)) => match check(&request, reach) {
            Ok(head) => Parsed::Whole(Box::new(head), length),
            Err(refused) => Parsed::Refused(refused, length),
        },
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => Parsed::Partial,
        Ok(httparse::Status::Partial) => {
            broken(431, &format!("the head of the request is longer than {HEAD_MAX} bytes"))
        }
        Err(httparse::Error::TooManyHeaders) => {
            broken(431, &format!("the request has more than {FIELDS_MAX} header fields"))
        }
        Err(httparse::Error::Version) => broken(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
        Err(error) => broken(400, &format!("this is no HTTP/1.1 request: {error}")),
    }
}

fn check(request: &httparse::Request<'_, '_>, reach: Reach) -> Result<Head, Refused> {
    let fields = Fields(request.headers);
    let is_old = request.version == Some(0);
    let is_last = is_old || fields.has_token("connection", "close");
    // Where the request ends is told first: without that nothing behind it can be read.
    let body = fields.body_length()?;
    let method = request.method.unwrap_or_default();
    // Whoever waits for a word may then leave the body out, and nobody knows whether it did.
    let is_unsure = body > 0 && fields.has("expect");
    let refuse = |answer: Answer| Refused {
        answer: Answer { is_last: answer.is_last || is_last || is_unsure, ..answer },
        body,
        is_head: method == "HEAD",
    };
    if fields.has("transfer-encoding") {
        let why = "a body with Transfer-Encoding is not taken here; send it with Content-Length";
        let refused = refuse(Answer::error(501, why).last());
        return Err(Refused { body: LENGTH_UNKNOWN, ..refused });
    }
    let mut target = request.path.unwrap_or_default();
    let mut authority = None;
    if let Some((_, rest)) =
        target.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http"))
    {
        // The form that proxies are sent; its authority stands for the field Host.
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        authority = Some(&rest[..end]);
        target = if end == rest.len() { "/" } else { &rest[end..] };
    }
    if !target.starts_with('/') {
        return Err(refuse(Answer::error(400, &format!("{} is no path; one begins with /", shown(target)))));
    }
    let host = match (authority, fields.only("host")) {
        (_, Err(())) => return Err(refuse(Answer::error(400, "the request has more than one Host"))),
        (None, Ok(None)) if !is_old => return Err(refuse(Answer::error(400, "the request has no Host"))),
        (Some(authority), Ok(_)) => Some(authority.as_bytes()),
        (None, Ok(host)) => host,
    };
    if reach == Reach::Loopback && host.is_some_and(|host| !is_loopback_host(host)) {
        let host = shown(&String::from_utf8_lossy(host.unwrap_or_default()));
        let why =
            format!("Host {host} is not this machine's loopback; ask for 127.0.0.1, [::1] or localhost");
        return Err(refuse(Answer::error(403, &why)));
    }
    // Whoever asks there is told of nothing else.
    let elsewhere = || {
        let why = "there are /primary and /replica here; the rest is at the address of [admin]";
        refuse(Answer::error(404, why))
    };
    let is_standing = reach == Reach::Standing;
    let resource = Resource::parse(target).map_err(|nowhere| match nowhere {
        Nowhere::Unknown(_) if is_standing => elsewhere(),
        Nowhere::Unknown(why) => refuse(Answer::error(404, &why)),
        Nowhere::Malformed(why) => refuse(Answer::error(400, &why)),
    })?;
    if is_standing && !resource.is_about_standing() {
        return Err(elsewhere());
    }
    let method = method_of(method, &resource).map_err(refuse)?;
    if !matches!(method, Method::Get | Method::Head) {
        check_change(&fields).map_err(refuse)?;
    }
    if matches!(resource, Resource::Events(_)) {
        check_follower(&fields).map_err(refuse)?;
    }
    let needs_body = matches!((method, &resource), (Method::Post | Method::Put, Resource::Backend { .. }));
    if needs_body && !fields.has("content-length") {
        return Err(refuse(Answer::error(
            411,
            "the request has no Content-Length; send a JSON body with one",
        )));
    }
    let expects = match fields.only("expect") {
        Ok(None) => false,
        Ok(Some(value)) if value.eq_ignore_ascii_case(b"100-continue") => !is_old,
        _ => return Err(refuse(Answer::error(417, "the only expectation met here is 100-continue"))),
    };
    let length = usize::try_from(body).unwrap_or(usize::MAX);
    if length > BODY_MAX {
        let why = format!("the body has {body} bytes; {BODY_MAX} are taken");
        return Err(refuse(Answer::error(413, &why).last()));
    }
    Ok(Head { method, resource, body: length, expects, is_last, is_old })
}

fn method_of(name: &str, resource: &Resource) -> Result<Method, Answer> {
    let allowed = resource.allowed();
    let method = match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        _ => Method::Delete,
    };
    if allowed.split(", ").any(|one| one == name) {
        return Ok(method);
    }
    let why = format!("the method {} is not for this; these are: {allowed}", shown(name));
    Err(Answer { allow: Some(allowed), ..Answer::error(405, &why) })
}

/// Refuses what a page in somebody's browser could send.
fn check_change(fields: &Fields<'_>) -> Result<(), Answer> {
    if fields.has("origin") {
        let why = "a request with an Origin comes from a web page, and web pages change nothing here";
        return Err(Answer::error(403, why));
    }
    let kind = fields.only("content-type").ok().flatten().unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !kind.eq_ignore_ascii_case(b"application/json") {
        let why =
            "what changes something needs the header Content-Type: application/json, with or without a body";
        return Err(Answer::error(415, why));
    }
    Ok(())
}

/// Refuses a page of a foreign site: it could not read what it follows, but it would take a place.
fn check_follower(fields: &Fields<'_>) -> Result<(), Answer> {
    let site = fields.only("sec-fetch-site").ok().flatten();
    if fields.has("sec-fetch-site") && !matches!(site, Some(b"none" | b"same-origin")) {
        return Err(Answer::error(403, "a page of another site does not follow events here"));
    }
    Ok(())
}

/// Whether a Host names this machine's loopback, with or without a port.
fn is_loopback_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        // The colons of an IPv6 address are within brackets.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let ip = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bracketed) => bracketed.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    };
    ip.map_or(name.eq_ignore_ascii_case("localhost"), |ip| ip.to_canonical().is_loopback())
}

struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| field.value.trim_ascii())
    }

    fn has(&self, name: &'a str) -> bool {
        self.all(name).next().is_some()
    }

    /// The value of a field that may be there once.
    fn only(&self, name: &'a str) -> Result<Option<&'a [u8]>, ()> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (value, None) => Ok(value),
            _ => Err(()),
        }
    }

    /// Whether `token` is in the list that `name` holds.
    fn has_token(&self, name: &'a str, token: &str) -> bool {
        let mut tokens = self.all(name).flat_map(|value| value.split(|byte| *byte == b','));
        tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    fn body_length(&self) -> Result<u64, Refused> {
        let value = match self.only("content-length") {
            Ok(None) => return Ok(0),
            Ok(Some(value)) => value,
            Err(()) => return Err(Refused::broken(400, "the request has more than one Content-Length")),
        };
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Refused::broken(400, "Content-Length is no whole number"));
        }
        let digits = std::str::from_utf8(value).unwrap_or_default();
        // Longer than can be counted is too long, which is told later.
        Ok(digits.parse().unwrap_or(u64::MAX))
    }
}
