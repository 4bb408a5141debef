//! The types a value of the file can have, and how each is written.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use toml::de::DeValue;

use super::item::{At, Item, Value, Written};
use super::problem::Reporter;
use super::words::{nearest, quoted};
use crate::base::units::{ByteSize, Ttl};
use crate::gateway::Redirects;
use crate::policy::{OnAuthorityDown, Renew};
use crate::telemetry::log::Format;

/// Bytes in a second, written `64KiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) struct Rate(pub(crate) u64);

/// An absolute `http` or `https` URL with a host and perhaps a path; no credentials, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url(pub(crate) http::Uri);

/// A [`Url`] without a path: where a server is, and nothing of what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) http::Uri);

/// A `Host` header (RFC 9110 §7.2): `host` or `host:port`, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(pub(crate) String);

/// `kind` of an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any Docker-protocol token server.
    Gitlab,
}

impl Value for String {
    fn want() -> String {
        "text".to_owned()
    }

    fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
        let text = item.text("text, in double quotes", reporter)?;
        if text.is_empty() {
            reporter.error(&item.place, "empty", "write text, or remove the key where it can be left out");
            return None;
        }
        Some(text.to_owned())
    }
}

impl Written for String {
    fn written(&self) -> String {
        format!("{self:?}")
    }
}

impl Value for PathBuf {
    fn want() -> String {
        "the path of a file".to_owned()
    }

    fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
        String::read(item, reporter).map(Self::from)
    }
}

impl Value for bool {
    fn want() -> String {
        "`true` or `false`".to_owned()
    }

    fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
        let value = item.value.as_bool();
        if value.is_none() {
            item.wrong(&Self::want(), reporter);
        }
        value
    }
}

impl Written for bool {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    fn want() -> String {
        "a whole number".to_owned()
    }

    fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
        let DeValue::Integer(integer) = item.value else {
            item.wrong(&Self::want(), reporter);
            return None;
        };
        let number = Self::from_str_radix(integer.as_str(), integer.radix()).ok();
        if number.is_none() {
            let what = format!("{} is out of bounds", integer.as_str());
            reporter.error(&item.place, what, format!("write a whole number from 0 to {}", Self::MAX));
        }
        number
    }
}

impl Written for u32 {
    fn written(&self) -> String {
        self.to_string()
    }
}

/// Types written as text that parses.
macro_rules! parsed {
    ($($Type:ty, $noun:literal, $want:literal;)+) => {$(
        impl Value for $Type {
            fn want() -> String {
                $want.to_owned()
            }

            fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
                let text = item.text($want, reporter)?;
                let value = text.parse().ok();
                if value.is_none() {
                    let what = format!(concat!("`{}` is no ", $noun), without_secrets(text));
                    reporter.error(&item.place, what, concat!("write ", $want));
                }
                value
            }
        }
    )+};
}

parsed! {
    Ttl, "duration", "a whole number and its unit in quotes, such as `\"500ms\"`, `\"60s\"`, `\"10m\"` or `\"6h\"`";
    ByteSize, "size", "a whole number and its unit in quotes, such as `\"512B\"`, `\"64KiB\"`, `\"16MiB\"` or `\"1GiB\"`";
    Rate, "rate", "a size each second in quotes, such as `\"16KiB/s\"`";
    SocketAddr, "address to listen on", "an IP address and a port, such as `\"0.0.0.0:443\"` or `\"[::]:443\"`";
    IpNet, "network", "a network such as `\"10.0.0.0/8\"`, or one address such as `\"10.0.0.5/32\"`";
    Url, "URL that can be used here",
        "an absolute `http://` or `https://` URL without credentials, query or fragment, such as `\"https://gitlab.example.com\"`";
    Origin, "origin", "`scheme://host` or `scheme://host:port` and no path, such as `\"http://registry:5000\"`";
    HostName, "host name", "a host name, with a port where clients give one, such as `\"registry.example.com\"`";
}

/// A text as it may be repeated: without what a URL can hold of secrets, its credentials and its query.
fn without_secrets(text: &str) -> Cow<'_, str> {
    let (url, query) = text.split_once('?').map_or((text, ""), |(url, _)| (url, "?…"));
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}{query}").into(),
        None if query.is_empty() => text.into(),
        None => format!("{url}{query}").into(),
    }
}

/// Types written as one of a few words.
macro_rules! words {
    ($($Type:ty { $($word:literal => $value:expr),+ $(,)? })+) => {$(
        impl Value for $Type {
            fn want() -> String {
                format!("one of {}", quoted(&[$($word),+]))
            }

            fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
                match item.text(&Self::want(), reporter)? {
                    $($word => Some($value),)+
                    other => {
                        complain_of_word(item, other, &[$($word),+], reporter);
                        None
                    }
                }
            }
        }

        impl Written for $Type {
            fn written(&self) -> String {
                let words = [$(($word, $value)),+];
                words.iter().find(|(_, value)| value == self).map_or_else(String::new, |(word, _)| format!("{word:?}"))
            }
        }
    )+};
}

words! {
    Renew { "resign" => Self::Resign, "exchange" => Self::Exchange, "off" => Self::Off }
    OnAuthorityDown { "continue" => Self::Continue, "stop" => Self::Stop }
    Format { "json" => Self::Json, "text" => Self::Text }
}

fn complain_of_word(item: &Item<'_>, word: &str, known: &[&str], reporter: &mut Reporter<'_>) {
    let instead = match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of {}", quoted(known)),
    };
    reporter.error(&item.place, format!("`{word}` is not possible"), instead);
}

impl Value for Kind {
    fn want() -> String {
        "`gitlab`".to_owned()
    }

    fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
        match item.text("`gitlab`, in double quotes", reporter)? {
            "gitlab" => return Some(Self::Gitlab),
            "builtin" => {
                let instead = "write `gitlab`, which is any server of Docker's token protocol";
                reporter.error(&item.place, "`builtin` is not supported by this version", instead);
            }
            other => complain_of_word(item, other, &["gitlab"], reporter),
        }
        None
    }
}

impl Value for Redirects {
    fn want() -> String {
        "`pass`, `refuse` or a list of hosts".to_owned()
    }

    fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
        match item.value.as_str() {
            Some("pass") => Some(Self::Pass),
            Some("refuse") => Some(Self::Refuse),
            Some(other) => {
                let instead = format!("write `pass`, `refuse` or a list such as `[{other:?}]`");
                reporter.error(&item.place, format!("`{other}` is not possible"), instead);
                None
            }
            None => {
                let hosts = item.elements(&Self::want(), reporter)?;
                Some(Self::Hosts(hosts.iter().filter_map(|host| Some(HostName::read(host, reporter)?.0)).collect()))
            }
        }
    }
}

impl Written for Redirects {
    fn written(&self) -> String {
        match self {
            Self::Pass => "\"pass\"".to_owned(),
            Self::Refuse => "\"refuse\"".to_owned(),
            Self::Hosts(hosts) => format!("{hosts:?}"),
        }
    }
}

/// A list. A wrong element is complained of and left out, so that the others are read all the same.
impl<T: Value> Value for Vec<At<T>> {
    fn want() -> String {
        format!("a list; each: {}", T::want())
    }

    fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
        let elements = item.elements(&Self::want(), reporter)?;
        let read = |element: Item<'_>| Some(At { value: T::read(&element, reporter)?, place: element.place });
        Some(elements.into_iter().filter_map(read).collect())
    }

    fn inside() -> Vec<super::section::Key> {
        T::inside()
    }
}

impl Written for Ttl {
    fn written(&self) -> String {
        if self.0.is_zero() { "\"0s\"".to_owned() } else { format!("\"{self}\"") }
    }
}

impl Written for ByteSize {
    fn written(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Written for Rate {
    fn written(&self) -> String {
        format!("\"{}/s\"", ByteSize(self.0))
    }
}

/// Why a text is not of one of the types above; what to write stands in the type's [`Value::want`].
#[derive(Debug)]
pub(crate) struct Unfit;

impl FromStr for Rate {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let size: ByteSize = text.strip_suffix("/s").ok_or(Unfit)?.parse().map_err(|_| Unfit)?;
        Ok(Self(size.0))
    }
}

impl FromStr for Url {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let uri: http::Uri = text.parse().map_err(|_| Unfit)?;
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.authority().is_some_and(|authority| authority.as_str().parse::<HostName>().is_ok());
        // `http::Uri` drops a fragment silently, so it is looked for in the text.
        if scheme && host && uri.query().is_none() && !text.contains(['#', '?']) { Ok(Self(uri)) } else { Err(Unfit) }
    }
}

impl FromStr for Origin {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let Url(uri) = text.parse()?;
        if uri.path() == "/" { Ok(Self(uri)) } else { Err(Unfit) }
    }
}

impl FromStr for HostName {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let authority: http::uri::Authority = text.parse().map_err(|_| Unfit)?;
        let host = authority.host();
        let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let known = bare.parse::<std::net::Ipv6Addr>().is_ok() || (!host.is_empty() && host.bytes().all(name));
        // Userinfo is part of an authority (RFC 3986 §3.2) and never of a Host header.
        let port = authority.port().is_none_or(|port| port.as_str().parse::<u16>().is_ok_and(|port| port > 0));
        let whole = text.len() == host.len() + authority.port().map_or(0, |port| port.as_str().len() + 1);
        if known && port && whole { Ok(Self(text.to_ascii_lowercase())) } else { Err(Unfit) }
    }
}

#[cfg(test)]
mod tests;
