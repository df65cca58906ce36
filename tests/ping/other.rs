//! A proxy that is another program: what mtg answers, byte for byte but for what is drawn,
//! by code that shares nothing with ours.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use fake_telegram::crypto::{Ctr, hmac_sha256, random, sha256, unix_time};
use fake_telegram::payload::{Reaction, react};
use fake_telegram::secret::{DOMAIN, KEY, classic, fake_tls, padded};
use fake_telegram::wait::run;

use crate::{link, told, words};

/// Seconds by which a hello's time may be off there.
const TOLERANCE: u32 = 5;

/// The head of its ServerHello, up to the random; then what follows the session's id, up to
/// the key.
const HELLO: [u8; 11] = [0x16, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3];
const BEHIND_ID: [u8; 13] = [
    0x13, 0x01, 0x00, 0x00, 0x2e, 0x00, 0x33, 0x00, 0x24, 0x00, 0x1d, 0x00, 0x20,
];
const VERSIONS: [u8; 6] = [0x00, 0x2b, 0x00, 0x02, 0x03, 0x04];
const CHANGE: [u8; 6] = [0x14, 3, 3, 0, 1, 1];

/// Serves one connection a link's form, and panics at what no client does.
fn start(is_fake_tls: bool, tag: [u8; 4], dc: i16) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = stream.try_clone().unwrap();
        let mut read: Box<dyn FnMut(usize) -> Vec<u8>> = match is_fake_tls {
            false => Box::new(move |length| take(&mut reader, length).unwrap()),
            true => {
                greet(&mut stream);
                assert_eq!(take(&mut stream, 6).unwrap(), CHANGE);
                let mut left = Vec::new();
                Box::new(move |length| {
                    while left.len() < length {
                        let (kind, payload) = record(&mut reader);
                        assert_eq!(kind, 0x17);
                        left.extend(payload);
                    }
                    left.drain(..length).collect()
                })
            }
        };
        let (mut from_client, mut to_client) = open(&read(64), tag, dc);
        let mut header = read(4);
        from_client.apply(&mut header);
        let length = u32::from_le_bytes(header.try_into().unwrap()) as usize;
        let mut packet = read(length);
        from_client.apply(&mut packet);
        packet.truncate(length / 4 * 4);
        let Reaction::Answer(answer) = react(packet) else {
            panic!("that is no question");
        };
        let padding = if tag == [0xdd; 4] { 3 } else { 0 };
        let mut out = ((answer.len() + padding) as u32).to_le_bytes().to_vec();
        out.extend(answer);
        out.extend(vec![7; padding]);
        to_client.apply(&mut out);
        for part in out.chunks(30) {
            if is_fake_tls {
                let [high, low] = (part.len() as u16).to_be_bytes();
                stream.write_all(&[0x17, 3, 3, high, low]).unwrap();
            }
            stream.write_all(part).unwrap();
        }
        // It has what it wanted, and leaves.
        let _ = stream.read(&mut [0; 16]);
    });
    (address, serving)
}

fn take(stream: &mut TcpStream, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn record(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let head = take(stream, 5).unwrap();
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    (head[0], take(stream, length).unwrap())
}

/// Checks the hello, and answers it.
fn greet(stream: &mut TcpStream) {
    let (kind, message) = record(stream);
    assert_eq!(kind, 0x16);
    // A hello of today's browsers: with a post-quantum key.
    assert!(message.len() > 1500, "{}", message.len());
    let has = |bytes: &[u8]| message.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(DOMAIN.as_bytes()), "no server name");
    let random_of_client: [u8; 32] = message[6..38].try_into().unwrap();
    let mut zeroed = vec![0x16, 3, 1];
    zeroed.extend((message.len() as u16).to_be_bytes());
    zeroed.extend(&message);
    zeroed[11..43].fill(0);
    let mut digest = hmac_sha256(&KEY, &[&zeroed]);
    for (byte, sent) in digest.iter_mut().zip(random_of_client) {
        *byte ^= sent;
    }
    assert_eq!(digest[..28], [0; 28], "another secret");
    let time = u32::from_le_bytes(digest[28..].try_into().unwrap());
    assert!(unix_time().abs_diff(time) <= TOLERANCE);

    let mut answer = HELLO.to_vec();
    answer.extend([0; 32]);
    answer.push(32);
    answer.extend(&message[39..71]);
    answer.extend(BEHIND_ID);
    answer.extend(random::<32>());
    answer.extend(VERSIONS);
    answer.extend(CHANGE);
    answer.extend([0x17, 3, 3, 0x04, 0xd2]);
    answer.extend((0..1234).map(|at| at as u8));
    let digest = hmac_sha256(&KEY, &[&random_of_client, &answer]);
    answer[11..43].copy_from_slice(&digest);
    for part in answer.chunks(100) {
        stream.write_all(part).unwrap();
    }
}

/// The ciphers of a connection with this header.
fn open(header: &[u8], tag: [u8; 4], dc: i16) -> (Ctr, Ctr) {
    let cipher = |bytes: &[u8]| {
        let key = sha256(&[&bytes[..32], &KEY]);
        Ctr::new(&key, bytes[32..48].try_into().unwrap())
    };
    let mut reversed = header[8..56].to_vec();
    let mut from_client = cipher(&reversed);
    reversed.reverse();
    let mut plain = header.to_vec();
    from_client.apply(&mut plain);
    assert_eq!(plain[56..60], tag);
    assert_eq!(plain[60..62], dc.to_le_bytes());
    (from_client, cipher(&reversed))
}

#[test]
fn another_program_s_proxy_is_one() {
    run(async {
        for (is_fake_tls, tag, dc, secret) in [
            (true, [0xdd; 4], 2, fake_tls(&KEY, DOMAIN)),
            (false, [0xdd; 4], -3, padded(&KEY)),
            (false, [0xee; 4], 203, classic(&KEY)),
        ] {
            let (address, serving) = start(is_fake_tls, tag, dc);
            let (status, told) = told(&words(&link(address, &secret), &format!("--dc {dc}"))).await;
            assert_eq!(status, 0, "{told}");
            assert_eq!(told["links"][0]["pings"][0]["dc"], dc);
            serving.join().unwrap();
        }
    });
}
