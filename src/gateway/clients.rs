//! What lets each client recover when a push can no longer be extended but a fresh token would help.
//!
//! Clients that start the layer again with a new token after a 503 get one; those that renew after a 401 that says
//! `invalid_token` get that. Anything else would end the push for good.

/// How a client recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// 503 with `Retry-After`.
    Retry,
    /// 401 with `error="invalid_token"`.
    Challenge,
}

/// User agents (prefix) that never act on a 401 for a request with a body, and start over after a 503:
/// the docker engine and everything on go-containerregistry.
const RETRY: [&str; 6] = ["docker/", "go-containerregistry/", "crane/", "ko/", "kaniko/", "cosign/"];
/// A part of the user agent of a docker engine that pushes with containerd's client, which does act on a 401.
const CONTAINERD: &str = "containerd";

/// The row of the table for a User-Agent.
#[must_use]
pub fn recovery(user_agent: Option<&str>) -> Recovery {
    match user_agent {
        Some(agent) if agent.contains(CONTAINERD) => Recovery::Challenge,
        Some(agent) if RETRY.iter().any(|prefix| agent.starts_with(prefix)) => Recovery::Retry,
        _ => Recovery::Challenge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_the_answer_it_recovers_from() {
        let rows = [
            ("docker/20.10.24 go/go1.19.8 git-commit/5d6db84 kernel/6.1 os/linux arch/amd64", Recovery::Retry),
            ("docker/29.0.0 go/go1.25 containerd-client/2.2.0", Recovery::Challenge),
            ("crane/0.22.1 go-containerregistry/0.22.1", Recovery::Retry),
            ("go-containerregistry/v0.20.4", Recovery::Retry),
            ("containerd/1.6.20", Recovery::Challenge),
            ("buildkit/v0.32", Recovery::Challenge),
            ("containers/5.24.2 (github.com/containers/image)", Recovery::Challenge),
            ("skopeo/1.9.3", Recovery::Challenge),
        ];
        for (agent, expected) in rows {
            assert_eq!(recovery(Some(agent)), expected, "{agent}");
        }
        assert_eq!(recovery(None), Recovery::Challenge);
    }
}
