//! What a file means: the settings that come of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegate::base::clock::{Clock, Timestamp};
use tidegate::config::{self, Error, Settings, reference};
use tidegate::gateway::Redirects;
use tidegate::policy::{OnAuthorityDown, Renew};
use tidegate::telemetry::log::Format;

use crate::canary::spellings;
use crate::material::Folder;

fn load(folder: &Folder, text: &str) -> Result<Settings> {
    folder.public("tidegate.toml", text)?;
    load_file(&folder.path("tidegate.toml"))
}

fn load_file(path: &Path) -> Result<Settings> {
    config::load(path, Clock::System.now()).map_err(|error| anyhow::anyhow!("{error}"))
}

#[test]
fn the_reference_file_loads_as_it_stands() -> Result<()> {
    let folder = Folder::new()?;
    let settings = load(&folder, &reference::toml())?;
    assert_eq!(settings.warnings.list, []);
    assert_eq!(settings.sites.len(), 1);
    assert_eq!(settings.ticket_keys.len(), 2);
    Ok(())
}

#[test]
fn the_reference_file_loads_with_every_key_turned_on() -> Result<()> {
    let folder = Folder::new()?;
    let on = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<String> = reference::toml().lines().map(on).collect();
    let settings = load(&folder, &text.join("\n"))?;
    let site = settings.sites.first().context("a site")?;
    let registry = site.registry.as_ref().context("a registry")?;
    assert!(site.proxy.as_ref().is_some_and(|proxy| proxy.roots.is_some()));
    assert!(registry.upstream.client.is_some());
    assert_eq!(registry.host.as_ref().context("a host")?, "registry.example.com");
    assert_eq!(settings.trusted_proxies, ["10.0.0.0/8".parse()?]);
    assert_eq!(settings.server.proxy_protocol, ["10.0.0.5/32".parse()?]);
    Ok(())
}

#[test]
fn the_defaults_are_those_of_the_documentation() -> Result<()> {
    let folder = Folder::new()?;
    let settings = load_file(&folder.fixture("valid", "plain")?)?;
    let seconds = Duration::from_secs;
    let server = &settings.server;
    assert_eq!((server.connections, server.connections_per_address), (10_000, 0));
    assert_eq!((server.header_bytes, server.headers, server.h2_streams), (65_536, 100, 100));
    assert_eq!(server.buffer_bytes, 114_688);
    assert_eq!((server.handshake, server.request_head), (seconds(10), seconds(10)));
    assert_eq!((server.idle, server.keep_alive, server.min_rate), (seconds(60), seconds(75), 0));
    assert_eq!(server.refused_body, (64 << 20, seconds(10)));
    assert_eq!((server.drain_timeout, server.drain_delay), (seconds(600), seconds(0)));
    assert!(server.tls.is_none() && server.proxy_protocol.is_empty());
    assert!(settings.admin.is_none() && settings.signing.is_none() && settings.ticket_keys.is_empty());
    let tokens = &settings.tokens;
    assert_eq!((tokens.cache, tokens.negative_ttl, tokens.announce_lifetime), (64 << 20, seconds(5), true));
    let push = &settings.push;
    assert_eq!((push.max_session, push.max_unverified), (seconds(21_600), seconds(21_600)));
    assert_eq!((push.reverify, push.exchange_margin), (seconds(60), seconds(120)));
    assert_eq!(push.on_authority_down, OnAuthorityDown::Continue);
    assert_eq!((settings.log.format, settings.log.level.as_str()), (Format::Json, "info"));
    let authority = settings.authorities.get("gitlab").context("the authority")?;
    assert_eq!((authority.timeout, authority.connect), (seconds(10), seconds(5)));
    assert_eq!(authority.verifier.leeway, seconds(60));
    assert_eq!(authority.url, "http://127.0.0.1:3000/jwt/auth");
    let upstream = &settings.sites[0].registry.as_ref().context("a registry")?.upstream;
    assert_eq!((upstream.connect, upstream.idle, upstream.response), (seconds(5), seconds(60), seconds(900)));
    Ok(())
}

#[test]
fn sites_come_in_the_order_of_the_file_with_their_own_settings() -> Result<()> {
    let folder = Folder::new()?;
    let settings = load_file(&folder.fixture("valid", "several")?)?;
    let hosts: Vec<&str> = settings.sites.iter().map(|site| site.host.as_str()).collect();
    assert_eq!(hosts, ["registry.example.com", "gitlab.example.com", "old.example.com:5000"]);
    let renew: Vec<Renew> = settings.sites.iter().map(|site| site.renew).collect();
    assert_eq!(renew, [Renew::Resign, Renew::Resign, Renew::Off]);
    let registry = settings.sites[0].registry.as_ref().context("a registry")?;
    assert_eq!(registry.upstream.origins, ["https://reg-1:5000/", "https://reg-2:5000/"]);
    assert_eq!(registry.redirects, Redirects::Hosts(vec!["blobs.example.com".to_owned()]));
    assert_eq!(settings.authorities["gitlab"].url, "https://gitlab.internal/users/token");
    assert_eq!(settings.server.tls.as_ref().map(Vec::len), Some(2));
    Ok(())
}

/// `Debug` is what a careless line of a log would print.
#[test]
fn settings_that_are_printed_show_nothing_of_a_key() -> Result<()> {
    let folder = Folder::new()?;
    let printed = format!("{:?}", load_file(&folder.fixture("valid", "several")?)?);
    assert!(printed.contains("gitlab-issuer"), "nothing is printed at all: {printed}");
    for name in ["tls.key", "client.key", "signing.key", "tickets.key"] {
        let text = std::fs::read_to_string(folder.path(name))?;
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let bytes = STANDARD.decode(&base64)?;
        // Of a PKCS#8 key the part that no two keys share; of a ticket key the whole.
        let own = bytes.get(36..68).unwrap_or(&bytes);
        for spelling in spellings(own).into_iter().chain(spellings(base64.as_bytes())) {
            assert!(!printed.contains(&spelling), "{name} in {printed}");
        }
    }
    Ok(())
}

#[test]
fn renew_is_resign_where_there_is_a_key_and_exchange_where_there_is_none() -> Result<()> {
    let folder = Folder::new()?;
    let text = std::fs::read_to_string(folder.fixture("valid", "plain")?)?.replace("renew = \"off\"", "");
    assert_eq!(load(&folder, &text)?.sites[0].renew, Renew::Exchange);
    let signed = format!("{text}\n[signing]\nkey = \"signing.key\"\ncertificate = \"signing.crt\"\n");
    assert_eq!(load(&folder, &signed)?.sites[0].renew, Renew::Resign);
    let chosen = format!("{signed}\n[push]\nrenew = \"off\"\n");
    assert_eq!(load(&folder, &chosen)?.sites[0].renew, Renew::Off);
    Ok(())
}

#[test]
fn max_unverified_follows_max_session_until_it_is_written() -> Result<()> {
    let folder = Folder::new()?;
    let text = std::fs::read_to_string(folder.fixture("valid", "plain")?)?;
    let push = load(&folder, &format!("{text}\n[push]\nmax_session = \"2h\"\n"))?.push;
    assert_eq!(push.max_unverified, Duration::from_secs(7200));
    let push = load(&folder, &format!("{text}\n[push]\nmax_session = \"2h\"\nmax_unverified = \"0s\"\n"))?.push;
    assert_eq!(push.max_unverified, Duration::ZERO);
    Ok(())
}

#[test]
fn a_signing_certificate_is_looked_at_with_the_clock_that_is_handed_in() -> Result<()> {
    let folder = Folder::new()?;
    let config = folder.fixture("valid", "several")?;
    let before_all = Timestamp(0);
    let Err(Error::Wrong(problems)) = config::load(&config, before_all) else { anyhow::bail!("it was taken") };
    let said = problems.to_string();
    assert!(said.contains("error: signing.certificate: "), "{said}");
    assert!(said.contains("is not valid before"), "{said}");
    Ok(())
}

#[test]
fn a_file_too_large_to_be_a_configuration_is_not_read_in_part() -> Result<()> {
    let folder = Folder::new()?;
    let text = std::fs::read_to_string(folder.fixture("valid", "plain")?)?;
    let padded = format!("{text}{}", "#\n".repeat(1 << 19));
    assert!(load(&folder, &text).is_ok());
    assert!(load(&folder, &padded).is_err());
    Ok(())
}
