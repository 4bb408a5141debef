//! A session that rustls leads: every handshake, and all of TLS 1.2.

use bytes::{Buf as _, BytesMut};
use rustls::crypto::cipher::OutboundChunks;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{Error, ProtocolVersion};

use super::output::Output;

/// What a session reads from and writes to.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// What was read and not opened.
    pub(super) input: BytesMut,
    /// What was opened and not handed on.
    pub(super) plain: BytesMut,
    /// What was sealed and not written.
    pub(super) output: Output,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its handshake waits for the client.
    Handshaking,
    /// Both ends may send.
    Open,
    /// The client sends no more.
    Ended,
}

/// rustls, and what it is in the middle of.
pub(super) struct Session {
    inner: UnbufferedServerConnection,
    has_ended: bool,
}

impl Session {
    /// Before its handshake.
    pub(super) fn new(inner: UnbufferedServerConnection) -> Self {
        Self { inner, has_ended: false }
    }

    /// Opens what there is in `input`, and answers it.
    ///
    /// # Errors
    /// What the session ends with, after the alert that says so to the client is in `output`.
    pub(super) fn advance(&mut self, buffers: &mut Buffers) -> Result<Progress, Error> {
        self.advance_with(buffers, |_, _| Ok(()))
    }

    /// Seals `data`.
    ///
    /// # Errors
    /// As [`Session::advance`].
    pub(super) fn seal(&mut self, data: &OutboundChunks<'_>, buffers: &mut Buffers) -> Result<(), Error> {
        let data = data.to_vec();
        self.advance_with(buffers, |traffic, output| fill(output, |room| traffic.encrypt(&data, room)))?;
        Ok(())
    }

    /// Says that we send no more.
    ///
    /// # Errors
    /// As [`Session::advance`].
    pub(super) fn close(&mut self, buffers: &mut Buffers) -> Result<(), Error> {
        self.advance_with(buffers, |traffic, output| fill(output, |room| traffic.queue_close_notify(room)))?;
        Ok(())
    }

    fn advance_with(
        &mut self,
        buffers: &mut Buffers,
        mut send: impl FnMut(&mut WriteTraffic<'_, ServerConnectionData>, &mut Output) -> Result<(), Error>,
    ) -> Result<Progress, Error> {
        let mut failed = None;
        loop {
            let UnbufferedStatus { mut discard, state } = self.inner.process_tls_records(&mut buffers.input);
            let is_over = match state {
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut buffers.output)?;
                    // The alert that says why. Asked for more, rustls would look at the same bytes again.
                    failed.is_some()
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    false
                }
                Ok(ConnectionState::ReadTraffic(mut data)) => {
                    while let Some(record) = data.next_record() {
                        let record = record?;
                        discard += record.discard;
                        buffers.plain.extend_from_slice(record.payload);
                    }
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.has_ended = true;
                    false
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) if failed.is_none() => {
                    send(&mut traffic, &mut buffers.output)?;
                    true
                }
                Ok(_) => true,
                Err(error) => failed.replace(error).is_some(),
            };
            buffers.input.advance(discard);
            if is_over {
                break;
            }
        }
        match failed {
            Some(error) => Err(error),
            None if self.has_ended => Ok(Progress::Ended),
            None if self.inner.is_handshaking() => Ok(Progress::Handshaking),
            None => Ok(Progress::Open),
        }
    }

    /// The session itself, if it is one of TLS 1.3; else it goes on as it is.
    pub(super) fn into_tls13(self) -> Result<UnbufferedServerConnection, Box<Self>> {
        if self.inner.protocol_version() == Some(ProtocolVersion::TLSv1_3) && !self.has_ended {
            return Ok(self.inner);
        }
        Err(Box::new(self))
    }

    /// The protocol that was agreed on (RFC 7301).
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.inner.alpn_protocol()
    }
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, output: &mut Output) -> Result<(), Error> {
    fill(output, |room| {
        data.encode(room).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => EncryptError::InsufficientSize(size),
            EncodeError::AlreadyEncoded => EncryptError::EncryptExhausted,
        })
    })
}

/// Has `write` fill a buffer of the size that it says it needs.
fn fill(output: &mut Output, mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>) -> Result<(), Error> {
    let mut room = Vec::new();
    loop {
        match write(&mut room) {
            Ok(written) => {
                room.truncate(written);
                if !room.is_empty() {
                    output.push(room);
                }
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size }))
                if required_size > room.len() =>
            {
                room.resize(required_size, 0);
            }
            Err(_) => return Err(Error::EncryptError),
        }
    }
}
