use proptest::prelude::*;

use super::*;

/// The data, and how many bytes were the body's; `None`: there is more to come.
type Read = Option<(Vec<u8>, usize)>;

/// Reads a body that comes in pieces, without its framing.
fn read(framing: Framing, pieces: &[&[u8]]) -> Result<Read, BodyError> {
    let (mut body, mut data, mut used) = (BodyReader::new(framing), Vec::new(), 0);
    for piece in pieces {
        let mut copy = piece.to_vec();
        let mut input = copy.as_mut_slice();
        while let Some(part) = body.next(&mut input)? {
            assert!(!part.is_empty());
            data.extend_from_slice(part);
        }
        assert!(input.is_empty() || body.is_done());
        used += piece.len() - input.len();
    }
    Ok(body.is_done().then_some((data, used)))
}

/// The same with it: bytes that are the body's, as far as they are fine.
fn measure(framing: Framing, pieces: &[&[u8]]) -> (usize, bool, bool) {
    let (mut body, mut used) = (BodyReader::new(framing), 0);
    for piece in pieces {
        match body.measure(piece) {
            Ok(length) => used += length,
            Err((length, BodyError)) => return (used + length, false, true),
        }
    }
    (used, body.is_done(), false)
}

#[test]
fn chunks() {
    let whole = |text: &str| read(Framing::Chunked, &[text.as_bytes()]);
    let data = |text: &str| {
        whole(text)
            .unwrap()
            .map(|(data, _)| String::from_utf8(data).unwrap())
    };
    for (text, expected) in [
        ("3\r\nabc\r\n0\r\n\r\n", "abc"),
        ("0\r\n\r\n", ""),
        ("000\r\n\r\n", ""),
        (
            "A;x=\"y\"; z\r\n0123456789\r\n1\r\na\r\n0;q\r\n\r\n",
            "0123456789a",
        ),
        ("1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n", "a"),
    ] {
        assert_eq!(data(text).as_deref(), Some(expected), "{text:?}");
        let behind = format!("{text}GET /");
        let (_, used) = whole(&behind).unwrap().unwrap();
        assert_eq!(used, text.len());
        for cut in 0..text.len() {
            assert_eq!(data(&text[..cut]), None, "{text:?} {cut}");
        }
    }
    for bad in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        " 1\r\n",
        "1 \r\n",
        "0x1\r\n",
        "1\nab",
        "1\rx",
        "1;a\nb",
        "1;a\0",
        "1\r\nab",
        "1\r\na\n",
        "1\r\na\rx",
        "1\r\na\r\n\r\n",
        "0\r\n X: y\r\n",
        "0\r\nX: y\n",
        "0\r\nX\0: y\r\n",
        "0\r\n\n",
        "fffffffffffffffff\r\n",
        "0000000000000001\r\n",
    ] {
        assert_eq!(whole(bad), Err(BodyError), "{bad:?}");
    }
}

#[test]
fn framing_has_bounds() {
    let whole = |text: &str| read(Framing::Chunked, &[text.as_bytes()]);
    let extended = |len: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(len));
    assert!(whole(&extended(MAX_SIZE_LINE - 10)).unwrap().is_some());
    assert_eq!(whole(&extended(MAX_SIZE_LINE)), Err(BodyError));
    let trailed = |count: usize| format!("0\r\n{}\r\n", "ab: cd\r\n".repeat(count));
    assert!(whole(&trailed(MAX_TRAILERS / 8 - 1)).unwrap().is_some());
    assert_eq!(whole(&trailed(MAX_TRAILERS / 8 + 1)), Err(BodyError));
    // Chunks of one byte may be as many as they like.
    assert!(
        whole(&format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(10_000)))
            .unwrap()
            .is_some()
    );
}

#[test]
fn lengths() {
    let length = |len, text: &str| read(Framing::Length(len), &[text.as_bytes()]).unwrap();
    assert_eq!(length(0, "abc"), Some((Vec::new(), 0)));
    assert_eq!(length(3, "abcd"), Some((b"abc".to_vec(), 3)));
    assert_eq!(length(3, "ab"), None);
    let mut endless = BodyReader::new(Framing::UntilClose);
    assert_eq!(endless.measure(b"abc"), Ok(3));
    assert!(!endless.is_done() && endless.may_end());
    let mut chunked = BodyReader::new(Framing::Chunked);
    assert_eq!(chunked.measure(b"3\r\nab"), Ok(5));
    assert!(!chunked.may_end());
}

/// How the end of an answer is told, by its head.
#[test]
fn answers() {
    use Framing::{Chunked, Length, UntilClose};

    let framing = |fields: &str, status, to_head| {
        let head = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
        Framing::of_response(Fields::of(head.as_bytes()), status, to_head)
    };
    let (chunked, five) = ("Transfer-Encoding: Chunked\r\n", "Content-Length: 5\r\n");
    for (fields, status, to_head, expected) in [
        ("", 200, false, Ok(UntilClose)),
        (five, 200, false, Ok(Length(5))),
        (five, 200, true, Ok(Length(0))),
        (five, 304, false, Ok(Length(0))),
        (chunked, 204, false, Ok(Length(0))),
        (chunked, 103, false, Ok(Length(0))),
        (chunked, 200, false, Ok(Chunked)),
        (chunked, 200, true, Ok(Length(0))),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            200,
            false,
            Ok(UntilClose),
        ),
        (
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            200,
            false,
            Ok(Length(5)),
        ),
        (
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            200,
            false,
            Err(HttpError::Malformed),
        ),
        (
            "Content-Length: x\r\n",
            200,
            false,
            Err(HttpError::Malformed),
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            200,
            false,
            Err(HttpError::Malformed),
        ),
    ] {
        assert_eq!(
            framing(fields, status, to_head),
            expected,
            "{status} {fields}"
        );
    }
}

/// Chunks of these lengths, with extensions or not, and trailers.
fn chunked(chunks: &[(Vec<u8>, bool)], trailers: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut text, mut data) = (Vec::new(), Vec::new());
    for (chunk, is_extended) in chunks {
        let extension = if *is_extended { ";a=\"b\"" } else { "" };
        text.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        text.extend_from_slice(chunk);
        text.extend_from_slice(b"\r\n");
        data.extend_from_slice(chunk);
    }
    text.extend_from_slice(b"0\r\n");
    text.extend_from_slice("X: y\r\n".repeat(trailers).as_bytes());
    text.extend_from_slice(b"\r\n");
    (text, data)
}

fn cut<'a>(text: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = text;
    for cut in cuts {
        let (piece, behind) = rest.split_at(rest.len().min(*cut));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}

proptest! {
    #[test]
    fn any_cut_of_chunks(
        chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..40), any::<bool>()), 0..5),
        trailers in 0usize..3,
        behind in prop::collection::vec(any::<u8>(), 0..10),
        cuts in prop::collection::vec(0usize..30, 0..20),
    ) {
        let (mut text, data) = chunked(&chunks, trailers);
        let len = text.len();
        text.extend_from_slice(&behind);
        let pieces = cut(&text, &cuts);
        prop_assert_eq!(read(Framing::Chunked, &pieces), Ok(Some((data, len))));
        prop_assert_eq!(measure(Framing::Chunked, &pieces), (len, true, false));
    }

    /// Whatever comes, in whatever pieces: with framing and without, the same is its end.
    #[test]
    fn any_bytes_in_any_pieces(
        text in "[0-2a;\r\n: ]{0,40}",
        cuts in prop::collection::vec(0usize..10, 0..20),
        length in prop::option::of(0u64..50),
    ) {
        let framing = length.map_or(Framing::Chunked, Framing::Length);
        let pieces = cut(text.as_bytes(), &cuts);
        let whole = [text.as_bytes()];
        prop_assert_eq!(read(framing, &pieces), read(framing, &whole));
        let (used, is_done, is_bad) = measure(framing, &pieces);
        let outcome = measure(framing, &whole);
        prop_assert_eq!((is_done, is_bad), (outcome.1, outcome.2));
        prop_assert!(used <= text.len());
        match read(framing, &whole) {
            Ok(Some((_, len))) => prop_assert_eq!((used, is_done), (len, true)),
            Ok(None) => prop_assert_eq!((used, is_done, is_bad), (text.len(), false, false)),
            Err(BodyError) => prop_assert!(is_bad),
        }
    }
}
