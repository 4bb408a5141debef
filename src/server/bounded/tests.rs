use super::*;

const READ: usize = 64 * 1024;

#[tokio::test]
async fn a_read_brings_no_more_than_the_bound_and_nothing_is_lost() {
    let sent: Vec<u8> = (0..200_000u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let mut bounded = Bounded::new(&sent[..], READ);
    let (mut got, mut reads, mut buffer) = (Vec::new(), Vec::new(), vec![0; 128 * 1024]);
    loop {
        let read = bounded.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        reads.push(read);
        got.extend_from_slice(&buffer[..read]);
    }
    assert!(got == sent);
    assert_eq!(reads, [READ, READ, READ, 200_000 - 3 * READ]);
}
