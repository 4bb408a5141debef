use http_body_util::BodyExt;

use super::*;

async fn read(mut body: Body) -> Option<Result<Bytes, String>> {
    let frame = body.frame().await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()).map_err(|error| error.to_string()))
}

#[tokio::test]
async fn an_untouched_body_can_be_lent_twice() {
    let lease = Lease::new(Body::full("layer"));
    drop(lease.lend());
    assert_eq!(lease.progress(), Progress::Untouched);
    assert_eq!(read(lease.lend()).await, Some(Ok(Bytes::from("layer"))));
    assert_eq!(lease.progress(), Progress::Ended);
    lease.ended().await;
}

#[tokio::test]
async fn a_loan_fails_once_the_body_is_taken_back() {
    let lease = Lease::new(Body::full("layer"));
    let loan = lease.lend();
    let back = lease.reclaim();
    assert_eq!(read(loan).await, Some(Err(TakenBack.to_string())));
    assert_eq!(read(back.unwrap()).await, Some(Ok(Bytes::from("layer"))));
}

/// A client that sends nothing and never ends.
struct Silent;

impl HttpBody for Silent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn taking_back_wakes_the_reader_that_waits_for_the_client() {
    let lease = Lease::new(Body::wrap(Silent));
    let waiting = tokio::spawn(read(lease.lend()));
    tokio::task::yield_now().await;
    assert!(lease.reclaim().is_some());
    assert_eq!(waiting.await.unwrap(), Some(Err(TakenBack.to_string())));
}

#[tokio::test]
async fn an_empty_body_has_ended_before_it_is_read() {
    let lease = Lease::new(Body::empty());
    lease.ended().await;
    assert!(lease.reclaim().is_none());
}

/// A client that breaks off, and says nothing when it is asked again.
struct Broken(bool, Option<Malformed>);

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(
            (!std::mem::replace(&mut self.0, true))
                .then(|| Err(self.1.map_or_else(|| "reset".into(), BodyError::from))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.0
    }
}

#[tokio::test]
async fn a_body_that_failed_never_ends_well() {
    let fault = Malformed("a chunk's size is not a number");
    for (why, progress) in [(None, Progress::Failed), (Some(fault), Progress::Malformed(fault))] {
        let lease = Lease::new(Body::wrap(Broken(false, why)));
        let mut loan = lease.lend();
        assert!(loan.frame().await.unwrap().is_err());
        assert!(!loan.is_end_stream());
        assert!(loan.frame().await.unwrap().is_err());
        assert_eq!(lease.progress(), progress);
        lease.ended().await;
        assert!(lease.reclaim().is_none());
    }
}

#[tokio::test]
async fn a_loan_that_is_dropped_is_the_end_of_waiting() {
    let lease = Lease::new(Body::wrap(Silent));
    drop(lease.lend());
    lease.ended().await;
}

#[tokio::test]
async fn what_is_left_of_a_body_is_never_lent_as_the_whole() {
    for parts in [1, 2] {
        let (mut sender, body) = http_body_util::channel::Channel::<Bytes, BodyError>::new(2);
        for _ in 0..parts {
            sender.send_data(Bytes::from("layer")).await.unwrap();
        }
        drop(sender);
        let lease = Lease::new(Body::wrap(body));
        assert_eq!(read(lease.lend()).await, Some(Ok(Bytes::from("layer"))));
        let again = lease.lend();
        assert!(!again.is_end_stream());
        assert_eq!(again.size_hint().exact(), None);
        assert_eq!(read(again).await, Some(Err(TakenBack.to_string())));
    }
    let empty = Lease::new(Body::empty());
    assert_eq!(read(empty.lend()).await, None);
    assert_eq!(read(empty.lend()).await, None, "of nothing there is all");
}
