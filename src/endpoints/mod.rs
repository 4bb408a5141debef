//! What is not `/v2/`: the token endpoint and GitLab's own host.
