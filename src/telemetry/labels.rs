//! The closed sets that metrics are labelled with.
//!
//! Every value is known before the first request, so that nobody outside can make a series, and counting is an index
//! into an array.

use std::fmt;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::oci::route::RouteKind;
use crate::policy::Renew;
use crate::token::verifier::TokenError;

/// A closed set of label values.
pub trait Label: Copy + PartialEq + fmt::Debug + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// The value as it stands in the exposition.
    fn as_str(self) -> &'static str;

    /// Where the value stands in [`Label::ALL`].
    fn index(self) -> usize;
}

/// Implements [`Label`] for an enum without fields; the enum's order is the list's order.
macro_rules! label {
    ($name:ty { $( $variant:ident = $text:literal ),+ $(,)? }) => {
        impl Label for $name {
            const ALL: &'static [Self] = &[$( <$name>::$variant ),+];

            fn as_str(self) -> &'static str {
                match self { $( <$name>::$variant => $text ),+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                EncodeLabelValue::encode(&Label::as_str(*self), encoder)
            }
        }
    };
}

/// Declares an enum and its label values in one list.
macro_rules! labels {
    ($( #[$doc:meta] )* $name:ident { $( $( #[$variant_doc:meta] )* $variant:ident = $text:literal ),+ $(,)? }) => {
        $( #[$doc] )*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $( #[$variant_doc] )* $variant ),+ }

        label!($name { $( $variant = $text ),+ });
    };
}

labels! {
    /// Which listener a request came in by.
    Listener {
        /// `[listeners.public]`
        Public = "public",
        /// `[listeners.admin]`
        Admin = "admin",
    }
}

labels! {
    /// Why a request was not let through with what it brought.
    DeniedReason {
        /// No Authorization header, or none of a kind we read.
        Missing = "missing",
        /// Not a JWT we read.
        Malformed = "malformed",
        /// Not the algorithm pinned to the key.
        Algorithm = "algorithm",
        /// Signed by a key that is not trusted.
        Key = "key",
        /// The signature does not match.
        Signature = "signature",
        /// Another issuer.
        Issuer = "issuer",
        /// Another service.
        Audience = "audience",
        /// `nbf` is ahead.
        NotYet = "not_yet",
        /// Past `exp` and leeway, and nothing extends it here.
        Lapsed = "lapsed",
        /// The token does not grant what the request needs.
        Scope = "scope",
        /// The upload ticket is absent, forged, or another's.
        Ticket = "ticket",
        /// The extension came to its hard end.
        SessionEnd = "session_end",
        /// The extension went too long without asking the authority.
        Unverified = "unverified",
        /// The authority took the access back.
        Revoked = "revoked",
        /// The authority cannot be asked and the settings say to stop.
        AuthorityDown = "authority_down",
        /// The authority refused the credential itself.
        Credential = "credential",
    }
}

impl From<TokenError> for DeniedReason {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed => Self::Malformed,
            TokenError::Algorithm => Self::Algorithm,
            TokenError::Key => Self::Key,
            TokenError::Signature => Self::Signature,
            TokenError::Issuer => Self::Issuer,
            TokenError::Audience => Self::Audience,
            TokenError::NotYet => Self::NotYet,
        }
    }
}

labels! {
    /// Why an HTTP/1 request was refused before anything read it: what two parsers could read differently (RFC 9112).
    Fault {
        /// More than one empty line before the request line (§2.2).
        BlankLine = "blank_line",
        /// The method is no token, or too long (§3.1).
        Method = "method",
        /// The request target has no form its method may have, or a character no URI has (§3.2).
        Target = "target",
        /// Neither `HTTP/1.1` nor `HTTP/1.0`, or something beside it (§2.3).
        Version = "version",
        /// A line feed or a carriage return that stands alone (§2.2).
        LineEnding = "line_ending",
        /// A field name that is no token, is empty, or has white space before its colon (§5.1).
        FieldName = "field_name",
        /// A control character in a field's value (RFC 9110 §5.5).
        FieldValue = "field_value",
        /// A field line that goes on in the next (§5.2).
        Fold = "fold",
        /// A Content-Length that is no number, or too large a one (§6.2).
        ContentLength = "content_length",
        /// Content-Length more than once, even with the same value (§6.3).
        ContentLengths = "content_lengths",
        /// A Transfer-Encoding that is not `chunked` and nothing else, or is there twice (§6.1).
        TransferEncoding = "transfer_encoding",
        /// A Transfer-Encoding in HTTP/1.0 (§6.1).
        OldTransferEncoding = "old_transfer_encoding",
        /// Both Content-Length and Transfer-Encoding (§6.3).
        TwoLengths = "two_lengths",
        /// A chunk's size that is no hexadecimal number, or too large a one (§7.1).
        ChunkSize = "chunk_size",
        /// A chunk extension that breaks the grammar or the bound (§7.1.1).
        ChunkExtension = "chunk_extension",
        /// A chunk that does not end where its size says (§7.1).
        ChunkEnd = "chunk_end",
        /// A trailer field that would be about framing, routing or who asks (RFC 9110 §6.5.1).
        Trailer = "trailer",
        /// Bytes behind a request for another protocol, before its answer (RFC 9110 §7.8).
        Upgrade = "upgrade",
        /// What the HTTP library refuses by itself.
        Parser = "parser",
        /// HTTP/2 that breaks its own rules and ends its connection with GOAWAY (RFC 9113 §5.4.1).
        Http2 = "http2",
    }
}

labels! {
    /// How a request to the token endpoint ended.
    TokenResult {
        /// A token was handed out.
        Issued = "issued",
        /// The authority said no.
        Denied = "denied",
        /// The authority asked for less haste (429).
        Throttled = "throttled",
        /// The authority could not be asked, or answered nonsense.
        Unavailable = "unavailable",
        /// Another answer of the authority, passed on as it was.
        Passed = "passed",
        /// The request was not one to pass on.
        Refused = "refused",
    }
}

labels! {
    /// What the token cache had.
    CacheResult {
        /// A token with enough life.
        Hit = "hit",
        /// Nothing: the authority was asked.
        Miss = "miss",
        /// Nothing yet: somebody else was already asking.
        Coalesced = "coalesced",
        /// A denial, seconds old.
        Negative = "negative",
    }
}

labels! {
    /// Where the token came from that a registry was shown.
    TokenSource {
        /// Signed for this request.
        Minted = "minted",
        /// Signed for an earlier one.
        Cached = "cached",
        /// Issued again by the authority.
        Exchanged = "exchanged",
        /// The client's own.
        Client = "client",
    }
}

labels! {
    /// A bound that was reached.
    Limit {
        /// `limits.connections`
        Connections = "connections",
        /// `limits.connections_per_address`
        ConnectionsPerAddress = "connections_per_address",
        /// The process or the system has no file descriptors left.
        Descriptors = "descriptors",
        /// Log lines wait to be written, and no more may.
        LogLines = "log_lines",
        /// `limits.header_bytes`
        HeaderBytes = "header_bytes",
        /// `limits.headers`
        Headers = "headers",
        /// `limits.h2_streams`
        H2Streams = "h2_streams",
        /// Frames of an HTTP/2 connection that are not work.
        H2Frames = "h2_frames",
        /// `limits.drain_bytes`
        DrainBytes = "drain_bytes",
        /// `limits.min_rate`
        MinRate = "min_rate",
        /// `timeouts.handshake`
        Handshake = "handshake",
        /// `timeouts.request_head`
        RequestHead = "request_head",
        /// `timeouts.keep_alive`: how a connection of a client that is done ends.
        KeepAlive = "keep_alive",
        /// `timeouts.idle`
        Idle = "idle",
        /// `timeouts.response`
        Response = "response",
        /// `timeouts.authority`
        Authority = "authority",
        /// `timeouts.drain`
        DrainTime = "drain_time",
        /// `drain.timeout`
        Leaving = "leaving",
        /// `tokens.cache`
        TokenCache = "token_cache",
        /// Requests to the authority under way.
        AuthorityRequests = "authority_requests",
        /// The size of an authority's answer.
        AuthorityAnswer = "authority_answer",
        /// The store of sealed credentials.
        Credentials = "credentials",
        /// The kill list.
        KillList = "kill_list",
        /// Label values from the configuration.
        MetricNames = "metric_names",
        /// Uploads kept in view.
        Uploads = "uploads",
    }
}

label!(RouteKind {
    Base = "base",
    Catalog = "catalog",
    Tags = "tags",
    Manifest = "manifest",
    Blob = "blob",
    Referrers = "referrers",
    UploadOpen = "upload_open",
    Upload = "upload",
    Gitlab = "gitlab",
    Token = "token",
    Proxy = "proxy",
    Root = "root",
    Other = "other",
});

label!(Renew { Resign = "resign", Exchange = "exchange", Off = "off" });

labels! {
    /// A request method; what is none of these is `other`.
    MethodLabel {
        /// RFC 9110 §9.3.1
        Get = "GET",
        /// RFC 9110 §9.3.2
        Head = "HEAD",
        /// RFC 9110 §9.3.3
        Post = "POST",
        /// RFC 9110 §9.3.4
        Put = "PUT",
        /// RFC 5789
        Patch = "PATCH",
        /// RFC 9110 §9.3.5
        Delete = "DELETE",
        /// RFC 9110 §9.3.7
        Options = "OPTIONS",
        /// Any other.
        Other = "other",
    }
}

impl From<&Method> for MethodLabel {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
        }
    }
}

/// A status code as a label: registered ones as they are, the others by class (`5xx`), so that a registry behind us
/// cannot make hundreds of series. A request whose client went before any answer counts as `499`, as nginx has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(u16);

impl Code {
    /// The client went before there was an answer.
    pub const GONE: Self = Self(499);
}

impl From<StatusCode> for Code {
    fn from(status: StatusCode) -> Self {
        // Below 100 stands for a class: no status code is that small.
        Self(if status.canonical_reason().is_some() { status.as_u16() } else { status.as_u16() / 100 })
    }
}

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        use fmt::Write as _;
        match self.0 {
            class @ 0..=9 => write!(encoder, "{class}xx"),
            code => write!(encoder, "{code}"),
        }
    }
}

#[cfg(test)]
mod tests;
