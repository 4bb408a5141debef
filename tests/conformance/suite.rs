//! The suite's program: configured by its environment, one process for one run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::answers::Answers;
use crate::support::process::{command, run};
use crate::verdicts::Verdicts;

/// As `tests/parts.sh` names it.
pub(crate) const PROGRAM: &str = "conformance";

/// Far beyond the seconds it takes, for a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(300);

/// What is asked of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Profile {
    /// What the suite asks of a registry of distribution-spec 1.1 when it is told nothing.
    Stable,
    /// Without what these registries do not claim: SHA-512, referrers, subjects, layers that stay elsewhere.
    Narrow,
    /// With all that is optional as well: cancelled uploads, digest headers, tags as parameters, sparse manifests.
    Wide,
}

impl Profile {
    pub(crate) const ALL: [Self; 3] = [Self::Stable, Self::Narrow, Self::Wide];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Narrow => "narrow",
            Self::Wide => "wide",
        }
    }

    /// What it is told besides where the registry is.
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Stable => &[],
            Self::Narrow => &[
                ("OCI_DATA_SHA512", "false"),
                ("OCI_API_REFERRER", "false"),
                ("OCI_DATA_SUBJECT", "false"),
                ("OCI_DATA_SUBJECT_LIST", "false"),
                ("OCI_DATA_SUBJECT_MISSING", "false"),
                ("OCI_DATA_NONDISTRIBUTABLE", "false"),
            ],
            Self::Wide => &[
                ("OCI_API_BLOBS_UPLOAD_CANCEL", "true"),
                ("OCI_API_BLOBS_DIGEST_HEADER", "true"),
                ("OCI_API_MANIFESTS_DIGEST_HEADER", "true"),
                ("OCI_API_MANIFESTS_TAG_PARAM", "true"),
                ("OCI_DATA_SPARSE", "true"),
            ],
        }
    }
}

/// Where it is sent, and as whom.
#[derive(Debug)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) address: String,
    /// The certificate authority to trust; plain HTTP without.
    pub(crate) ca: Option<PathBuf>,
    /// Keep its client from HTTP/2, which it otherwise takes where TLS offers it.
    pub(crate) http1_only: bool,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Runs it, with its files under `dir`.
pub(crate) async fn judge(profile: Profile, target: &Target, dir: &Path) -> Result<(Verdicts, Answers)> {
    std::fs::create_dir_all(dir)?;
    let mut command = command(PROGRAM);
    // Nothing of the caller's own settings, and no file of its in the directory where this runs.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OCI_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).env("OCI_RESULTS_DIR", dir).env("OCI_VERSION", "1.1").env("OCI_LOG", "error");
    command
        .env("OCI_REGISTRY", &target.address)
        .env("OCI_USERNAME", &target.user)
        .env("OCI_PASSWORD", &target.password);
    command.envs(profile.settings().iter().copied());
    match &target.ca {
        Some(ca) => command.env("OCI_TLS", "enabled").env("SSL_CERT_FILE", ca).env_remove("SSL_CERT_DIR"),
        None => command.env("OCI_TLS", "disabled"),
    };
    command.env("GODEBUG", if target.http1_only { "http2client=0" } else { "http2client=1" });
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        command.env_remove(proxy);
    }
    // It ends with 1 when any case failed, and with 0 when it could not even begin: neither says whether it ran.
    let ran = run(&mut command, DEADLINE).await?;
    std::fs::write(dir.join("words.txt"), ran.words())?;
    ensure!(!ran.hung, "{}", ran.stderr);
    let exchanges = std::fs::read_to_string(dir.join("junit.xml"));
    let exchanges = exchanges.with_context(|| format!("the suite wrote no results: {}", ran.words()))?;
    Ok((Verdicts::parse(&ran.stdout)?, Answers::parse(&exchanges)?))
}
