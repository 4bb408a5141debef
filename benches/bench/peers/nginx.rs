//! nginx, as its manual advises for a proxy of large bodies.

use anyhow::Result;

use super::Orders;

/// Writes its configuration and returns what it is called with.
pub(super) fn arguments(orders: &Orders<'_>, buffering: bool) -> Result<Vec<String>> {
    let file = orders.dir.join("nginx.conf");
    std::fs::write(&file, configuration(orders, buffering))?;
    Ok(vec!["-c".into(), file.display().to_string(), "-p".into(), orders.dir.display().to_string()])
}

fn configuration(orders: &Orders<'_>, buffering: bool) -> String {
    format!(
        "daemon off;
worker_processes {cores};
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 9000; }}
http {{
    access_log access.log combined buffer=64k flush=1s;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    tcp_nodelay on;
    keepalive_timeout 900s;
    keepalive_requests 100000000;
    upstream registry {{
        server {origin};
        keepalive 128;
        keepalive_requests 100000000;
    }}
    server {{
        listen {address} ssl http2 reuseport backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        client_max_body_size 0;
        client_body_buffer_size 32k;
        client_body_timeout 900s;
        large_client_header_buffers 8 64k;
        location = /v2/ {{ return 401; }}
        location / {{
            proxy_pass http://registry;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering {buffering};
            proxy_max_temp_file_size 0;
            proxy_buffer_size 32k;
            proxy_buffers 8 32k;
            proxy_read_timeout 900s;
            proxy_send_timeout 900s;
            proxy_set_header Host $http_host;
            proxy_set_header Connection \"\";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
",
        cores = orders.cores,
        origin = orders.given.origin,
        address = orders.address,
        certificate = orders.given.keys.tls_certificate.display(),
        key = orders.given.keys.tls_key.display(),
        buffering = if buffering { "on" } else { "off" },
    )
}
