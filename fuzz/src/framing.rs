//! HTTP/1 framing: in what passes, every reader finds the same messages, however lenient it is, and so does an HTTP
//! library; and it makes no difference how the bytes arrive.

use std::sync::Mutex;

use http_body_util::BodyExt;
use tidegate::server::framing::{Error, Event, Framing};

use super::line::serve_by_library;

/// The bytes are what a client sends on one connection.
pub fn check(data: &[u8]) {
    let whole = passed(data, usize::MAX);
    for at_once in [1, 7] {
        assert_eq!(passed(data, at_once), whole, "read otherwise {at_once} bytes at a time");
    }
    let bytes = data.get(..whole.bytes).unwrap_or_default();
    let (ends, bodies) = messages(bytes);
    for reader in Reader::all() {
        let mut others = reader.ends(bytes);
        // A head that lacks its last line feed, because it is still to come or was another byte, has ended for some.
        if reader.cr && bytes.ends_with(b"\r") && others.last() == Some(&bytes.len()) && ends.len() < others.len() {
            others.pop();
        }
        assert_eq!(others, ends, "{reader:?} finds other messages in {}", bytes.escape_ascii());
    }
    let heard = heard(bytes);
    assert!(bodies.starts_with(&heard), "the library hears {heard:?}, we {bodies:?}: {}", bytes.escape_ascii());
}

/// What was made of a stream: how much of it passed, why no more, and what it saw.
#[derive(Debug, PartialEq)]
struct Passed {
    bytes: usize,
    error: Option<Error>,
    heads: usize,
    ends: usize,
    content: u64,
}

fn passed(data: &[u8], at_once: usize) -> Passed {
    let mut framing = Framing::new();
    let mut passed = Passed { bytes: 0, error: None, heads: 0, ends: 0, content: 0 };
    for piece in data.chunks(at_once.min(data.len().max(1))) {
        let mut rest = piece.iter();
        passed.error = loop {
            match framing.step(&mut rest) {
                Ok(None) => break None,
                Ok(Some(Event::Head(_))) => passed.heads += 1,
                Ok(Some(Event::Trailers)) => {}
                Ok(Some(Event::End)) => passed.ends += 1,
                Ok(Some(Event::Data(count))) => passed.content += count,
                Err(error) => break Some(error),
            }
        };
        passed.bytes += piece.len() - rest.len();
        if let Some(error) = passed.error {
            // The refused byte has been taken.
            passed.bytes -= 1;
            assert_eq!(framing.step(&mut b"GET".iter()), Err(error), "it goes on");
            break;
        }
    }
    passed
}

/// Behind which bytes a message ends, and how much content each has.
fn messages(bytes: &[u8]) -> (Vec<usize>, Vec<u64>) {
    let mut framing = Framing::new();
    let (mut ends, mut bodies, mut content) = (Vec::new(), Vec::new(), 0);
    for (at, byte) in bytes.iter().enumerate() {
        let mut rest = std::slice::from_ref(byte).iter();
        while let Some(event) = framing.step(&mut rest).expect("what was passed is refused") {
            match event {
                Event::Head(_) => content = 0,
                Event::Data(count) => content += count,
                Event::Trailers => {}
                Event::End => {
                    ends.push(at + 1);
                    bodies.push(content);
                }
            }
        }
    }
    (ends, bodies)
}

/// A reader as they are found in the field, with its own idea of what is doubtful in RFC 9112.
#[derive(Clone, Copy, Debug)]
struct Reader {
    /// A line feed alone ends a line (§2.2 allows it).
    lf: bool,
    /// A carriage return alone does.
    cr: bool,
    /// A line that begins with a blank goes on with the one before (§5.2).
    fold: bool,
    /// Content-Length counts before Transfer-Encoding (against §6.3).
    counted: bool,
    /// The last of several fields counts, not the first.
    last: bool,
    /// `chunked` counts wherever it stands in Transfer-Encoding, not alone in it.
    anywhere: bool,
}

impl Reader {
    fn all() -> impl Iterator<Item = Self> {
        (0..64_u8).map(|bits| {
            let bit = |at: u8| bits >> at & 1 == 1;
            Self { lf: bit(0), cr: bit(1), fold: bit(2), counted: bit(3), last: bit(4), anywhere: bit(5) }
        })
    }

    /// Where the complete messages end; one that cannot be read is the last.
    fn ends(self, bytes: &[u8]) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut at = 0;
        while let Some(end) = self.message(bytes, at).filter(|end| *end > at) {
            ends.push(end);
            at = end;
        }
        ends
    }

    /// The line from `at` on without its end, and where the next one begins.
    fn line(self, bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
        let rest = bytes.get(at..)?;
        for (index, byte) in rest.iter().enumerate() {
            let feed = rest.get(index + 1) == Some(&b'\n');
            let line = rest.get(..index)?;
            match byte {
                b'\r' if feed => return Some((line, at + index + 2)),
                b'\r' if self.cr => return Some((line, at + index + 1)),
                b'\n' if self.lf => return Some((line, at + index + 1)),
                _ => {}
            }
        }
        None
    }

    /// Where the message that begins at `at` ends.
    fn message(self, bytes: &[u8], mut at: usize) -> Option<usize> {
        // An empty line before the first (§2.2).
        while let Some((b"", next)) = self.line(bytes, at) {
            at = next;
        }
        let (_request_line, next) = self.line(bytes, at)?;
        let (fields, at) = self.fields(bytes, next)?;
        let of = |wanted: &str| {
            let mut values = fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
            if self.last { values.next_back() } else { values.next() }
        };
        let coding = of("transfer-encoding").map(str::to_ascii_lowercase);
        let chunked = coding.is_some_and(|all| if self.anywhere { all.contains("chunked") } else { all == "chunked" });
        let length = of("content-length").map(|value| {
            let digits = value.split(',').next().unwrap_or_default().trim().trim_start_matches('+');
            digits.parse::<usize>().unwrap_or(0)
        });
        match length {
            Some(length) if self.counted || !chunked => at.checked_add(length).filter(|end| *end <= bytes.len()),
            _ if chunked => self.chunks(bytes, at),
            _ => Some(at),
        }
    }

    /// Names in lower case and values, up to the empty line.
    fn fields(self, bytes: &[u8], mut at: usize) -> Option<(Vec<(String, String)>, usize)> {
        let mut fields: Vec<(String, String)> = Vec::new();
        loop {
            let (line, next) = self.line(bytes, at)?;
            at = next;
            let text = String::from_utf8_lossy(line).into_owned();
            if text.is_empty() {
                return Some((fields, at));
            }
            match (text.strip_prefix([' ', '\t']), fields.last_mut()) {
                (Some(more), Some((_, value))) if self.fold => value.push_str(more),
                _ => {
                    let (name, value) = text.split_once(':').unwrap_or((&text, ""));
                    fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                }
            }
        }
    }

    fn chunks(self, bytes: &[u8], mut at: usize) -> Option<usize> {
        loop {
            let (line, next) = self.line(bytes, at)?;
            let text = String::from_utf8_lossy(line);
            let size = text.split(';').next().unwrap_or_default().trim().trim_start_matches("0x");
            let size = usize::from_str_radix(size, 16).ok()?;
            at = next;
            if size == 0 {
                return self.fields(bytes, at).map(|(_, end)| end);
            }
            at = at.checked_add(size)?;
            let (_rest, next) = self.line(bytes, at)?;
            at = next;
        }
    }
}

/// The contents of the complete requests that the HTTP library hands out.
fn heard(bytes: &[u8]) -> Vec<u64> {
    let heard = Mutex::new(Vec::new());
    serve_by_library(bytes, async |request| {
        if let Ok(body) = request.into_body().collect().await {
            heard.lock().expect("one thread").push(body.to_bytes().len() as u64);
        }
    });
    std::mem::take(&mut *heard.lock().expect("one thread"))
}
