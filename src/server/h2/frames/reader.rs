//! Where frames begin in a stream of bytes (RFC 9113 §4.1), whatever pieces the bytes come in.

/// Bytes of a frame's head.
const HEAD: usize = 9;
/// What a client sends before its first frame (RFC 9113 §3.4).
const PREFACE: u32 = 24;
/// Bytes of a payload that are kept: an error code stands in the first four or eight.
const KEPT: usize = 8;

/// A frame, known as soon as its head and what is wanted of its payload have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of its payload.
    pub(super) length: u32,
    /// RFC 9113 §6.
    pub(super) kind: u8,
    /// Their meaning depends on the kind.
    pub(super) flags: u8,
    /// The stream it is of; 0: the connection.
    pub(super) stream: u32,
    /// The code of a RST_STREAM or GOAWAY.
    pub(super) code: Option<u32>,
}

/// DATA (RFC 9113 §6.1).
pub(super) const DATA: u8 = 0x0;
/// HEADERS (RFC 9113 §6.2).
pub(super) const HEADERS: u8 = 0x1;
/// RST_STREAM (RFC 9113 §6.4).
pub(super) const RST_STREAM: u8 = 0x3;
/// GOAWAY (RFC 9113 §6.8).
pub(super) const GOAWAY: u8 = 0x7;
/// CONTINUATION (RFC 9113 §6.10).
pub(super) const CONTINUATION: u8 = 0x9;
/// The flag of a DATA or HEADERS frame that is its stream's last.
pub(super) const END_STREAM: u8 = 0x1;

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    /// The head, and after it the kept part of the payload, as far as they have come.
    seen: [u8; HEAD + KEPT],
    len: usize,
    /// How much of `seen` this frame is to fill.
    wanted: usize,
    /// Bytes to pass over before the next head.
    skip: u32,
}

impl Reader {
    /// What a client sends, the preface first.
    pub(super) fn of_client() -> Self {
        Self { skip: PREFACE, ..Self::of_server() }
    }

    /// What a server sends.
    pub(super) fn of_server() -> Self {
        Self { seen: [0; HEAD + KEPT], len: 0, wanted: HEAD, skip: 0 }
    }

    /// Whether nothing of a frame is outstanding.
    pub(super) fn is_between_frames(&self) -> bool {
        self.skip == 0 && self.len == 0
    }

    /// Goes through `bytes` and tells `frame` of each frame they begin.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut frame: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = bytes.len().min(self.skip as usize);
                // `passed` is at most `skip`.
                self.skip -= u32::try_from(passed).unwrap_or(self.skip);
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            let room = self.seen.get_mut(self.len..self.wanted).unwrap_or_default();
            let taken = room.len().min(bytes.len());
            for (to, from) in room.iter_mut().zip(bytes) {
                *to = *from;
            }
            self.len += taken;
            bytes = bytes.get(taken..).unwrap_or_default();
            if self.len < self.wanted {
                return;
            }
            let head = self.head();
            let kept = kept(&head);
            if self.len == HEAD && kept > 0 {
                self.wanted = HEAD + kept;
                continue;
            }
            self.skip = head.length.saturating_sub(u32::try_from(kept).unwrap_or(0));
            (self.len, self.wanted) = (0, HEAD);
            frame(Frame { code: self.code(kept), ..head });
        }
    }

    fn head(&self) -> Frame {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3, ..] = self.seen;
        Frame {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
            code: None,
        }
    }

    fn code(&self, kept: usize) -> Option<u32> {
        let [.., a0, a1, a2, a3, b0, b1, b2, b3] = self.seen;
        match kept {
            4 => Some(u32::from_be_bytes([a0, a1, a2, a3])),
            8 => Some(u32::from_be_bytes([b0, b1, b2, b3])),
            _ => None,
        }
    }
}

/// How much of a frame's payload is wanted: a frame of the wrong size has no code, and is the parser's to refuse.
fn kept(head: &Frame) -> usize {
    match (head.kind, head.length) {
        (RST_STREAM, 4) => 4,
        (GOAWAY, 8..) => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
