//! HAProxy, as its manual advises for a proxy of large bodies.

use anyhow::Result;

use super::Orders;

/// Writes its configuration and returns what it is called with. It wants certificate and key in one file.
pub(super) fn arguments(orders: &Orders<'_>) -> Result<Vec<String>> {
    let pem = orders.dir.join("tls.pem");
    let both =
        [std::fs::read(&orders.given.keys.tls_certificate)?, std::fs::read(&orders.given.keys.tls_key)?].concat();
    std::fs::write(&pem, both)?;
    let file = orders.dir.join("haproxy.cfg");
    let text = format!(
        "global
    nbthread {cores}
    maxconn 9000
    tune.bufsize 32768
    tune.maxrewrite 1024
    ssl-default-bind-options ssl-min-ver TLSv1.3
    log stderr format raw local0
defaults
    mode http
    log global
    option httplog
    option forwardfor
    http-reuse always
    timeout connect 5s
    timeout client 900s
    timeout server 900s
    timeout http-keep-alive 900s
    backlog 4096
frontend door
    bind {address} ssl crt {pem} alpn h2,http/1.1
    http-request return status 401 content-type text/plain string unauthorized if {{ path /v2/ }}
    http-request set-header X-Forwarded-Proto https
    default_backend registry
backend registry
    server one {origin} pool-max-conn -1
",
        cores = orders.cores,
        address = orders.address,
        pem = pem.display(),
        origin = orders.given.origin,
    );
    std::fs::write(&file, text)?;
    Ok(vec!["-db".into(), "-f".into(), file.display().to_string()])
}
