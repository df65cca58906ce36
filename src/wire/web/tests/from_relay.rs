use proptest::prelude::*;

use super::super::{FrameReader, HEADER_LEN};
use super::super::{
    Piece, RelayFault, RelayFrame, RelayReader, StreamId, WELCOME, close, data_header, open, pong,
    token_in_page, window,
};

fn id(id: u32) -> StreamId {
    StreamId::new(id).unwrap()
}

fn all(pieces: &[&[u8]]) -> Result<Vec<RelayFrame>, RelayFault> {
    let (mut reader, mut frames) = (RelayReader::default(), Vec::new());
    for piece in pieces {
        reader.push(piece);
        while let Some(frame) = reader.frame()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

#[test]
fn what_a_relay_sends_is_read_however_it_is_cut() {
    let mut sent = WELCOME.to_vec();
    sent.extend(data_header(id(7), 3));
    sent.extend(b"abc");
    sent.extend(window(id(7), 70_000));
    sent.extend([5, 0, 0, 0, 0, 0, 0, 2, 1, 2]);
    sent.extend(close(id(0xff_ffff)));
    sent.extend([0x1f, 0, 0, 0, 0, 0, 0, 1, 9]);
    let expected = || {
        Ok(vec![
            RelayFrame::Welcome,
            RelayFrame::Data {
                stream: id(7),
                bytes: b"abc".to_vec(),
            },
            RelayFrame::Window {
                stream: id(7),
                credit: 70_000,
            },
            RelayFrame::Ping(vec![1, 2]),
            RelayFrame::Close(id(0xff_ffff)),
            RelayFrame::Bye,
        ])
    };
    for cut in 0..=sent.len() {
        let (head, tail) = sent.split_at(cut);
        assert_eq!(all(&[head, tail]), expected());
    }
    assert_eq!(all(&sent.chunks(1).collect::<Vec<_>>()), expected());
}

#[test]
fn what_no_relay_sends_is_refused() {
    for (kind, stream, length) in [
        (1, 1, 0),
        (2, 0, 1),
        (2, 1, 0),
        (2, 1, (1 << 20) + 1),
        (3, 1, 1),
        (4, 1, 3),
        (5, 1, 0),
        (5, 0, 65),
        (6, 0, 0),
        (0x10, 0, 1),
        (0x12, 0, 0),
    ] {
        let mut frame = vec![kind, 0, 0, stream];
        frame.extend(u32::to_be_bytes(length));
        assert_eq!(all(&[&frame]), Err(RelayFault(kind)), "{kind} {length}");
    }
}

#[test]
fn a_relay_takes_what_an_app_sends() {
    let mut sent = open(id(3)).to_vec();
    sent.extend(pong(b"xy"));
    assert_eq!(sent.len(), 2 * HEADER_LEN + 2);
    let (mut reader, mut input) = (FrameReader::default(), &mut sent[..]);
    assert_eq!(reader.next(&mut input), Ok(Some(Piece::Open(id(3)))));
    assert_eq!(reader.next(&mut input), Ok(Some(Piece::Pong)));
    assert_eq!(reader.next(&mut input), Ok(None));
    assert_eq!(reader.end_batch(), Ok(()));
}

#[test]
fn a_page_has_its_token_between_quotes() {
    let token = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP-";
    let page = format!(
        "<p class=\"x\"><script>t=\"{token}\";u=\"{}\"",
        "A".repeat(43)
    );
    assert_eq!(token_in_page(page.as_bytes()), Some(token));
    for none in ["", "\"", &token[1..], &format!("\"{}\"", "é".repeat(21))] {
        assert_eq!(token_in_page(none.as_bytes()), None);
    }
}

proptest! {
    #[test]
    fn any_bytes(pieces: Vec<Vec<u8>>) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let _ = all(&pieces);
    }
}
