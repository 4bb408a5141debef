use proptest::prelude::*;

use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn read(reader: &mut Reader, bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    reader.read(bytes, |frame| frames.push(frame));
    frames
}

#[test]
fn the_preface_is_no_frame() {
    let mut reader = Reader::of_client();
    let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat();
    let frames = read(&mut reader, &bytes);
    assert_eq!(frames, [Frame { length: 0, kind: 4, flags: 0, stream: 0, code: None }]);
    assert!(reader.is_between_frames());
}

#[test]
fn the_reserved_bit_is_not_of_the_stream() {
    assert_eq!(read(&mut Reader::of_server(), &frame(0, 1, 0x8000_0003, b"x"))[0].stream, 3);
}

#[test]
fn the_codes_of_resets_and_good_byes_are_read() {
    let mut reader = Reader::of_server();
    assert_eq!(read(&mut reader, &frame(RST_STREAM, 0, 1, &7u32.to_be_bytes()))[0].code, Some(7));
    let payload = [&5u32.to_be_bytes()[..], &11u32.to_be_bytes(), b"calm"].concat();
    assert_eq!(read(&mut reader, &frame(GOAWAY, 0, 0, &payload))[0].code, Some(11));
    // One of the wrong size is passed on for h2 to refuse, and what follows is still understood.
    assert_eq!(read(&mut reader, &frame(RST_STREAM, 0, 1, b"12345"))[0].code, None);
    assert_eq!(read(&mut reader, &frame(6, 0, 0, &[0; 8]))[0].kind, 6);
}

proptest! {
    #[test]
    fn frames_are_found_however_the_bytes_are_cut(
        frames in prop::collection::vec((0u8..10, any::<u8>(), 0u32..0x8000_0000, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
        cuts in prop::collection::vec(1usize..30, 1..50),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload)).collect();
        let whole = read(&mut Reader::of_server(), &bytes);
        prop_assert_eq!(whole.len(), frames.len());
        for (found, (kind, flags, stream, payload)) in whole.iter().zip(&frames) {
            prop_assert_eq!((found.kind, found.flags, found.stream, found.length as usize), (*kind, *flags, *stream, payload.len()));
        }
        let (mut reader, mut rest, mut pieces) = (Reader::of_server(), &bytes[..], Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, left) = rest.split_at(rest.len().min(*cut));
            pieces.extend(read(&mut reader, piece));
            rest = left;
        }
        prop_assert_eq!(pieces, whole);
        prop_assert!(reader.is_between_frames());
    }
}
