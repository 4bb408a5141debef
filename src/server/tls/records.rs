//! The records of TLS 1.3 after the handshake (RFC 8446 §5), opened where they were read to.
//!
//! rustls agrees on the keys, derives the next ones, and its ciphers open and seal. What is ours is where the bytes lie,
//! and the three kinds of records that come after a handshake.

use std::fmt;

use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, PeerMisbehaved, ProtocolVersion, Tls13CipherSuite,
};

use super::output::Output;
use crate::base::tls::opening::{Opener, parts};

/// Type, version and length (RFC 8446 §5.1).
const HEADER: usize = 5;
/// The most that a record seals (RFC 8446 §5.1).
pub(super) const MAX_PLAIN: usize = 1 << 14;
/// The largest record, with its header (RFC 8446 §5.2).
pub(super) const MAX_RECORD: usize = HEADER + MAX_PLAIN + 256;
/// What a record is longer by than what it carries: its header, its kind, and what authenticates it (RFC 8446 §5.2).
const OVERHEAD: usize = HEADER + 1 + 16;
/// Records in a row that carry nothing: each costs us as much as one that does.
const MAX_USELESS: u32 = 32;
/// `KeyUpdate` (RFC 8446 §4.6.3), but for what it asks for.
const KEY_UPDATE: [u8; 4] = [24, 0, 0, 1];

/// What a record was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// So much of what was sent.
    Data(usize),
    /// Nothing that is to be handed on.
    Nothing,
    /// The client sends no more.
    End,
}

/// What was made of bytes in which there may be any number of records.
#[derive(Debug, Default)]
pub(super) struct OpenedAll {
    /// So many of them were records; what is behind them is part of one.
    pub(super) used: usize,
    /// So many bytes of data stand at their beginning now.
    pub(super) data: usize,
    /// How the client's side has ended, behind that data.
    pub(super) ended: Option<Result<(), Error>>,
}

/// Both directions of a connection whose handshake is over.
pub(super) struct Records {
    kernel: KernelConnection<ServerConnectionData>,
    suite: &'static Tls13CipherSuite,
    reading: Opener,
    read: u64,
    writing: Box<dyn MessageEncrypter>,
    /// How many records our key has sealed, and how many it may.
    pub(super) written: u64,
    pub(super) limit: u64,
    useless: u32,
    /// The client asked for our next key.
    owes_update: bool,
}

/// Without its keys.
impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("read", &self.read).field("written", &self.written).finish_non_exhaustive()
    }
}

impl Records {
    /// Goes on where `session` stands, which has nothing more to send.
    ///
    /// # Errors
    /// It is no session of TLS 1.3, or its handshake is not over.
    pub(super) fn after(session: UnbufferedServerConnection) -> Result<Self, Error> {
        let suite = session.negotiated_cipher_suite().and_then(|suite| suite.tls13());
        let suite = suite.ok_or(Error::HandshakeNotComplete)?;
        let (secrets, kernel) = session.dangerous_into_kernel_connection()?;
        let ((written, writing), (read, reading)) = (secrets.tx, secrets.rx);
        let mut writing = encrypter(suite, writing)?;
        // aws-lc counts along and seals no record but the next one: it has to have seen those that rustls sent by this
        // key, its session tickets. What comes of it here is not sent: a number must never seal two things for the wire.
        for sequence in 0..written {
            let nothing = OutboundPlainMessage {
                typ: ContentType::ApplicationData,
                version: ProtocolVersion::TLSv1_2,
                payload: OutboundChunks::new_empty(),
            };
            drop(writing.encrypt(nothing, sequence)?);
        }
        Ok(Self {
            kernel,
            suite,
            reading: Opener::new(suite, reading)?,
            read,
            writing,
            written,
            limit: suite.common.confidentiality_limit,
            useless: 0,
            owes_update: false,
        })
    }

    /// Opens the record that stands at `from` in `bytes`, to `to`, which is not behind it. How long it is, and what it was;
    /// none: it is not all there.
    ///
    /// # Errors
    /// What the connection ends with; [`Records::seal_alert`] says it to the client.
    pub(super) fn open(&mut self, bytes: &mut [u8], from: usize, to: usize) -> Result<Option<(usize, Opened)>, Error> {
        let Some([kind, _, _, high, low]) = bytes.get(from..).and_then(|bytes| bytes.first_chunk()) else {
            return Ok(None);
        };
        let kind = ContentType::from(*kind);
        if kind != ContentType::ApplicationData {
            return Err(unexpected(kind));
        }
        let length = HEADER + usize::from(u16::from_be_bytes([*high, *low]));
        if length > MAX_RECORD {
            return Err(Error::PeerSentOversizedRecord);
        }
        let Some(bytes) = bytes.get_mut(to..from + length) else { return Ok(None) };
        let sequence = self.read;
        self.read = sequence.checked_add(1).ok_or(Error::DecryptError)?;
        let (kind, opened) = self.reading.open(sequence, bytes, from - to + HEADER)?;
        let opened = match (kind, bytes.get(..opened).unwrap_or_default()) {
            (ContentType::ApplicationData, []) => self.useless()?,
            (ContentType::ApplicationData, data) => {
                self.useless = 0;
                Opened::Data(data.len())
            }
            (ContentType::Alert, [_, alert]) => match AlertDescription::from(*alert) {
                AlertDescription::CloseNotify => Opened::End,
                AlertDescription::UserCanceled => self.useless()?,
                alert => return Err(Error::AlertReceived(alert)),
            },
            // Nothing else comes after a handshake that asked for no certificate, and a record with it has nothing behind
            // it, since another key begins there (RFC 8446 §5.1).
            (ContentType::Handshake, [update @ .., asks @ (0 | 1)]) if *update == KEY_UPDATE => {
                self.owes_update |= *asks == 1;
                let (read, secrets) = self.kernel.update_rx_secret()?;
                self.read = read;
                self.reading = Opener::new(self.suite, secrets)?;
                self.useless()?
            }
            (kind, _) => return Err(unexpected(kind)),
        };
        Ok(Some((length, opened)))
    }

    /// Opens all records that are whole; what was in them stands together at the beginning of `bytes` then.
    pub(super) fn open_all(&mut self, bytes: &mut [u8]) -> OpenedAll {
        let mut all = OpenedAll::default();
        while all.ended.is_none() {
            match self.open(bytes, all.used, all.data) {
                Ok(None) => break,
                Ok(Some((length, opened))) => {
                    match opened {
                        Opened::Data(data) => all.data += data,
                        Opened::Nothing => {}
                        Opened::End => all.ended = Some(Ok(())),
                    }
                    all.used += length;
                }
                Err(error) => all.ended = Some(Err(error)),
            }
        }
        all
    }

    fn useless(&mut self) -> Result<Opened, Error> {
        self.useless += 1;
        if self.useless > MAX_USELESS {
            return Err(Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments));
        }
        Ok(Opened::Nothing)
    }

    /// Seals `data`, in as many records as it takes.
    ///
    /// # Errors
    /// The cipher's; the connection is over.
    pub(super) fn seal(&mut self, mut data: OutboundChunks<'_>, output: &mut Output) -> Result<(), Error> {
        while !data.is_empty() {
            if self.owes_update || self.written >= self.limit {
                let [a, b, c, d] = KEY_UPDATE;
                self.seal_one(ContentType::Handshake, OutboundChunks::Single(&[a, b, c, d, 0]), output)?;
                let (written, secrets) = self.kernel.update_tx_secret()?;
                self.written = written;
                self.writing = encrypter(self.suite, secrets)?;
                self.owes_update = false;
            }
            let (record, rest) = data.split_at(MAX_PLAIN);
            self.seal_one(ContentType::ApplicationData, record, output)?;
            data = rest;
        }
        Ok(())
    }

    /// Says that we send no more (RFC 8446 §6.1), or why the connection ends.
    ///
    /// # Errors
    /// The cipher's.
    pub(super) fn seal_alert(&mut self, alert: AlertDescription, output: &mut Output) -> Result<(), Error> {
        let level = if alert == AlertDescription::CloseNotify { 1 } else { 2 };
        self.seal_one(ContentType::Alert, OutboundChunks::Single(&[level, alert.into()]), output)
    }

    fn seal_one(&mut self, typ: ContentType, payload: OutboundChunks<'_>, output: &mut Output) -> Result<(), Error> {
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let sequence = self.written;
        self.written = sequence.checked_add(1).ok_or(Error::EncryptError)?;
        output.push(self.writing.encrypt(message, sequence)?.encode());
        Ok(())
    }
}

/// How long the records are that carry so much, and no more in each than a record may.
pub(in crate::server) fn sealed_length(length: usize) -> usize {
    length + length.div_ceil(MAX_PLAIN) * OVERHEAD
}

fn encrypter(suite: &Tls13CipherSuite, secrets: ConnectionTrafficSecrets) -> Result<Box<dyn MessageEncrypter>, Error> {
    let (key, iv) = parts(secrets)?;
    Ok(suite.aead_alg.encrypter(key, iv))
}

fn unexpected(got: ContentType) -> Error {
    Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData], got_type: got }
}

/// What the client is told of `error`; none: it told us.
pub(super) fn alert(error: &Error) -> Option<AlertDescription> {
    match error {
        Error::AlertReceived(_) => None,
        Error::DecryptError => Some(AlertDescription::BadRecordMac),
        Error::PeerSentOversizedRecord => Some(AlertDescription::RecordOverflow),
        Error::InappropriateMessage { .. } | Error::PeerMisbehaved(_) => Some(AlertDescription::UnexpectedMessage),
        _ => Some(AlertDescription::InternalError),
    }
}
