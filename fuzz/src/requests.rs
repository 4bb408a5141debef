//! The requests that stand in a client's stream, up to the first fault: `framing` says where they end, which has readers
//! of its own that it must agree with; what they say is read here, and again by the HTTP library.

use std::sync::Mutex;

use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use tidegate::server::framing::{Event, Framing};

use super::line::serve_by_library;

/// The most that a head, or the trailers, may have.
pub(crate) const HEADER_BYTES: usize = 1024;
/// The most fields of a head.
pub(crate) const HEADERS: usize = 20;
/// The most trailers.
const TRAILERS: usize = 16;

/// Names in lower case, and values as they are shown.
type Fields = Vec<(String, String)>;

/// A request, as far as somebody has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) is_old: bool,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    /// Whether its body came to its end, or broke off; none: neither.
    pub(crate) is_whole: Option<bool>,
}

/// What stands in a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    /// The requests, and behind which byte each ends.
    pub(crate) requests: Vec<(Asked, usize)>,
    /// Whether what follows them is refused.
    pub(crate) is_refused: bool,
}

impl Stream {
    /// What stands in these bytes.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut stream = Self::default();
        let (mut framing, mut rest) = (Framing::new(), bytes.iter());
        let (mut begin, mut trailers, mut current) = (0, None, None::<Asked>);
        loop {
            let stepped = framing.step(&mut rest);
            let at = bytes.len() - rest.len();
            match (stepped, &mut current) {
                (Ok(Some(Event::Head(_))), _) => {
                    let lines = &bytes[begin..at];
                    let asked = Asked::read(lines);
                    let is_refused = lines.len() > HEADER_BYTES || asked.fields.len() > HEADERS;
                    // A target that is none, for one.
                    if is_refused || library(lines).is_none() {
                        stream.is_refused = true;
                        return stream;
                    }
                    current = Some(asked);
                }
                (Ok(Some(Event::Data(count))), Some(asked)) => {
                    let count = usize::try_from(count).expect("so many bytes were taken");
                    asked.body.extend_from_slice(&bytes[at - count..at]);
                }
                (Ok(Some(Event::Trailers)), _) => trailers = Some(at),
                (Ok(Some(Event::End)), Some(asked)) => {
                    let lines = trailers.take().map_or(&[][..], |from| &bytes[from..at]);
                    let fields = fields(lines);
                    let is_whole = lines.len() <= HEADER_BYTES && fields.len() <= TRAILERS;
                    if is_whole {
                        asked.trailers = fields;
                    }
                    stream.requests.push((asked.ended(is_whole, &bytes[begin..at]), at));
                    if !is_whole {
                        return stream;
                    }
                    (begin, current) = (at, None);
                    framing.stay();
                }
                (Ok(None) | Err(_), Some(asked)) => {
                    stream.requests.push((asked.ended(false, &bytes[begin..at]), at));
                    return stream;
                }
                (stepped, _) => {
                    stream.is_refused = stepped.is_err() || at - begin > HEADER_BYTES;
                    return stream;
                }
            }
        }
    }
}

impl Asked {
    /// What a head says.
    fn read(lines: &[u8]) -> Self {
        let lines = lines.strip_prefix(b"\r\n").unwrap_or(lines);
        let end = lines.windows(2).position(|two| two == b"\r\n").expect("a line");
        let line = String::from_utf8_lossy(&lines[..end]).into_owned();
        let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?} has passed") };
        Self {
            method: method.to_owned(),
            target: spelled(target),
            is_old: version == "HTTP/1.0",
            fields: fields(&lines[end + 2..]),
            ..Self::default()
        }
    }

    /// It is over, and these are its bytes, in which the library finds the same.
    fn ended(&self, is_whole: bool, bytes: &[u8]) -> Self {
        let asked = Self { is_whole: Some(is_whole), ..self.clone() };
        let mut heard = library(bytes).expect("its head was heard before");
        if !is_whole {
            // How much of it is handed out is not for the library to say.
            let trailers = asked.trailers.clone();
            heard = Self { body: asked.body.clone(), trailers, is_whole: asked.is_whole, ..heard };
        }
        assert_eq!(heard, asked, "the library hears otherwise: {}", bytes.escape_ascii());
        asked
    }

    /// Whether a list of names in a field has this one.
    pub(crate) fn lists(&self, field: &str, word: &str) -> bool {
        let has = |value: &str| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(word));
        self.fields.iter().any(|(name, value)| name == field && has(&value.replace("\\t", " ")))
    }

    /// Whether it has this field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.iter().any(|(name, _)| name == field)
    }

    /// Takes a request that somebody hands out, and reads its body; gives its place among those that were heard.
    pub(crate) async fn hear<B: Body<Data = Bytes> + Unpin>(request: Request<B>, heard: &Mutex<Vec<Self>>) -> usize {
        let (head, mut body) = request.into_parts();
        let at = {
            let mut heard = heard.lock().expect("one thread");
            heard.push(Self {
                method: head.method.to_string(),
                target: head.uri.to_string(),
                is_old: head.version == http::Version::HTTP_10,
                fields: listed(&head.headers),
                ..Self::default()
            });
            heard.len() - 1
        };
        let told = body.size_hint().exact();
        loop {
            let frame = body.frame().await;
            let asked = &mut heard.lock().expect("one thread")[at];
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => asked.body.extend_from_slice(&data),
                    Err(frame) => asked.trailers = listed(&frame.into_trailers().unwrap_or_default()),
                },
                Some(Err(_)) => asked.is_whole = Some(false),
                None => {
                    asked.is_whole = Some(true);
                    assert!(told.is_none_or(|told| told == asked.body.len() as u64), "{told:?} bytes were told");
                }
            }
            if asked.is_whole.is_some() {
                return at;
            }
        }
    }
}

/// Field lines, or trailers, up to the empty line.
fn fields(lines: &[u8]) -> Fields {
    let text = lines.split_inclusive(|byte| *byte == b'\n');
    let field = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = line[colon + 1..].trim_ascii().escape_ascii().to_string();
        Some((String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase(), value))
    };
    in_order(text.filter_map(field).collect())
}

/// The same, of what a library has made of it.
fn listed(headers: &HeaderMap) -> Fields {
    in_order(
        headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().escape_ascii().to_string())).collect(),
    )
}

/// By their names, of which a library says no more than the order of those that are alike.
fn in_order(mut fields: Fields) -> Fields {
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

/// A target as a library writes it: with the path that it always has (RFC 9110 §4.2.3).
fn spelled(target: &str) -> String {
    let Some((scheme, rest)) = target.split_once("://").filter(|_| !target.starts_with('/')) else {
        return target.to_owned();
    };
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{}://{host}{slash}{path}", scheme.to_ascii_lowercase())
}

/// The first request that the HTTP library hands out.
fn library(bytes: &[u8]) -> Option<Asked> {
    let heard = Mutex::new(Vec::new());
    serve_by_library(bytes, async |request| {
        Asked::hear(request, &heard).await;
    });
    heard.lock().expect("one thread").drain(..).next()
}
