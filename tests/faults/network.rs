//! Breaking the ground under connections: packets that vanish, resets, slow lines.
//!
//! Every rule stands in a namespace of this run, so nothing of it touches the machine, and it goes with the namespace.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where a rule stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// Where clients are, and this process.
    Street,
    /// A namespace by its name.
    In(&'a str),
}

impl Place<'_> {
    fn command(self, program: &str) -> Command {
        match self {
            Self::Street => Command::new(program),
            Self::In(name) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{name}")).arg(program);
                command
            }
        }
    }

    fn run(self, program: &str, arguments: &str) -> Result<String> {
        let output = self.command(program).args(arguments.split_whitespace()).output();
        let output = output.with_context(|| program.to_owned())?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {arguments}: {}", said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The street's own loopback.
pub(crate) fn lo_up() -> Result<()> {
    Place::Street.run("ip", "link set lo up").map(drop)
}

/// From now on nothing arrives in `place` or leaves it that has this local port there, of connections to this port of
/// theirs if one is given: the peer has gone without a word. A client has to give one: the kernel may choose the same local
/// port for another connection.
pub(crate) fn vanish(place: Place<'_>, port: u16, to: Option<u16>) -> Result<()> {
    both(place, "-A", port, to)
}

/// The end of [`vanish`].
pub(crate) fn reappear(place: Place<'_>, port: u16, to: Option<u16>) -> Result<()> {
    both(place, "-D", port, to)
}

fn both(place: Place<'_>, verb: &str, port: u16, to: Option<u16>) -> Result<()> {
    let (from, to) = to.map_or_else(Default::default, |to| (format!(" --sport {to}"), format!(" --dport {to}")));
    place.run("iptables", &format!("-w {verb} INPUT -p tcp --dport {port}{from} -j DROP"))?;
    place.run("iptables", &format!("-w {verb} OUTPUT -p tcp --sport {port}{to} -j DROP")).map(drop)
}

/// Every connection to this local port in `place` is reset, and every new one refused, as if nobody listened.
pub(crate) fn refuse(place: Place<'_>, port: u16) -> Result<()> {
    place.run("iptables", &format!("-w -A INPUT -p tcp --dport {port} -j REJECT --reject-with tcp-reset")).map(drop)
}

/// The end of [`refuse`].
pub(crate) fn accept(place: Place<'_>, port: u16) -> Result<()> {
    place.run("iptables", &format!("-w -D INPUT -p tcp --dport {port} -j REJECT --reject-with tcp-reset")).map(drop)
}

/// Resets the connections there are to this local port in `place`; how many.
pub(crate) fn reset(place: Place<'_>, port: u16) -> Result<usize> {
    let killed = place.run("ss", &format!("-K -Htn state established sport = :{port}"))?;
    Ok(killed.lines().filter(|line| !line.trim().is_empty()).count())
}

/// Whether the connection between these two ports in `place` stands.
pub(crate) fn stands(place: Place<'_>, own: u16, other: u16) -> Result<bool> {
    let listed = place.run("ss", &format!("-Htn state established sport = :{own} dport = :{other}"))?;
    Ok(!listed.trim().is_empty())
}

/// The connections to this local port in `place`, each by the other side's port, and how many bytes have come by it.
pub(crate) fn received(place: Place<'_>, port: u16) -> Result<Vec<(u16, u64)>> {
    let listed = place.run("ss", &format!("-HtniO state established sport = :{port}"))?;
    let one = |line: &str| {
        let from = line.split_whitespace().nth(3)?.rsplit_once(':')?.1.parse().ok()?;
        let bytes = line.split_whitespace().find_map(|word| word.strip_prefix("bytes_received:"));
        Some((from, bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)))
    };
    Ok(listed.lines().filter_map(one).collect())
}

/// Memory that the kernel holds for the connections in `place`, in KiB: what has come and is not read, what is sent and not
/// acknowledged, and what it has set aside for more.
pub(crate) fn socket_memory(place: Place<'_>) -> Result<u64> {
    let listed = place.run("ss", "-HtnmO")?;
    let held = |line: &str| -> u64 {
        let memory = line.split_once("skmem:(").map(|(_, rest)| rest.split(')').next().unwrap_or_default());
        let numbers = memory.into_iter().flat_map(|memory| memory.split(','));
        // `rb` and `tb` are bounds; `t` is a part of `w`.
        numbers.filter_map(|number| number.strip_prefix(['r', 'w', 'f'])?.parse::<u64>().ok()).sum()
    };
    Ok(listed.lines().map(held).sum::<u64>() / 1024)
}

/// Everything that comes for this address in `place` is dropped.
pub(crate) fn bury(place: Place<'_>, address: std::net::Ipv4Addr) -> Result<()> {
    place.run("iptables", &format!("-w -A INPUT -d {address} -j DROP")).map(drop)
}

/// How many packets that was.
pub(crate) fn buried(place: Place<'_>, address: std::net::Ipv4Addr) -> Result<u64> {
    let listed = place.run("iptables", "-w -nvxL INPUT")?;
    let line = listed.lines().find(|line| line.contains(&address.to_string())).context("no such rule")?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}

/// The established connections of a process in `place` that it opened itself: to any port but those it listens on.
pub(crate) fn outgoing(place: Place<'_>, pid: u32, own: [u16; 2]) -> Result<usize> {
    let listed = place.run("ss", "-Htnp state established")?;
    let process = format!("pid={pid},");
    let local = |line: &str| line.split_whitespace().nth(2)?.rsplit_once(':')?.1.parse::<u16>().ok();
    Ok(listed
        .lines()
        .filter(|line| line.contains(&process) && local(line).is_none_or(|port| !own.contains(&port)))
        .count())
}

/// What leaves `place` by the device that leads to `address` is slowed to so many kilobits a second; ends with the value.
#[derive(Debug)]
pub(crate) struct Slow<'a> {
    place: Place<'a>,
    device: String,
}

impl<'a> Slow<'a> {
    pub(crate) fn down(place: Place<'a>, address: std::net::Ipv4Addr, kilobits: u32) -> Result<Self> {
        let route = place.run("ip", &format!("-o route get {address}"))?;
        let device = route.split_whitespace().skip_while(|word| *word != "dev").nth(1).context("no device")?.to_owned();
        // It drops nothing of a hundred beginnings: a kernel whose own device refuses what it sends sixteen times in eight
        // seconds gives the connection up, which no line far away makes it do.
        place.run("tc", &format!("qdisc add dev {device} root tbf rate {kilobits}kbit burst 16kb limit 8mb"))?;
        Ok(Self { place, device })
    }
}

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        let _gone = self.place.run("tc", &format!("qdisc del dev {} root", self.device));
    }
}

/// One more address of the street.
pub(crate) fn add_address(address: std::net::Ipv4Addr) -> Result<()> {
    Place::Street.run("ip", &format!("addr add {address}/32 dev lo")).map(drop)
}

/// How `net` is reached from `place`.
pub(crate) fn add_route(place: Place<'_>, net: &str, by: std::net::Ipv4Addr) -> Result<()> {
    place.run("ip", &format!("route replace {net} via {by}")).map(drop)
}
