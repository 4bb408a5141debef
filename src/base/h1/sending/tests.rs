use std::task::Waker;

use http_body::Frame;

use super::*;

const MOST: usize = 1024;

/// Takes all it is given, and gets nothing of it out.
struct Clogged(usize);

impl AsyncWrite for Clogged {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0 += buf.len();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[test]
fn nothing_is_taken_for_who_has_not_got_what_was_taken_before() {
    let (mut sender, body) = http_body_util::channel::Channel::<Bytes, BodyError>::new(8);
    for _ in 0..8 {
        sender.try_send(Frame::data(Bytes::from_static(&[7; MOST]))).unwrap();
    }
    let mut sending = Sending::new(Bytes::new(), Framing::UntilClose, Body::wrap(body), Vec::new());
    let mut io = Clogged(0);
    for _turn in 0..3 {
        assert!(sending.poll(&mut Context::from_waker(Waker::noop()), &mut io, MOST).is_pending());
    }
    assert_eq!(io.0, MOST);
}
