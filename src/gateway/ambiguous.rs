//! Requests that have two readings which the framing gate cannot see, over both versions of HTTP, in the order they
//! are looked at. Whoever passes is for one host, which is read here and nowhere else, from one client, in one form.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, Method, Request, StatusCode, Uri, Version};

use crate::base::h1::target::{is_outside_path, is_outside_query};

/// Why a request is refused, whatever it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// CONNECT and TRACE: a tunnel, and an echo of what was sent, credentials included (RFC 9110 §9.3.6, §9.3.8).
    #[error("this method is not served here")]
    Method,
    /// `*` is about the server as a whole, and this one stands for others (RFC 9112 §3.2.4).
    #[error("a request for no resource is not served here")]
    Asterisk,
    /// No path from the root, of bytes that a path has: over HTTP/1.1, where we pass it on, it would be another form of
    /// target, or another path to some (RFC 9112 §3.2, RFC 9113 §8.3.1).
    #[error("the request's target is not a path")]
    Target,
    /// A name with `_` is the same as one with `-` to whoever turns names into variables, as CGI and Rack do.
    #[error("a header name has an underscore")]
    Underscore,
    /// Two readers could take different ones (RFC 9112 §3.2).
    #[error("there is more than one Host")]
    Hosts,
    /// None, over HTTP/1.1 or HTTP/2 (RFC 9110 §7.2).
    #[error("there is no Host")]
    NoHost,
    /// Not a host and a port (RFC 9110 §7.2).
    #[error("the Host is not a host")]
    Host,
    /// The target names another one (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
    #[error("the Host is not the target's")]
    OtherHost,
    /// Two readers could take different ones (RFC 9110 §11.6.2).
    #[error("there is more than one Authorization")]
    Authorizations,
    /// Two readers could take different ones (RFC 9112 §6.3). Over HTTP/2 too, where two that are equal pass the parser.
    #[error("there is more than one Content-Length")]
    Lengths,
}

impl Ambiguous {
    /// What it is answered.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Looks at a request's method, target and headers. Gives whom it is for: `:authority` or the authority of an
/// absolute-form target, else Host; none where HTTP/1.0 says none. It has no user (RFC 9110 §7.2).
///
/// # Errors
/// The first reason to refuse it.
pub fn requested_host<B>(request: &Request<B>) -> Result<Option<Authority>, Ambiguous> {
    let headers = request.headers();
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Ambiguous::Method);
    }
    if request.uri().path() == "*" {
        return Err(Ambiguous::Asterisk);
    }
    if request.uri().path_and_query().is_some_and(|target| !is_origin_form(target)) {
        return Err(Ambiguous::Target);
    }
    if headers.keys().any(|name: &HeaderName| name.as_str().contains('_')) {
        return Err(Ambiguous::Underscore);
    }
    if headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
        return Err(Ambiguous::Authorizations);
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Ambiguous::Lengths);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (host, target) = (hosts.next(), request.uri());
    if hosts.next().is_some() {
        return Err(Ambiguous::Hosts);
    }
    let host = match host.map(|host| Authority::try_from(host.as_bytes())) {
        Some(Ok(host)) if is_host(&host) => Some(host),
        Some(_) => return Err(Ambiguous::Host),
        None => None,
    };
    let asked = match (host, target.authority()) {
        (None, None) if request.version() != Version::HTTP_10 => return Err(Ambiguous::NoHost),
        (Some(host), Some(asked)) if !is_same(&host, asked, target) => return Err(Ambiguous::OtherHost),
        (_, Some(asked)) => Some(asked.clone()),
        (host, None) => host,
    };
    match asked {
        Some(asked) if !is_host(&asked) => Err(Ambiguous::Host),
        asked => Ok(asked),
    }
}

fn is_origin_form(target: &PathAndQuery) -> bool {
    let (path, query) = (target.path(), target.query().unwrap_or_default());
    // What has no path of its own is said to have the root's.
    let is_rooted = target.as_str().starts_with('/');
    is_rooted && !path.bytes().any(is_outside_path) && !query.bytes().any(is_outside_query)
}

/// Whether it is a host, and a port where there is one: without a user, whose name must not reach a realm (RFC 9110 §7.2).
pub(super) fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    !host.is_empty()
        && match authority.as_str().strip_prefix(host) {
            Some("") => true,
            Some(rest) => rest.strip_prefix(':').is_some_and(is_port),
            None => false,
        }
}

/// Whether a Host names what the target names; a port that is the scheme's own may be left out (RFC 9110 §4.2.3).
fn is_same(host: &Authority, asked: &Authority, target: &Uri) -> bool {
    let own = match target.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    let port = |authority: &Authority| authority.port_u16().or(own);
    is_host(asked) && host.host().eq_ignore_ascii_case(asked.host()) && port(host) == port(asked)
}

#[cfg(test)]
mod tests;
