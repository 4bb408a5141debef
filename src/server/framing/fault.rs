//! What is said of a fault: to the client, who can mend it, and to the log.

use crate::telemetry::labels::Fault;

/// A few words on it. They quote nothing of the request.
pub(super) fn words(fault: Fault) -> &'static str {
    match fault {
        Fault::BlankLine => "empty lines before the request",
        Fault::Method => "the method is not a token",
        Fault::Target => "the request target is not one this method can have",
        Fault::Version => "the version is neither HTTP/1.1 nor HTTP/1.0",
        Fault::LineEnding => "a line does not end with CR LF",
        Fault::FieldName => "a field name is not a token",
        Fault::FieldValue => "a control character stands in a field",
        Fault::Fold => "a field goes on in a second line",
        Fault::ContentLength => "the Content-Length is not a number",
        Fault::ContentLengths => "there is more than one Content-Length",
        Fault::TransferEncoding => "the Transfer-Encoding is not chunked alone",
        Fault::OldTransferEncoding => "HTTP/1.0 has no Transfer-Encoding",
        Fault::TwoLengths => "there is a Content-Length beside the Transfer-Encoding",
        Fault::ChunkSize => "a chunk's size is not a number",
        Fault::ChunkExtension => "a chunk's extension cannot be read",
        Fault::ChunkEnd => "a chunk is not as long as it says",
        Fault::Trailer => "a field stands in the trailers that must not",
        Fault::Http2 => "the rules of HTTP/2 are broken",
        Fault::Upgrade => "bytes follow a request for another protocol",
        Fault::Parser => "the request cannot be parsed",
    }
}
