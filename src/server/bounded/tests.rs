use super::*;

#[tokio::test]
async fn no_read_is_larger_than_the_bound_and_none_is_lost() {
    let sent: Vec<u8> = (0..200_000u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let mut bounded = Bounded::new(&sent[..], PLAIN);
    let (mut got, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let read = bounded.read(&mut buffer).await.unwrap();
        assert!(read as u64 <= PLAIN, "a read of {read} bytes");
        if read == 0 {
            break;
        }
        got.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(got, sent);
}
