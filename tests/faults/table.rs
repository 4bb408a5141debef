//! The faults, one row each: what happens, how it is brought about, and what is expected.

use crate::case::Course;
use crate::{authorities, clients, crowds, lives, names, registries, replicas};

/// A fault.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) how: &'static str,
    pub(crate) expected: &'static str,
    /// Runs with the other tests, not only when all are asked for.
    pub(crate) quick: bool,
    /// Touches what the others stand on, or measures what they would spoil.
    pub(crate) alone: bool,
    pub(crate) run: Course,
}

macro_rules! fault {
    ($number:literal $name:literal $speed:ident $company:ident $run:path, $what:literal, $how:literal, $expected:literal) => {
        Fault {
            number: $number,
            name: $name,
            what: $what,
            how: $how,
            expected: $expected,
            quick: matches!(Speed::$speed, Speed::Quick),
            alone: matches!(Company::$company, Company::Alone),
            run: |case| Box::pin($run(case)),
        }
    };
}

enum Speed {
    Quick,
    Long,
}

enum Company {
    Together,
    Alone,
}

/// Faults of parts that are not there yet, with what there is in their place.
pub(crate) const NOT_BUILT: [(u8, &str, &str); 3] = [
    (10, "a shared store that is down, slow or emptied", "there is no shared store: tickets need none"),
    (14, "keys changed while it runs", "keys are read at start; a new one enters by restarting replicas one by one"),
    (
        15,
        "a configuration that changes, or breaks, while it runs",
        "read at start only; row 13 shows that nothing happens",
    ),
];

/// All of them.
pub(crate) const FAULTS: &[Fault] = &[
    fault!(1 "registry-killed" Quick Together registries::killed,
        "the registry dies in the middle of a PATCH", "kill -9 when a quarter has come",
        "502 or 503 as registries write it, or a cut connection, within 5 s; never a success; not sent twice; the next push passes"),
    fault!(2 "registry-errors" Quick Together registries::errors,
        "the registry answers 500, 502, 503, 429", "scripted",
        "status, Retry-After and body arrive as sent"),
    fault!(3 "registry-deaf" Quick Together registries::early,
        "the registry refuses before the body's end and reads no more", "scripted",
        "a client that listens while it writes hears the refusal within 1 s of it, one that writes everything first hears it too; \
         that connection is closed, not used again"),
    fault!(4 "registry-silent" Quick Together registries::silent,
        "the registry takes everything and never answers", "scripted, timeouts.response = 4 s",
        "504, counted from the body's last byte"),
    fault!(5 "authority-down" Quick Together authorities::down,
        "the authority refuses connections", "TCP resets at its port",
        "cached tokens are handed out, open uploads go on after their token's death, new logins are 503 with Retry-After"),
    fault!(6 "authority-slow" Quick Together authorities::slow,
        "the authority is silent, or trickles", "scripted, 100 logins with 10 different questions, timeouts.authority = 3 s",
        "503 with Retry-After at the deadline; each question is asked once; living tokens work meanwhile"),
    fault!(7 "authority-nonsense" Quick Together authorities::nonsense,
        "the authority answers what is no token", "scripted: 500, pages, {}, null, 5 MiB with and without a length, gzip, half an answer",
        "502 or 503 as registries write it; nothing of it is shown, nothing remembered; of 5 MiB at most 2 MiB are taken, what \
         kernels hold included"),
    fault!(8 "authority-elsewhere" Quick Together authorities::elsewhere,
        "the authority redirects", "scripted: 301, 302, 303, 307, 308 to a listener that counts",
        "not followed, not passed on; nobody connects to where it leads"),
    fault!(9 "right-revoked" Quick Together authorities::revoked,
        "the right to push is taken back while a push that outlived its token runs", "the authority answers 401, push.reverify = 1 s",
        "401 within 6 s, also for the last request; logged; others go on"),
    fault!(11 "replica-killed" Quick Together replicas::killed,
        "the replica that served the PATCH dies before the PUT", "kill -9 behind HAProxy, after the token's death",
        "the other replica commits it: 201"),
    fault!(12 "clock-jumps" Quick Together lives::clock,
        "the wall clock jumps two hours ahead, and two behind", "libfaketime",
        "no token of another time is taken or handed out from the cache, and none from its future is shown to a registry; an open \
         upload goes on when the clock is right again"),
    fault!(13 "hangup" Quick Together lives::hangup,
        "SIGHUP in the middle of a push, with a broken file", "kill -HUP",
        "not built: nothing is reloaded, the log says so, the push passes"),
    fault!(16 "told-to-leave" Long Together lives::leaving,
        "SIGTERM in the middle of a push; then twice", "kill -TERM",
        "unready within 2 s, new pushes 503, the one that runs far longer passes, exit 0; told twice: exit 1, never a success"),
    fault!(17 "half-open-client" Quick Together clients::vanished,
        "a client's host vanishes while it sends, and while it receives", "packets dropped in the client's namespace",
        "both let go within 20 s; nothing stays"),
    fault!(18 "half-open-registry" Quick Together registries::vanished,
        "the registry's host vanishes in a body, and behind a pooled connection", "packets dropped in the registry's namespace",
        "502, 503 or 504 long before timeouts.response; the dead connection is not handed out twice"),
    fault!(19 "client-disconnects" Quick Together registries::client_gone,
        "the client disconnects in the middle of a body whose digest fits what has come", "closed with a length and chunked",
        "the registry's connection is closed within 1 s, the request is let go within 10 s; nothing is stored"),
    fault!(20 "pooled-reset" Quick Together registries::reset_while_idle,
        "an idle pooled connection is reset; a registry hangs up on what it was sent", "ss -K; scripted",
        "after a reset the next request passes; what may have been sent is not sent twice: 502"),
    fault!(21 "slow-registry" Long Alone crowds::slow_registry,
        "pushes of 1 GiB to a registry on a slow line", "tbf at 8 Mbit/s, a hundred of them, twice, 256 MiB of memory",
        "clients are held back; at most 320 KiB each, and flat, the kernel's sockets too"),
    fault!(22 "slow-clients" Long Alone crowds::slow_clients,
        "pulls over a slow line", "tbf at 8 Mbit/s, a hundred of them, twice",
        "the registry is held back; at most 320 KiB each, and flat, the kernel's sockets too; what arrives is what was pushed"),
    fault!(23 "disk-full" Quick Together registries::disk_full,
        "the registry's disk is full", "storage on a small tmpfs",
        "the registry's own error arrives; Tidegate stays ready; reading goes on"),
    fault!(24 "names" Quick Together names::names,
        "the registry's name leads to another address, to none, to two of which one is dead", "a hosts file of its own",
        "new connections go to the new address; what lives is kept; 503 without a name; the dead address is passed over"),
    fault!(25 "registry-certificate" Quick Together names::certificates,
        "the registry's certificate is over, another's, or of an unknown issuer", "scripted",
        "502 or 503, the log says which; /readyz and tidegate_origin_up show it as long as it lasts; no \
         request, no plain attempt, no storm; its own is taken at once"),
    fault!(26 "descriptors" Quick Together clients::descriptors,
        "300 connections where 96 descriptors are allowed", "prlimit",
        "the accept loop sleeps; the push that runs passes; /healthz answers; it recovers alone"),
    fault!(27 "idle-connections" Long Alone clients::idle,
        "thousands of idle TLS connections", "3,000 that asked once, three times",
        "at most 40 KiB each in a build with assertions; new requests are answered"),
    fault!(28 "churn" Long Alone clients::churn,
        "a storm of connections that ask once, and of looks at the port", "32 at a time, for 20 s, twice",
        "all answered; the second storm needs no more memory than the first left"),
    fault!(29 "misframed" Quick Together registries::misframed,
        "answers that do not end where they say", "scripted: short, no last chunk, bad chunk, two lengths, a list, no HTTP; and too long",
        "an error over HTTP/1.1 and HTTP/2, never a whole body; what is too much reaches nobody"),
    fault!(30 "starved" Long Alone crowds::starved,
        "a tenth of a core; then 64 MiB", "control groups",
        "everything is answered, late; /healthz answers; nothing is killed"),
    fault!(31 "panic" Quick Together lives::panic,
        "a handler panics", "not reachable from outside",
        "one request's end"),
    fault!(32 "broken-start" Quick Together lives::broken_start,
        "files that are missing, open to all, cut, or do not belong together", "nine broken configurations",
        "it does not start, and says so, before it listens"),
];
