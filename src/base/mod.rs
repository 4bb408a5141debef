//! What every layer stands on: time, secrets, message bodies, sizes, and who is at the other end of a connection.
//!
//! ```text
//! clock   Timestamp, Clock        the only source of wall time
//! secret  Secret                  bytes that never reach a log
//! fingerprint Fingerprint         what caches know a secret by
//! dumps   forbid                  no memory of this process for others
//! body    Body                    the one body type, and what is wrapped around it
//! lease   Lease                   a request body that can be taken back
//! buffer  Buffer                  what is read to, lent by a core's stock
//! h1      Sending, fields         what both sides need of HTTP/1.1
//! parts   poll_write_parts        several parts as one write
//! upgrade Upgrade                 a client's connection once it speaks another protocol
//! io      WriteIdle               a connection that ends when nobody reads it
//! units   ByteSize, Ttl           numbers that carry their unit
//! peer    Peer                    the other end of a client connection
//! tls     provider                the crypto that TLS is spoken with
//! ```
//!
//! It must never know HTTP routes, tokens or configuration files.

pub mod body;
pub mod buffer;
pub mod clock;
pub mod dumps;
pub mod fingerprint;
pub mod h1;
pub mod io;
pub mod lease;
pub mod parts;
pub mod peer;
pub mod secret;
pub mod tls;
pub mod units;
pub mod upgrade;
