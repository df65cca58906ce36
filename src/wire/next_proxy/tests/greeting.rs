use super::super::*;
use crate::client_hello::{self, Parsed};
use crate::fake_tls::{CHANGE_CIPHER_SPEC, DECODE_ERROR_ALERT, record_header};
use crate::secret::{Domain, Secret, SharedSecret};
use crate::server_hello::tests::counting;
use crate::server_hello::{FlightProfile, answer};

const SECRET: Secret = Secret([0x5a; 16]);
const TIME: u32 = 1_795_000_000;

fn domain() -> Domain {
    "www.example.com".parse().unwrap()
}

/// Our hello, who judges the answer, and the answer of a proxy with `theirs`.
fn talk(theirs: &Secret) -> (Vec<u8>, ProxyAnswer, Vec<u8>) {
    let mut random = counting();
    let (hello, reader) = greet(&domain(), &SECRET, TIME, &mut random);
    let Ok(Parsed::Complete { value, consumed }) = client_hello::parse(&hello) else {
        panic!("it cannot be read");
    };
    assert_eq!(consumed, hello.len());
    let profile = FlightProfile::unmeasured(&domain(), theirs);
    let answer = answer(&value, theirs, &profile, &mut random);
    (hello, reader, answer)
}

fn take_all(mut reader: ProxyAnswer, answer: &[u8], size: usize) -> Result<bool, GreetingError> {
    for mut piece in answer.chunks(size) {
        if reader.take(&mut piece)? {
            return Ok(true);
        }
        assert!(piece.is_empty());
    }
    Ok(false)
}

#[test]
fn our_own_server_takes_the_hello() {
    let mut random = counting();
    for time in [0, 1, TIME, u32::MAX] {
        let (hello, _) = greet(&domain(), &SECRET, time, &mut random);
        let Ok(Parsed::Complete { value, .. }) = client_hello::parse(&hello) else {
            panic!("it cannot be read");
        };
        assert_eq!(value.sni, Some(domain()));
        assert_eq!(client_hello::verify(&hello, &value, &SECRET), Some(time));
        let other = Secret([0x5b; 16]);
        assert_eq!(client_hello::verify(&hello, &value, &other), None);
    }
}

#[test]
fn the_answer_comes_in_any_pieces_and_what_follows_is_left() {
    let (_, first, mut answer) = talk(&SECRET);
    let end = answer.len();
    answer.extend(record_header(3));
    for size in [1, 2, 5, 100, 10_000] {
        let (mut reader, mut taken) = (first.clone(), 0);
        for piece in answer.chunks(size) {
            let mut input = piece;
            let is_whole = reader.take(&mut input).unwrap();
            taken += piece.len() - input.len();
            if is_whole {
                break;
            }
        }
        assert_eq!(taken, end, "{size}");
    }
}

/// Answers of another implementation, which these clients took.
#[test]
fn captured_answers_are_right() {
    for json in [
        include_str!("../../../../tests/fixtures/td-ee-0.json"),
        include_str!("../../../../tests/fixtures/kurigram-ee-0.json"),
    ] {
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        let hex = |value: &serde_json::Value| {
            let text = value.as_str().unwrap();
            data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
        };
        let hello = hex(&json["client_hello"]["hex"]);
        let answer = hex(&json["server_flight_hex"]);
        let secret: SharedSecret = json["secret"].as_str().unwrap().parse().unwrap();
        let random = *hello[11..].first_chunk().unwrap();
        for size in [1, 100, answer.len()] {
            let reader = ProxyAnswer::new(&secret.key, random);
            assert_eq!(take_all(reader, &answer, size), Ok(true));
        }
        let reader = ProxyAnswer::new(&secret.key, [1; 32]);
        assert_eq!(
            take_all(reader, &answer, 99),
            Err(GreetingError::WrongDigest)
        );
    }
}

#[test]
fn an_answer_without_the_secret_is_a_web_sites() {
    let (_, reader, answer) = talk(&Secret([0x5b; 16]));
    assert_eq!(
        take_all(reader, &answer, 99),
        Err(GreetingError::WrongDigest)
    );
    let (_, reader, answer) = talk(&SECRET);
    for at in (0..answer.len()).step_by(17) {
        let mut changed = answer.clone();
        changed[at] ^= 0x80;
        assert_ne!(take_all(reader.clone(), &changed, 500), Ok(true), "{at}");
    }
}

#[test]
fn what_is_no_answer_is_refused_as_soon_as_it_shows() {
    use GreetingError::*;
    let hello = [&[0x16, 3, 3, 0, 60][..], &[2; 60]].concat();
    let longest = [&[0x17, 3, 3, 0x41, 0x01][..], &[0; 9]].concat();
    let cases: [(Vec<u8>, GreetingError); 8] = [
        (DECODE_ERROR_ALERT.to_vec(), Alert(0x32)),
        (b"HTTP/1.1 400".to_vec(), NotAnAnswer),
        (vec![0x16, 3, 1], NotAnAnswer),
        (vec![0x16, 3, 3, 0, 42], NotAnAnswer),
        (vec![0x16, 3, 3, 0xff, 0xff], NotAnAnswer),
        // As a server of TLS 1.2 goes on.
        ([&hello, &[0x16, 3, 3][..]].concat(), NotAnAnswer),
        (
            [&hello, &CHANGE_CIPHER_SPEC[..], &[0x16]].concat(),
            NotAnAnswer,
        ),
        (
            [&hello, &CHANGE_CIPHER_SPEC[..], &longest].concat(),
            NotAnAnswer,
        ),
    ];
    let (_, reader, _) = talk(&SECRET);
    for (bytes, error) in cases {
        assert_eq!(
            take_all(reader.clone(), &bytes, bytes.len()),
            Err(error),
            "{bytes:02x?}"
        );
    }
    let (_, reader, _) = talk(&SECRET);
    let whole = [&hello, &CHANGE_CIPHER_SPEC[..], &record_header(2), b"ab"].concat();
    assert_eq!(take_all(reader, &whole, 3), Err(WrongDigest));
}
