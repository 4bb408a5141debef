use super::*;

fn slot(slots: &Arc<Slots>, load: &Arc<AtomicUsize>) -> Slot {
    let permit = Arc::clone(&slots.free).try_acquire_owned().unwrap();
    slots.take(permit, load)
}

#[test]
fn an_address_gets_its_bound_and_the_place_back_when_one_ends() {
    let metrics = Arc::new(Metrics::new());
    let slots = Slots::new(10, 2, Arc::clone(&metrics));
    let load = Arc::new(AtomicUsize::new(0));
    let client = IpAddr::from([192, 0, 2, 1]);
    let (mut first, mut second, mut third) = (slot(&slots, &load), slot(&slots, &load), slot(&slots, &load));
    assert!(first.count_for(client).is_ok());
    assert!(second.count_for(client).is_ok());
    assert!(third.count_for(client).is_err());
    assert!(third.count_for(IpAddr::from([192, 0, 2, 2])).is_ok(), "another client is bounded by the first");
    drop(first);
    assert!(slot(&slots, &load).count_for(client).is_ok());
    assert!(metrics.encode().contains("limit_hits_total{limit=\"connections_per_address\"} 1"));
}

#[test]
fn neighbours_of_one_ipv6_network_count_as_one() {
    assert_eq!(one_client("2001:db8::1".parse().unwrap()), one_client("2001:db8::ffff:2".parse().unwrap()));
    assert_ne!(one_client("2001:db8::1".parse().unwrap()), one_client("2001:db8:0:1::1".parse().unwrap()));
    assert_eq!(one_client("::ffff:192.0.2.1".parse().unwrap()), IpAddr::from([192, 0, 2, 1]));
}

#[tokio::test]
async fn connections_past_the_bound_wait_and_are_counted() {
    let metrics = Arc::new(Metrics::new());
    let slots = Slots::new(1, 0, Arc::clone(&metrics));
    let load = Arc::new(AtomicUsize::new(0));
    let permit = slots.room().await.unwrap();
    let first = slots.take(permit, &load);
    assert_eq!(load.load(Ordering::Relaxed), 1);
    let waiting = tokio::spawn({
        let slots = Arc::clone(&slots);
        async move { slots.room().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    assert!(waiting.await.unwrap().is_some());
    assert_eq!(load.load(Ordering::Relaxed), 0);
    let text = metrics.encode();
    assert!(text.contains("limit_hits_total{limit=\"connections\"} 1"));
    assert!(text.contains("tidegate_connections 0"));
}
