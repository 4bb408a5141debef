//! The configuration file as it is typed: a struct for each section, a documented field for each key.
//!
//! ```text
//! text ─ toml ─▶ spanned tree ─ section! ─▶ File (what was typed) ─ lower ─▶ Settings (what it means)
//! ```
//!
//! The documentation of a field is the comment in `config/tidegate.toml` and the row in `docs/configuration.md`.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::defaults;
use super::inline::{Proxy, Tls};
use super::item::At;
use super::spec::{advised, bounded, default, named, optional, optional_section, required, section};
use super::value::{HostName, Kind, Origin, Rate, Url};
use crate::base::units::{ByteSize, Ttl};
use crate::gateway::Redirects;
use crate::policy::{OnAuthorityDown, Renew};
use crate::telemetry::log::Format;

section! {
    /// Tidegate's configuration. Paths are relative to the folder of this file.
    struct File {
        /// Where Tidegate listens.
        listeners: Listeners = section(),
        /// Who decides access.
        authorities: Vec<(At<String>, Authority)> = named("gitlab"),
        /// What stands behind the door, by host.
        sites: Vec<(At<String>, Site)> = named("\"registry.example.com\""),
        /// What registry tokens are signed with.
        signing: Option<Signing> = optional_section(),
        /// The token endpoint.
        tokens: Tokens = section(),
        /// What upload sessions are sealed with.
        tickets: Tickets = section(),
        /// How a push outlives its token.
        push: Push = section(),
        /// Bounds of what clients may ask for.
        limits: Limits = section(),
        /// How long each phase may take.
        timeouts: Timeouts = section(),
        /// How Tidegate leaves after SIGTERM.
        drain: Drain = section(),
        /// The log, on standard error.
        log: Log = section(),
    }
    later "store";
}

section! {
    /// Where Tidegate listens.
    struct Listeners {
        /// For clients.
        public: Public = section(),
        /// For operators.
        admin: Option<Admin> = optional_section(),
    }
}

section! {
    /// The listener for clients: HTTP/1.1 and HTTP/2, chosen by ALPN.
    struct Public {
        /// Where it listens.
        address: Option<At<SocketAddr>> = required("\"0.0.0.0:443\""),
        /// Its certificate and key, PEM, the leaf first; or several, `tls = { certificates = [ { certificate = "a.crt", key = "a.key" }, … ] }`, chosen by SNI, the first for every other name. Left out: plain HTTP, behind a balancer that ends TLS.
        tls: Option<At<Tls>> = advised("{ certificate = \"tls.crt\", key = \"tls.key\" }"),
        /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, read from the right to the first stranger. Left out: nobody's.
        trusted_proxies: Option<At<Vec<At<IpNet>>>> = optional("[\"10.0.0.0/8\"]"),
        /// Peers that must send PROXY protocol (v1 or v2); all others are plain. `trusted_proxies` then looks at the address it gives. Left out: nobody.
        proxy_protocol: Option<At<ProxyProtocol>> = optional("{ from = [\"10.0.0.5/32\"] }"),
    }
}

section! {
    /// A certificate and its key.
    struct Pair {
        /// The certificate chain, PEM, the leaf first.
        certificate: Option<At<PathBuf>> = required("\"tls.crt\""),
        /// The private key, PEM, readable by its owner alone.
        key: Option<At<PathBuf>> = required("\"tls.key\""),
    }
}

section! {
    /// Several certificates.
    struct Certificates {
        /// Certificates with their keys, chosen by SNI (RFC 6066 §3), the first for every other name.
        certificates: Option<At<Vec<At<Pair>>>> = required("[ { certificate = \"tls.crt\", key = \"tls.key\" } ]"),
    }
}

section! {
    /// PROXY protocol.
    struct ProxyProtocol {
        /// Peers that must send it.
        from: Option<At<Vec<At<IpNet>>>> = required("[\"10.0.0.5/32\"]"),
    }
}

section! {
    /// The listener for operators: `/healthz`, `/readyz`, `/metrics`. Left out: there is none. It asks nobody who they are: keep it on an address that only operators reach.
    struct Admin {
        /// Where it listens.
        address: Option<At<SocketAddr>> = required("\"127.0.0.1:9090\""),
    }
}

section! {
    /// Who decides access, by a name of your own.
    struct Authority {
        /// What it is: `gitlab` is any server of Docker's token protocol, GitLab first of all.
        kind: Option<At<Kind>> = required("\"gitlab\""),
        /// Its token endpoint; without a path: `/jwt/auth`.
        url: Option<At<Url>> = required("\"https://gitlab.internal\""),
        /// Its certificate authority, PEM. Left out: the system's roots.
        ca: Option<At<PathBuf>> = optional("\"gitlab-ca.crt\""),
        /// `iss` of its tokens, as in the registry's `auth.token.issuer`.
        issuer: Option<At<String>> = required("\"gitlab-issuer\""),
        /// `aud` of its tokens, as in the registry's `auth.token.service`.
        service: Option<At<String>> = required("\"container_registry\""),
        /// Who signs its tokens: PEM certificates or JWKS files, as in the registry's `auth.token.rootcertbundle` or `jwks`.
        trusted: Option<At<Vec<At<PathBuf>>>> = required("[\"gitlab-registry.crt\"]"),
        /// Leeway on `exp` and `nbf`. Registries have 60 s: with more, they refuse what Tidegate lets through.
        leeway: At<Ttl> = bounded(defaults::LEEWAY, defaults::NONE, Some(defaults::LEEWAY_MOST)),
    }
    later "users", "htpasswd";
}

section! {
    /// What stands behind the door for one host: a registry, a proxy, or both. Named by what clients ask for, `host` or `host:port`, the longer match wins; `*` is every other host.
    struct Site {
        /// The authority that decides.
        authority: Option<At<String>> = required("\"gitlab\""),
        /// The token endpoint as clients reach it; its path is the token endpoint here. Left out: `/jwt/auth` on the host that was asked (needs `tls` or `trusted_proxies`).
        realm: Option<At<Url>> = optional("\"https://registry.example.com/jwt/auth\""),
        /// How a push outlives its token, on this site. Left out: `push.renew`.
        renew: Option<At<Renew>> = optional("\"resign\""),
        /// A web host that everything but the token endpoint (and `/v2/` where there is a registry) passes through to, upgrades included: GitLab's own. A URL, or `{ url = "https://gitlab.internal", ca = "gitlab-ca.crt" }`.
        proxy: Option<At<Proxy>> = optional("{ url = \"https://gitlab.internal\", ca = \"gitlab-ca.crt\" }"),
        /// The registry.
        registry: Option<Registry> = optional_section(),
    }
}

section! {
    /// A web host.
    struct ProxyTable {
        /// Where it is.
        url: Option<At<Origin>> = required("\"https://gitlab.internal\""),
        /// Its certificate authority, PEM. Left out: the system's roots.
        ca: Option<At<PathBuf>> = optional("\"gitlab-ca.crt\""),
    }
}

section! {
    /// The registry behind the site.
    struct Registry {
        /// Where it is; several: a pool. An upload stays with the one that opened it.
        origins: Option<At<Vec<At<Origin>>>> = required("[\"http://reg-1:5000\", \"http://reg-2:5000\"]"),
        /// Its certificate authority, PEM. Left out: the system's roots.
        ca: Option<At<PathBuf>> = optional("\"registry-ca.crt\""),
        /// Tidegate's certificate, for a registry that asks for one, PEM, the leaf first.
        client_certificate: Option<At<PathBuf>> = optional("\"client.crt\""),
        /// The key of `client_certificate`, PEM, readable by its owner alone.
        client_key: Option<At<PathBuf>> = optional("\"client.key\""),
        /// The Host header it is sent. Left out: the client's own, so that the registry's URLs lead back through Tidegate.
        host: Option<At<HostName>> = optional("\"registry.example.com\""),
        /// Where it may send clients for a blob: `pass` is anywhere, `refuse` nowhere, a list names the hosts.
        redirects: At<Redirects> = default(defaults::REDIRECTS),
    }
    later "health", "max_requests", "chunk";
}

section! {
    /// What registry tokens are signed with: GitLab's registry key, or one of our own that the registry trusts. Needed by `renew = "resign"`.
    struct Signing {
        /// The private key: P-256 or RSA, PEM, readable by its owner alone.
        key: Option<At<PathBuf>> = required("\"signing.key\""),
        /// Its certificate and the intermediates, PEM, the leaf first: becomes `x5c`.
        certificate: Option<At<PathBuf>> = required("\"signing.crt\""),
        /// How long a registry token lives.
        token_ttl: At<Ttl> = bounded(defaults::TOKEN_TTL, defaults::TOKEN_TTL_LEAST, Some(defaults::TOKEN_TTL_MOST)),
    }
}

section! {
    /// The token endpoint.
    struct Tokens {
        /// Memory for tokens that are handed out again.
        cache: At<ByteSize> = default(defaults::TOKEN_CACHE),
        /// How long a denial is remembered for exactly the credential that was denied.
        negative_ttl: At<Ttl> =
            bounded(defaults::NEGATIVE_TTL, defaults::NONE, Some(defaults::NEGATIVE_TTL_MOST)),
        /// Whether clients are told how long a token lives (`expires_in`); without it they take it to be 60 s.
        announce_lifetime: At<bool> = default(defaults::ANNOUNCE_LIFETIME),
    }
}

section! {
    /// What upload sessions are sealed with, so that any replica knows them.
    struct Tickets {
        /// Files of 32 random bytes in base64, readable by their owner alone (`tidegate keys ticket`). The first seals, all open. Left out: made at start, and a push survives neither a restart nor a second replica.
        keys: Option<At<Vec<At<PathBuf>>>> = advised("[\"tickets.key\", \"tickets.previous.key\"]"),
    }
}

section! {
    /// How a push outlives its token.
    struct Push {
        /// What the registry is shown: `resign` is a token that Tidegate signs, `exchange` one that the authority issues again, `off` only the client's own. Left out: `resign` where there is a `[signing]` key, else `exchange`.
        renew: Option<At<Renew>> = optional("\"resign\""),
        /// How long after its start a push may go on with a token that has lapsed.
        max_session: At<Ttl> = bounded(defaults::MAX_SESSION, defaults::MOMENT, None),
        /// How long it may go on after the authority last said yes, where Tidegate has no credential to ask with. Left out: `max_session`.
        max_unverified: Option<At<Ttl>> = optional("\"6h\""),
        /// How often the authority is asked again while a push goes on with a lapsed token.
        reverify: At<Ttl> = bounded(defaults::REVERIFY, defaults::MOMENT, None),
        /// With `exchange`: an upload's token with less than this left is replaced before it is forwarded.
        exchange_margin: At<Ttl> = default(defaults::EXCHANGE_MARGIN),
        /// What an authority that cannot be asked means for such a push: `continue` to `max_session`, or `stop`.
        on_authority_down: At<OnAuthorityDown> = default(defaults::ON_AUTHORITY_DOWN),
    }
}

section! {
    /// Bounds of what clients may ask for.
    struct Limits {
        /// Open connections.
        connections: At<u32> = bounded(defaults::CONNECTIONS, 1, None),
        /// Open connections of one address; 0: no bound.
        connections_per_address: At<u32> = default(defaults::CONNECTIONS_PER_ADDRESS),
        /// The head of a request.
        header_bytes: At<ByteSize> =
            bounded(defaults::HEADER_BYTES, defaults::HEADER_BYTES_LEAST, Some(defaults::HEADER_BYTES_MOST)),
        /// Header fields of a request.
        headers: At<u32> = bounded(defaults::HEADERS, defaults::HEADERS_LEAST, Some(defaults::HEADERS_MOST)),
        /// What is read of an HTTP/1 body at a time, and written of any to a registry. An upload whose registry stalls keeps
        /// as much in memory, at most twice; less costs more CPU.
        buffer_bytes: At<ByteSize> =
            bounded(defaults::BUFFER_BYTES, defaults::BUFFER_BYTES_LEAST, Some(defaults::BUFFER_BYTES_MOST)),
        /// Streams of one HTTP/2 connection at a time.
        h2_streams: At<u32> = bounded(defaults::H2_STREAMS, 1, None),
        /// What is read of a refused body, so that the client hears the refusal.
        drain_bytes: At<ByteSize> = default(defaults::DRAIN_BYTES),
        /// The slowest a request body may come; `0B/s`: no bound.
        min_rate: At<Rate> = default(defaults::MIN_RATE),
    }
}

section! {
    /// How long each phase may take. None bounds a whole blob.
    struct Timeouts {
        /// TLS with a client, PROXY protocol included.
        handshake: At<Ttl> = bounded(defaults::HANDSHAKE, defaults::MOMENT, None),
        /// The head of a request, from its first byte.
        request_head: At<Ttl> = bounded(defaults::REQUEST_HEAD, defaults::MOMENT, None),
        /// A body in which nothing moves, each direction.
        idle: At<Ttl> = bounded(defaults::IDLE, defaults::MOMENT, None),
        /// A client's connection between requests.
        keep_alive: At<Ttl> = bounded(defaults::KEEP_ALIVE, defaults::MOMENT, None),
        /// TCP and TLS to a registry or an authority.
        connect: At<Ttl> = bounded(defaults::CONNECT, defaults::MOMENT, None),
        /// The registry's answer, after the last byte of the request.
        response: At<Ttl> = bounded(defaults::RESPONSE, defaults::MOMENT, None),
        /// A whole exchange with the authority.
        authority: At<Ttl> = bounded(defaults::AUTHORITY, defaults::MOMENT, None),
        /// Reading a refused body.
        drain: At<Ttl> = default(defaults::DRAIN_BODY),
    }
}

section! {
    /// How Tidegate leaves after SIGTERM: no new uploads, running ones finish.
    struct Drain {
        /// How long running requests may take to finish.
        timeout: At<Ttl> = default(defaults::DRAIN_TIMEOUT),
        /// How long it serves on, no longer ready, for balancers to notice.
        delay: At<Ttl> = default(defaults::DRAIN_DELAY),
    }
}

section! {
    /// The log, on standard error.
    struct Log {
        /// `json` is one object a line, `text` is for people.
        format: At<Format> = default(defaults::LOG_FORMAT),
        /// `error`, `warn`, `info`, `debug`, `trace`, or a filter by module such as `info,tidegate::gateway=debug`.
        /// Libraries stay at `info` at the finest: below it they write what they read.
        level: At<String> = default(defaults::LOG_LEVEL.to_owned()),
    }
}
