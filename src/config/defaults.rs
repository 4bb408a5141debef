//! Every default, with its unit and its reason.

use std::time::Duration;

use super::value::Rate;
use crate::base::units::{ByteSize, Ttl};
use crate::gateway::Redirects;
use crate::policy::OnAuthorityDown;
use crate::telemetry::log::Format;

const fn seconds(seconds: u64) -> Ttl {
    Ttl(Duration::from_secs(seconds))
}

/// No time at all, where that has a meaning.
pub(crate) const NONE: Ttl = seconds(0);

/// The shortest time that is worth waiting for anything: less only says «never».
pub(crate) const MOMENT: Ttl = Ttl(Duration::from_millis(100));

/// The registries' own leeway on `exp` and `nbf` (distribution, `registry/auth/token`).
pub(crate) const LEEWAY: Ttl = seconds(60);

/// More leeway than this is a longer life by another name.
pub(crate) const LEEWAY_MOST: Ttl = seconds(300);

/// Registries keep their blobs on object stores and send clients there.
pub(crate) const REDIRECTS: Redirects = Redirects::Pass;

/// Long enough for one hop behind us that spools a large layer, short enough to be of no use once it leaked.
pub(crate) const TOKEN_TTL: Ttl = seconds(10 * 60);

/// Less, and a registry whose clock is a little off refuses every token.
pub(crate) const TOKEN_TTL_LEAST: Ttl = seconds(10);

/// A minted token says everything about one request; it need never live for a day.
pub(crate) const TOKEN_TTL_MOST: Ttl = seconds(24 * 3600);

/// Some twenty to thirty thousand tokens of GitLab's size.
pub(crate) const TOKEN_CACHE: ByteSize = ByteSize(64 << 20);

/// One broken job asks many times a second; a mended password must work at once.
pub(crate) const NEGATIVE_TTL: Ttl = seconds(5);

/// Longer, and people are kept out by a mistake they have already mended.
pub(crate) const NEGATIVE_TTL_MOST: Ttl = seconds(300);

/// Clients take a token without `expires_in` to live 60 s (Docker token specification), so they are told the truth.
pub(crate) const ANNOUNCE_LIFETIME: bool = true;

/// The longest push seen that was not hung: hundreds of gigabytes over a slow line. After it a lapsed token is nothing.
pub(crate) const MAX_SESSION: Ttl = seconds(6 * 3600);

/// How long a withdrawn right to push may still be used, at most, while its push runs.
pub(crate) const REVERIFY: Ttl = seconds(60);

/// A request on its way through a hop behind us that spools a little.
pub(crate) const EXCHANGE_MARGIN: Ttl = seconds(120);

/// A restart of GitLab must not break the pushes that it allowed.
pub(crate) const ON_AUTHORITY_DOWN: OnAuthorityDown = OnAuthorityDown::Continue;

/// Well below the usual limit of open files of a service, two a connection.
pub(crate) const CONNECTIONS: u32 = 10_000;

/// No bound: runners of a whole company come from one address.
pub(crate) const CONNECTIONS_PER_ADDRESS: u32 = 0;

/// A GitLab token with a long access list is some 16 KiB, and base64 of `_state` comes on top.
pub(crate) const HEADER_BYTES: ByteSize = ByteSize(64 << 10);

/// `limits.buffer_bytes`: seven TLS records. Half as many cost a tenth more CPU for a push, and twice as many save little;
/// eight cost as much as seven, and an upload whose registry stalls some 10 KiB more.
pub(crate) const BUFFER_BYTES: ByteSize = ByteSize(112 << 10);

/// The smallest `limits.buffer_bytes`: one TLS record (RFC 8446 §5.1).
pub(crate) const BUFFER_BYTES_LEAST: ByteSize = ByteSize(16 << 10);

/// The largest `limits.buffer_bytes`.
pub(crate) const BUFFER_BYTES_MOST: ByteSize = ByteSize(1 << 20);

/// Room for one token and the other headers; less refuses ordinary clients.
pub(crate) const HEADER_BYTES_LEAST: ByteSize = ByteSize(8 << 10);

/// More is memory for strangers.
pub(crate) const HEADER_BYTES_MOST: ByteSize = ByteSize(1 << 20);

/// Clients send about ten, each proxy in front adds a few.
pub(crate) const HEADERS: u32 = 100;

/// Fewer refuses ordinary clients behind two proxies.
pub(crate) const HEADERS_LEAST: u32 = 16;

/// More is work for strangers.
pub(crate) const HEADERS_MOST: u32 = 1000;

/// Clients send three to ten blobs at a time (RFC 9113 §6.5.2 recommends no fewer than 100).
pub(crate) const H2_STREAMS: u32 = 100;

/// What a client may have on its way before it reads the refusal.
pub(crate) const DRAIN_BYTES: ByteSize = ByteSize(64 << 20);

/// No bound: the slow line is the case Tidegate is made for.
pub(crate) const MIN_RATE: Rate = Rate(0);

/// TLS takes two round trips; ten seconds are a bad satellite line.
pub(crate) const HANDSHAKE: Ttl = seconds(10);

/// A head fits into a few packets.
pub(crate) const REQUEST_HEAD: Ttl = seconds(10);

/// A line on which nothing moved for a minute is gone.
pub(crate) const IDLE: Ttl = seconds(60);

/// Above the 60 s for which most balancers keep theirs, so that they close first and never send into a closing one.
pub(crate) const KEEP_ALIVE: Ttl = seconds(75);

/// For unused connections to registries and authorities: below the 75 s after which nginx closes its end.
pub(crate) const UPSTREAM_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// TCP and TLS within a data centre, with two lost packets.
pub(crate) const CONNECT: Ttl = seconds(5);

/// A registry copies and hashes a large blob after its last byte has come, on object stores at their pace.
pub(crate) const RESPONSE: Ttl = seconds(900);

/// Clients wait about this long for a token.
pub(crate) const AUTHORITY: Ttl = seconds(10);

/// Of a refused body: the client reads the answer within it or never.
pub(crate) const DRAIN_BODY: Ttl = seconds(10);

/// Half of what orchestrators may be told to wait; a layer of some gigabytes on a common line.
pub(crate) const DRAIN_TIMEOUT: Ttl = seconds(10 * 60);

/// No balancer that has to notice.
pub(crate) const DRAIN_DELAY: Ttl = seconds(0);

/// Logs are read by programs first.
pub(crate) const LOG_FORMAT: Format = Format::Json;

/// One line a request, and what an operator must know.
pub(crate) const LOG_LEVEL: &str = "info";

/// Where tokens are fetched when a URL has no path: GitLab's token endpoint.
pub(crate) const TOKEN_PATH: &str = "/jwt/auth";
