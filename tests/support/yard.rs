//! The ground the parts stand on: three network namespaces in a row, so that going round Tidegate is impossible and not
//! merely unlikely.
//!
//! ```text
//!  street (where the run started)     gatehouse            yard
//!  clients, relay, nginx in front --> Tidegate --> nginx behind, registry
//!  authority  <--------------------------'
//! ```
//! From the street the yard is unreachable: without a route of its own it would be looked for beyond this machine's default
//! route, where somebody may even answer. A registry in the yard can only have been reached by Tidegate, and its
//! access log, which shows the address in the gatehouse alone, says so too.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Namespaces and links of one run; gone when dropped.
#[derive(Debug)]
pub(crate) struct Yard {
    gatehouse: String,
    yard: String,
    net: u8,
}

impl Yard {
    /// Lays it out; needs root. What a killed run of before left behind is cleared away first.
    pub(crate) fn lay_out() -> Result<Self> {
        clear_leftovers()?;
        let pid = std::process::id();
        let net = u8::try_from(pid % 256).unwrap_or_default();
        let this = Self { gatehouse: format!("tidegate-{pid}-g"), yard: format!("tidegate-{pid}-y"), net };
        let (outer, gate_outer) = (format!("tg{pid}a"), format!("tg{pid}b"));
        let (gate_inner, inner) = (format!("tg{pid}c"), format!("tg{pid}d"));
        ip(&["netns", "add", &this.gatehouse])?;
        ip(&["netns", "add", &this.yard])?;
        ip(&["link", "add", &outer, "type", "veth", "peer", "name", &gate_outer, "netns", &this.gatehouse])?;
        ip(&[
            "-n",
            &this.gatehouse,
            "link",
            "add",
            &gate_inner,
            "type",
            "veth",
            "peer",
            "name",
            &inner,
            "netns",
            &this.yard,
        ])?;
        ip(&["addr", "add", &format!("{}/30", this.street_address()), "dev", &outer])?;
        ip(&["link", "set", &outer, "up"])?;
        ip(&["route", "replace", "unreachable", &this.back_net()])?;
        for (namespace, device, address) in [
            (&this.gatehouse, &gate_outer, this.gate_address()),
            (&this.gatehouse, &gate_inner, this.gate_back_address()),
            (&this.yard, &inner, this.yard_address()),
        ] {
            ip(&["-n", namespace, "addr", "add", &format!("{address}/30"), "dev", device])?;
            ip(&["-n", namespace, "link", "set", device, "up"])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        Ok(this)
    }

    /// The namespace Tidegate runs in.
    pub(crate) fn gatehouse(&self) -> &str {
        &self.gatehouse
    }

    /// The namespace registries run in.
    pub(crate) fn yard(&self) -> &str {
        &self.yard
    }

    /// Where Tidegate finds the authority, and what it sees the clients come from.
    pub(crate) fn street_address(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// Where clients find Tidegate.
    pub(crate) fn gate_address(&self) -> Ipv4Addr {
        self.address(2)
    }

    /// What registries see Tidegate come from.
    pub(crate) fn gate_back_address(&self) -> Ipv4Addr {
        self.address(5)
    }

    /// Where Tidegate finds the registries.
    pub(crate) fn yard_address(&self) -> Ipv4Addr {
        self.address(6)
    }

    /// The net between Tidegate and the registries.
    fn back_net(&self) -> String {
        format!("{}/30", self.address(4))
    }

    /// 198.18.0.0/15 is set aside for tests of network devices (RFC 2544), so nobody's network is shadowed.
    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.net, last)
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        for namespace in [&self.gatehouse, &self.yard] {
            let _gone = ip(&["netns", "del", namespace]);
        }
        let _gone = ip(&["route", "del", "unreachable", &self.back_net()]);
    }
}

fn clear_leftovers() -> Result<()> {
    let listed = Command::new("ip").args(["netns", "list"]).output().context("ip netns list")?;
    for name in String::from_utf8_lossy(&listed.stdout).lines().filter_map(|line| line.split_whitespace().next()) {
        let pid = name.strip_prefix("tidegate-").and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            ip(&["netns", "del", name])?;
        }
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip (iproute2) is needed")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
