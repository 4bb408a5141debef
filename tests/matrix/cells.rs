//! What is run: clients × registries × paths × ways to renew, and the same without Tidegate.

use crate::support::authority::Life;
use crate::support::clients::Client;
use crate::support::door::Renew;
use crate::support::registry::Flavor;
use std::time::Duration;

/// Where the spooling hop stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Hop {
    /// Nowhere: a slow line and nothing else.
    Straight,
    /// Between the clients and Tidegate; without Tidegate, between the clients and the registry.
    Front,
    /// Between Tidegate and the registry.
    Behind,
}

/// One set of parts that all clients push through side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Combination {
    pub(crate) flavor: Flavor,
    pub(crate) hop: Hop,
    /// TLS to Tidegate's own listener, so that clients choose HTTP/2 where they can.
    pub(crate) tls: bool,
    /// Without Tidegate where there is none.
    pub(crate) renew: Option<Renew>,
}

/// What has to come out of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Passes,
    /// By protocol; [`EXCHANGE_BEHIND`] is the reason.
    CannotPass,
    /// Whatever it is, it is what Tidegate is measured against.
    Recorded,
}

/// Why the one declared exception is one.
pub(crate) const EXCHANGE_BEHIND: &str = "with `exchange` Tidegate has no key: what it shows the registry is a token of the \
    authority's own, and that lives no longer than the client's does. The hop behind holds it back until it has died.";

impl Combination {
    fn with(flavor: Flavor, hop: Hop, renew: Renew) -> Self {
        Self { flavor, hop, tls: false, renew: Some(renew) }
    }

    fn without(flavor: Flavor, hop: Hop) -> Self {
        Self { flavor, hop, tls: false, renew: None }
    }

    /// Every one there is: the twelve with Tidegate, two more over TLS, and four without.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for flavor in Flavor::ALL {
            all.extend([Hop::Straight, Hop::Front].map(|hop| Self::without(flavor, hop)));
            for renew in Renew::ALL {
                all.extend([Hop::Straight, Hop::Front, Hop::Behind].map(|hop| Self::with(flavor, hop, renew)));
            }
            all.push(Self { tls: true, ..Self::with(flavor, Hop::Straight, Renew::Resign) });
        }
        all.sort_by_key(|one| !one.takes_long());
        all
    }

    /// The part that every change is tried with: each client, registry, path and way to renew at least once, each of the
    /// two registries also without Tidegate where pushes die.
    pub(crate) fn covering() -> Vec<Self> {
        vec![
            Self::without(Flavor::Docker28, Hop::Front),
            Self::without(Flavor::Distribution31, Hop::Front),
            Self::with(Flavor::Distribution31, Hop::Behind, Renew::Exchange),
            Self::with(Flavor::Docker28, Hop::Front, Renew::Exchange),
            Self::with(Flavor::Docker28, Hop::Behind, Renew::Resign),
            Self::with(Flavor::Distribution31, Hop::Front, Renew::Resign),
            Self { tls: true, ..Self::with(Flavor::Distribution31, Hop::Straight, Renew::Resign) },
            Self::with(Flavor::Distribution31, Hop::Straight, Renew::Exchange),
        ]
    }

    /// regctl is its own rescuer: after five tries with a whole blob it sends chunks of a MiB, and a hop holds none of those
    /// back for long. Whether that gets it through depends on how long it believes a token to live.
    pub(crate) fn expected(self, client: Client) -> Expected {
        match (self.hop, self.renew) {
            (_, None) => Expected::Recorded,
            (Hop::Behind, Some(Renew::Exchange)) if client == Client::Regctl => Expected::Recorded,
            (Hop::Behind, Some(Renew::Exchange)) => Expected::CannotPass,
            (_, Some(_)) => Expected::Passes,
        }
    }

    /// Where clients try again and again; these are begun first.
    fn takes_long(self) -> bool {
        matches!((self.hop, self.renew), (Hop::Front, None) | (Hop::Behind, Some(Renew::Exchange)))
    }

    /// A name for directories, filters and people.
    pub(crate) fn name(self) -> String {
        let hop = match self.hop {
            Hop::Straight if self.tls => "tls",
            Hop::Straight => "straight",
            Hop::Front => "front",
            Hop::Behind => "behind",
        };
        format!("{}-{hop}-{}", self.flavor.name(), self.renew.map_or("without", Renew::name))
    }
}

/// How slow the line is and how short tokens live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    pub(crate) mib: usize,
    /// Bytes a second and connection, towards the registry.
    pub(crate) rate: f64,
    pub(crate) life: Life,
    /// After which a push is called hung; regctl alone tries for eight minutes before it gives up.
    pub(crate) deadline: Duration,
}

impl Recipe {
    /// Clients take any token to live a minute at least. A push has to outlast that as well as the token, or even its last
    /// request would come with the dead one and it would fail on the best of lines.
    pub(crate) const SLOW: Self =
        Self { mib: 42, rate: 600_000.0, life: Life::DiesOnCue(20), deadline: Duration::from_secs(900) };

    /// Clients that read `expires_in` know that the token dies and renew in time, so that a push only has to outlast the
    /// token. The others ask again when they are refused.
    pub(crate) const QUICK: Self =
        Self { mib: 9, rate: 600_000.0, life: Life::DiesAsTold(10), deadline: Duration::from_secs(150) };

    /// `ctr` hangs at times and is given another try, so it is called hung earlier: it sends a layer twice at most.
    pub(crate) fn ctr_deadline(self) -> Duration {
        self.shortest_push() * 4 + Duration::from_secs(30)
    }

    /// At least this long takes a push.
    pub(crate) fn shortest_push(self) -> Duration {
        let bytes = u32::try_from(self.mib << 20).unwrap_or(u32::MAX);
        Duration::from_secs_f64(f64::from(bytes) / self.rate)
    }
}

/// The clients of a combination.
pub(crate) const CLIENTS: [Client; 8] = Client::ALL;
