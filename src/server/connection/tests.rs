use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use super::*;
use crate::server::activity::Busy;
use crate::server::tests::settings;

const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A connection that says good-bye for so long, and what it does meanwhile.
struct Leaving {
    takes: Option<Pin<Box<Sleep>>>,
    time: Duration,
    activity: Arc<Activity>,
    crosses: bool,
    busy: Option<Busy>,
}

impl Future for Leaving {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(takes) = &mut self.takes else { return Poll::Pending };
        takes.as_mut().poll(cx).map(Ok)
    }
}

impl Driven for Leaving {
    type Error = io::Error;

    fn leave(&mut self) {
        self.takes = Some(Box::pin(tokio::time::sleep(self.time)));
        self.busy = self.crosses.then(|| self.activity.begin());
    }

    fn give_up(self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// How long a connection that was used once lasts whose good-bye takes `time`, in seconds.
async fn lasts(time: u64, crosses: bool) -> u64 {
    let metrics = Arc::new(Metrics::new());
    let settings = Arc::new(Settings { keep_alive: KEEP_ALIVE, ..settings() });
    let protocols = Protocols::new(settings, metrics, Drain::new(Duration::ZERO, Duration::ZERO), None);
    let activity = Activity::new(KEEP_ALIVE, KEEP_ALIVE);
    drop(activity.begin());
    let leaving =
        Leaving { takes: None, time: Duration::from_secs(time), activity: Arc::clone(&activity), crosses, busy: None };
    let began = Instant::now();
    protocols.run_to_end(Box::new(leaving), activity).await.unwrap();
    (began.elapsed() - KEEP_ALIVE).as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_crosses_the_good_bye_is_served_to_its_end() {
    assert_eq!(lasts(3, false).await, 3);
    assert_eq!(lasts(60, false).await, GOOD_BYE.as_secs());
    assert_eq!(lasts(60, true).await, 60);
}
