use super::*;

const READ: usize = 64 * 1024;

/// As many bytes of `sent` at a time, whatever the reader has room for: as TLS gives its records.
struct Records<'a> {
    sent: &'a [u8],
    record: usize,
}

impl AsyncRead for Records<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (now, later) = self.sent.split_at(self.record.min(buf.remaining()).min(self.sent.len()));
        buf.put_slice(now);
        self.sent = later;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_read_gathers_records_up_to_the_bound_and_none_is_lost() {
    let sent: Vec<u8> = (0..200_000u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let mut bounded = Bounded::new(Records { sent: &sent, record: 16 * 1024 }, READ);
    let (mut got, mut reads, mut buffer) = (Vec::new(), Vec::new(), vec![0; 128 * 1024]);
    loop {
        let read = bounded.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        reads.push(read);
        got.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(got, sent);
    assert_eq!(reads, [READ, READ, READ, 200_000 - 3 * READ]);
}

#[tokio::test]
async fn what_came_before_an_error_is_given_before_it() {
    let broken = broken_connection();
    let mut bounded = Bounded::new(AsyncReadExt::chain(&b"head"[..], broken), READ);
    let mut buffer = [0; 16];
    assert_eq!(bounded.read(&mut buffer).await.unwrap(), 4);
    assert_eq!(bounded.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

fn broken_connection() -> impl AsyncRead + Unpin {
    struct Broken;
    impl AsyncRead for Broken {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }
    Broken
}
