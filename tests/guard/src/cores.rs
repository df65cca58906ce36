//! Pure cores over memory, each for some rounds and then for twice as many: what is
//! made before the first round is in both counts.

use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::process::Command;

use fake_telegram::harness::TemporaryDirectory;
use fake_telegram::secret::KEY;
use smol_mtproxy_ciphers::{CbcDecryptor, CbcEncryptor, ChecksumKind, CtrStream, StreamKey};
use smol_mtproxy_wire::client_hello::{self, ClientHello, Parsed};
use smol_mtproxy_wire::fake_tls::{RecordReader, record_header};
use smol_mtproxy_wire::frames::Frames;
use smol_mtproxy_wire::full::{FrameDecoder, FrameEncoder};
use smol_mtproxy_wire::link::packets::{PacketReader, packet_header};
use smol_mtproxy_wire::link::whole::{Limits, Whole};
use smol_mtproxy_wire::link::window::{Sizes, Uptake, Window};
use smol_mtproxy_wire::link::{Decoder, Frame, Hello, LinkSide, data_header};
use smol_mtproxy_wire::obfuscated2;
use smol_mtproxy_wire::packet_meter::PacketCutter;
use smol_mtproxy_wire::rpc::{ProxyReq, RpcDecoder};
use smol_mtproxy_wire::secret::Secret;
use smol_mtproxy_wire::server_hello::{FlightProfile, answer};
use smol_mtproxy_wire::transport::{MAX_PACKET, Transport};
use smol_mtproxy_wire::web::{self, CreditFromApp, StreamId};
use smol_mtproxy_wire::websocket::{ClientFrameReader, ClientPiece, FrameReader, message_header};

use crate::callgrind;
use crate::figures::{CORE, Figures};

struct Core {
    name: &'static str,
    rounds: u32,
    run: fn(u32),
}

const fn core(name: &'static str, rounds: u32, run: fn(u32)) -> Core {
    Core { name, rounds, run }
}

const CORES: &[Core] = &[
    core("ctr, 64 KiB", 8, ctr),
    core("cbc, 64 KiB there and back", 8, cbc),
    core("obfuscated header", 64, header),
    core("packet headers, abridged, 64 packets", 32, |rounds| {
        packet_headers(rounds, Transport::Abridged);
    }),
    core("packet headers, intermediate, 64 packets", 32, |rounds| {
        packet_headers(rounds, Transport::Intermediate);
    }),
    core("packet headers, padded, 64 packets", 32, |rounds| {
        packet_headers(rounds, Transport::Padded);
    }),
    core("padded headers of a stream, 64 KiB", 16, frames),
    core(
        "full frames, 64 KiB in 1 KiB, there and back",
        8,
        |rounds| {
            full_frames(rounds, ChecksumKind::Crc32);
        },
    ),
    core("full frames with crc32c, the same", 8, |rounds| {
        full_frames(rounds, ChecksumKind::Crc32c);
    }),
    core("WebSocket messages, 64 of 1 KiB", 64, messages),
    core("WebSocket frames, 64 KiB in 4 KiB", 64, web_frames),
    core("WEB frames, 64 KiB in 16 KiB, unmasked", 64, app_frames),
    core("rpc answers, 64 of 1 KiB", 16, rpc_answers),
    core("rpc request", 64, rpc_request),
    core("fake-TLS records, 64 KiB", 64, records),
    core("client hello", 16, hello),
    core("server flight", 8, flight),
    core("link frames, 64 of 1 KiB and credit", 32, link_frames),
    core("link packets, 64 of 1 KiB", 32, link_packets),
    core("link windows, 8 frames", 240, |rounds| {
        assert!(windows(rounds.max(3)) > 0);
    }),
    core("room of buffers, a step of 64 packets", 400, |rounds| {
        black_box(smol_mtproxy::testing::claims(rounds));
    }),
    #[cfg(feature = "tls")]
    core("TLS record, 16 KiB there and back", 8, |rounds| {
        tls_records(rounds);
    }),
];

/// What this processor shows in here, and the figures of cores whose name begins so.
pub fn measure(wanted: &str) -> io::Result<(String, Figures)> {
    let directory = TemporaryDirectory::new();
    let output = directory.path().join("cores");
    let words = callgrind::words(&output)?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg("cores").arg(wanted);
    let done = command.output()?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(io::Error::other(format!(
            "the cores under callgrind: {said}"
        )));
    }
    let isa = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    let mut figures = Figures::new();
    // Each core has three parts: what is before it, a number of rounds, and twice
    // that.
    for (number, core) in chosen(wanted).enumerate() {
        let once = callgrind::part(&output, 3 * number + 2)?;
        let twice = callgrind::part(&output, 3 * number + 3)?;
        let each = twice.saturating_sub(once) / u64::from(core.rounds);
        figures.insert(format!("{CORE}{}", core.name), each);
    }
    Ok((isa, figures))
}

fn chosen(wanted: &str) -> impl Iterator<Item = &'static Core> {
    CORES
        .iter()
        .filter(move |core| format!("{CORE}{}", core.name).starts_with(wanted))
}

/// What callgrind runs; the one word is how the names begin.
pub fn run(words: &[String]) {
    println!("{}", isa());
    for core in chosen(words.first().map_or("", String::as_str)) {
        // What is made once in the life of the process.
        (core.run)(1);
        callgrind::end_of_part();
        (core.run)(core.rounds);
        callgrind::end_of_part();
        (core.run)(2 * core.rounds);
        callgrind::end_of_part();
    }
}

/// Of the instructions that ciphers and copying are chosen by, those that are there:
/// inside of valgrind, which does not know all.
fn isa() -> String {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("aes", is_x86_feature_detected!("aes")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("sha", is_x86_feature_detected!("sha")),
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
    ];
    #[cfg(target_arch = "aarch64")]
    let known = [
        ("aes", std::arch::is_aarch64_feature_detected!("aes")),
        ("crc", std::arch::is_aarch64_feature_detected!("crc")),
        ("sha2", std::arch::is_aarch64_feature_detected!("sha2")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let known: [(&str, bool); 0] = [];
    let there = known.iter().filter(|(_, is_there)| *is_there);
    there.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

const CIPHERED: usize = 64 << 10;
const PACKETS: usize = 64;
const PACKET: usize = 1 << 10;

fn key() -> StreamKey {
    StreamKey {
        key: [7; 32],
        iv: [9; 16],
    }
}

fn ctr(rounds: u32) {
    let mut stream = CtrStream::new(key());
    let mut data = vec![1; CIPHERED];
    for _ in 0..rounds {
        stream.apply(black_box(&mut data));
    }
}

fn cbc(rounds: u32) {
    let mut encryptor = CbcEncryptor::new(&[7; 32], &[9; 16]);
    let mut decryptor = CbcDecryptor::new(&[7; 32], &[9; 16]);
    let mut data = vec![1; CIPHERED];
    for _ in 0..rounds {
        encryptor.apply(black_box(&mut data));
        decryptor.apply(black_box(&mut data));
    }
}

fn header(rounds: u32) {
    let secret = Secret(KEY);
    let mut header = [5; obfuscated2::HEADER_LEN];
    for round in 0..rounds {
        header[8] = round as u8;
        black_box(obfuscated2::accept(black_box(&header), &secret));
    }
}

/// Packets of this transport, as they come out of a client's stream.
fn packets(transport: Transport) -> Vec<u8> {
    let padding = match transport {
        Transport::Padded => 3,
        _ => 0,
    };
    let mut out = Vec::new();
    for _ in 0..PACKETS {
        out.extend_from_slice(&transport.write_header(PACKET, padding));
        out.resize(out.len() + PACKET + padding, 1);
    }
    out
}

fn packet_headers(rounds: u32, transport: Transport) {
    let stream = packets(transport);
    for _ in 0..rounds {
        let mut rest = black_box(stream.as_slice());
        while let Ok(Some(header)) = transport.parse_header(rest) {
            rest = rest
                .get(header.header_len + header.body_len..)
                .unwrap_or_default();
        }
        assert!(rest.is_empty());
    }
}

fn frames(rounds: u32) {
    let mut stream = packets(Transport::Padded);
    CtrStream::new(key()).apply(&mut stream);
    for _ in 0..rounds {
        let (mut reader, mut cipher) = (Frames::default(), CtrStream::new(key()));
        reader.pass(&mut cipher, black_box(&stream));
        assert_eq!(reader.to_come(), 0);
    }
}

fn full_frames(rounds: u32, checksum: ChecksumKind) {
    let (mut encoder, mut decoder) = (FrameEncoder::new(), FrameDecoder::new());
    encoder.set_checksum(checksum);
    decoder.set_checksum(checksum);
    let body = vec![1; PACKET];
    let mut out = Vec::with_capacity(PACKETS * (PACKET + 16));
    for _ in 0..rounds {
        out.clear();
        for _ in 0..PACKETS {
            encoder.encode_into(&mut out, &[black_box(&body)]);
        }
        let mut input = out.as_mut_slice();
        while let Some(part) = decoder.next(&mut input).expect("frames of ours") {
            black_box(part);
        }
    }
}

/// What a client sends, cut into one packet a message.
fn messages(rounds: u32) {
    let mut stream = packets(Transport::Padded);
    let mut cutter = PacketCutter::new(Transport::Padded);
    for _ in 0..rounds {
        let mut input = black_box(stream.as_mut_slice());
        while let Some(piece) = cutter.next(&mut input).expect("packets of ours") {
            if let Some(start) = &piece.start {
                black_box(message_header(start.length));
            }
            black_box(piece.bytes);
        }
    }
}

fn web_frames(rounds: u32) {
    const FRAME: usize = 4 << 10;
    let mut stream = Vec::new();
    for _ in 0..CIPHERED / FRAME {
        stream.extend_from_slice(&[0x82, 126, 0x10, 0]);
        stream.resize(stream.len() + FRAME, 1);
    }
    let mut reader = FrameReader::default();
    for _ in 0..rounds {
        let mut input = black_box(stream.as_mut_slice());
        while let Some(piece) = reader.next(&mut input).expect("frames of a server") {
            black_box(piece);
        }
    }
}

/// What a browser sends of an app's stream, in messages of one frame each, read 4 KiB at a
/// time. Its mask is of zeros, so that the bytes are good for the next round.
fn app_frames(rounds: u32) {
    const FRAME: usize = 16 << 10;
    let head = [0x82, 0xfe, 0x40, 0x08, 0, 0, 0, 0];
    let stream = StreamId::new(7).expect("an id");
    let mut bytes = Vec::new();
    for _ in 0..CIPHERED / FRAME {
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&web::data_header(stream, FRAME));
        bytes.resize(bytes.len() + FRAME, 1);
    }
    let mut messages = ClientFrameReader::new(2 << 20);
    let (mut frames, mut credit) = (web::FrameReader::default(), CreditFromApp::default());
    for _ in 0..rounds {
        for mut input in black_box(&mut bytes).chunks_mut(4096) {
            while let Some(piece) = messages.next(&mut input).expect("messages of a client") {
                match piece {
                    ClientPiece::Payload(mut bytes) => {
                        while let Some(piece) = frames.next(&mut bytes).expect("an app's frames") {
                            match piece {
                                web::Piece::DataBegins { length, .. } => {
                                    credit.receive(length).expect("all has left");
                                }
                                web::Piece::Data { bytes, .. } => {
                                    black_box(credit.left(black_box(bytes).len()));
                                }
                                other => panic!("{other:?}"),
                            }
                        }
                    }
                    ClientPiece::MessageEnd => frames.end_batch().expect("a whole frame"),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

fn rpc_answers(rounds: u32) {
    const RPC_PROXY_ANS: u32 = 0x4403_da0d;
    let mut encoder = FrameEncoder::new();
    let body = vec![1; PACKET];
    let mut out = Vec::new();
    for _ in 0..PACKETS {
        let head = [&RPC_PROXY_ANS.to_le_bytes()[..], &[0; 4], &[5; 8]].concat();
        encoder.encode_into(&mut out, &[&head, &body]);
    }
    for _ in 0..rounds {
        let mut decoder = RpcDecoder::new();
        let mut input = black_box(out.as_mut_slice());
        while let Some(event) = decoder.next(&mut input).expect("answers of a DC") {
            black_box(event);
        }
    }
}

fn rpc_request(rounds: u32) {
    let address = SocketAddr::from(([127, 0, 0, 1], 443));
    for round in 0..rounds {
        let request = ProxyReq {
            conn_id: i64::from(round),
            client: address,
            our: address,
            tag: None,
            transport: Transport::Padded,
            quick_ack: false,
        };
        black_box(request.header(black_box(&[1; 8])));
    }
}

fn records(rounds: u32) {
    let mut stream = Vec::new();
    for _ in 0..4 {
        stream.extend_from_slice(&record_header(CIPHERED / 4));
        stream.resize(stream.len() + CIPHERED / 4, 1);
    }
    let mut reader = RecordReader::new();
    for _ in 0..rounds {
        let mut input = black_box(stream.as_mut_slice());
        while let Ok(Some(part)) = reader.next(&mut input) {
            black_box(part);
        }
    }
}

/// A real client's, signed with the tests' key.
fn captured_hello() -> Vec<u8> {
    const CAPTURE: &str = include_str!("../../fixtures/td-ee-0.json");
    let (_, rest) = CAPTURE.split_once("\"client_hello\"").expect("it has one");
    let (_, rest) = rest.split_once("\"hex\": \"").expect("it has its bytes");
    let (hex, _) = rest.split_once('"').expect("they end");
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
    let bytes = (0..hex.len()).step_by(2).map(digit);
    bytes.collect::<Result<_, _>>().expect("they are hex")
}

fn parsed(bytes: &[u8]) -> ClientHello {
    match client_hello::parse(bytes) {
        Ok(Parsed::Complete { value, .. }) => value,
        _ => panic!("a real client's hello is read"),
    }
}

fn hello(rounds: u32) {
    let (bytes, secret) = (captured_hello(), Secret(KEY));
    for _ in 0..rounds {
        let hello = parsed(black_box(&bytes));
        let time = client_hello::verify(&bytes, &hello, &secret);
        assert!(time.is_some());
    }
}

fn flight(rounds: u32) {
    let (bytes, secret) = (captured_hello(), Secret(KEY));
    let hello = parsed(&bytes);
    let profile = FlightProfile {
        cipher_suite: 0x1301,
        post_quantum: true,
        versions_first: false,
        records: 1,
        lengths: 4000.into(),
    };
    for _ in 0..rounds {
        black_box(answer(&hello, &secret, &profile, &mut |out| out.fill(1)));
    }
}

fn link_frames(rounds: u32) {
    let hello = Frame::Hello(Hello {
        side: LinkSide::Front,
        is_keyed: true,
        is_trial: false,
        lacks_middle: false,
        hears_middle: false,
        window: 1 << 16,
        random: [1; 32],
    });
    let mut decoder = Decoder::default();
    let mut first = hello.encode().to_vec();
    let mut input = first.as_mut_slice();
    while let Some(event) = decoder.next(&mut input).expect("a hello of ours") {
        black_box(event);
    }
    let mut out = Vec::with_capacity(PACKETS * (PACKET + 64));
    let body = vec![1; PACKET];
    for _ in 0..rounds {
        out.clear();
        for stream in 0..PACKETS as u32 {
            out.extend_from_slice(&data_header(stream, PACKET));
            out.extend_from_slice(black_box(&body));
            let credit = Frame::Credit {
                stream,
                bytes: 1 << 14,
            };
            out.extend_from_slice(&credit.encode());
        }
        let mut input = out.as_mut_slice();
        while let Some(event) = decoder.next(&mut input).expect("frames of ours") {
            black_box(event);
        }
    }
}

fn link_packets(rounds: u32) {
    let mut stream = Vec::new();
    for _ in 0..PACKETS {
        stream.extend_from_slice(&packet_header(PACKET, false));
        stream.resize(stream.len() + PACKET, 1);
    }
    let mut reader = PacketReader::default();
    for _ in 0..rounds {
        let mut input = black_box(stream.as_mut_slice());
        while let Some(part) = reader
            .next(&mut input, MAX_PACKET)
            .expect("packets of ours")
        {
            black_box(part);
        }
    }
}

/// Of each of eight fronts a frame a round, from its coming to its credit; the
/// bytes of credit that were given.
fn windows(rounds: u32) -> u64 {
    const SIZES: Sizes = Sizes {
        first: 64 << 10,
        largest: 1 << 20,
    };
    const FRONTS: usize = 8;
    const FRAME: usize = 16 << 10;
    let mut whole = Whole::new(Limits {
        buffers: 16 << 20,
        links: 2 * FRONTS,
        streams: 1 << 10,
        lines: 1 << 10,
    });
    let users: Vec<usize> = (0..FRONTS).map(|_| whole.enter()).collect();
    let mut streams = [Window::new(SIZES.first, SIZES); FRONTS];
    let mut given = 0;
    for round in 0..rounds {
        for (user, stream) in users.iter().zip(&mut streams) {
            let uptake = [Uptake::Quick, Uptake::Steady, Uptake::Slow][round as usize % 3];
            let held = stream.receive(FRAME).unwrap_or_default();
            whole.hold(*user, held);
            if whole.is_crowded() || whole.hold_room() < FRAME {
                given += whole.heaviest().map_or(0, |_| 1);
            }
            whole.unhold(*user, held);
            let credit = stream.settle(held, uptake, SIZES);
            stream.add_credit(credit);
            stream.spend(FRAME.min(stream.credit()));
            given += u64::from(credit);
        }
    }
    given
}

/// A full record a round, sealed and opened again.
#[cfg(feature = "tls")]
fn tls_records(rounds: u32) {
    use smol_mtproxy_wire::tls::{Cipher, HEADER_LEN, Key, Kind, RECORD_LEN};

    let key = || Key::new(Cipher::Aes256Gcm, &[7; 32], &[9; 12], 0).expect("a key of that length");
    let (mut ours, mut theirs) = (key(), key());
    let mut record = vec![1; RECORD_LEN];
    for _ in 0..rounds {
        ours.seal(&mut record, Kind::Data).expect("room for it");
        let header = *record.first_chunk().expect("a header");
        let opened = theirs.open(header, &mut record, HEADER_LEN);
        black_box(opened.expect("a record of ours"));
    }
}
