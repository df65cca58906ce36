//! The servers against clients of a few lines: what a client does wrong is noted,
//! and how the server misbehaves is what a client meets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::manners::{Bound, Manners, Step, Then, head, reply};
use super::{Options, Protocol, Target, Via, granted};
use crate::control::Close;
use crate::wait::patience;

const SHORT: Duration = Duration::from_millis(60);
const USER: &str = "us:er";
const PASSWORD: &str = "p\u{e4}ss";

/// Sends back what it gets, as often as it is asked.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}

fn server(protocol: Protocol) -> Via {
    Via::start(Options::new(protocol)).unwrap()
}

fn locked(protocol: Protocol) -> Via {
    Via::start(Options::new(protocol).credentials(USER, PASSWORD)).unwrap()
}

fn connect(via: &Via) -> TcpStream {
    let stream = TcpStream::connect(via.address()).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn hear(mut stream: &TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// What comes until the end, and how that is.
fn hear_all(mut stream: &TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).map(drop);
    (bytes, end)
}

fn hears_nothing(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(SHORT)).unwrap();
    let outcome = stream.read(&mut [0]);
    stream.set_read_timeout(Some(patience())).unwrap();
    outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < patience(), "gave up waiting: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn socks_request(target: SocketAddr) -> Vec<u8> {
    let mut out = vec![5, 1, 0];
    match target.ip() {
        std::net::IpAddr::V4(address) => {
            out.push(1);
            out.extend(address.octets());
        }
        std::net::IpAddr::V6(address) => {
            out.push(4);
            out.extend(address.octets());
        }
    }
    out.extend(target.port().to_be_bytes());
    out
}

fn named(name: &str, port: u16) -> Vec<u8> {
    let mut out = vec![5, 1, 0, 3, name.len() as u8];
    out.extend(name.bytes());
    out.extend(port.to_be_bytes());
    out
}

fn credentials(user: &str, password: &str) -> Vec<u8> {
    let mut out = vec![1];
    for part in [user, password] {
        out.push(part.len() as u8);
        out.extend(part.bytes());
    }
    out
}

fn connect_request(target: &str, more: &str) -> Vec<u8> {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{more}\r\n").into_bytes()
}

/// What a good client says before each answer, and what it takes for one.
fn lines(protocol: Protocol, target: SocketAddr) -> Vec<Vec<u8>> {
    match protocol {
        Protocol::Socks5 => vec![
            vec![5, 2, 0, 2],
            credentials(USER, PASSWORD),
            socks_request(target),
        ],
        // "us:er:päss" in UTF-8.
        Protocol::Http => vec![connect_request(
            &target.to_string(),
            "Proxy-Authorization: Basic dXM6ZXI6cMOkc3M=\r\n",
        )],
    }
}

/// Says it all but the last, each answered; then the last.
fn ask(stream: &TcpStream, protocol: Protocol, target: SocketAddr) {
    let lines = lines(protocol, target);
    for (index, line) in lines.iter().enumerate() {
        (&*stream).write_all(line).unwrap();
        if index + 1 < lines.len() {
            hear(stream, 2);
        }
    }
}

fn echoes(stream: &TcpStream) {
    for length in [1, 7000, 300_000] {
        let sent: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let writing = stream.try_clone().unwrap();
        let bytes = sent.clone();
        let writer = thread::spawn(move || (&writing).write_all(&bytes).unwrap());
        assert_eq!(hear(stream, sent.len()), sent);
        writer.join().unwrap();
    }
}

#[test]
fn good_clients_get_through() {
    let target = echo();
    for protocol in Protocol::ALL {
        let via = locked(protocol);
        let stream = connect(&via);
        ask(&stream, protocol, target);
        let good = granted(protocol);
        assert_eq!(hear(&stream, good.len()), good);
        echoes(&stream);
        let seen = via.seen();
        assert_eq!(seen.targets, [Target::Address(target)]);
        assert_eq!(seen.with_credentials, [true]);
        assert_eq!(
            (seen.accepted, seen.live, seen.most_live, seen.opened),
            (1, 1, 1, 1)
        );
        // Its end comes through, and back.
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(hear_all(&stream).1.is_ok());
        until("its end", || via.seen().live == 0);
        let seen = via.seen();
        assert_eq!((seen.up, seen.down), (307_001, 307_001));
        via.assert_clean();
    }
}

#[test]
fn who_needs_no_credentials_may_offer_them() {
    let target = echo();
    let via = server(Protocol::Socks5);
    for offer in [&[5, 1, 0][..], &[5, 2, 0, 2]] {
        let mut stream = connect(&via);
        stream.write_all(offer).unwrap();
        assert_eq!(hear(&stream, 2), [5, 0]);
        stream.write_all(&socks_request(target)).unwrap();
        assert_eq!(hear(&stream, 10)[..4], [5, 0, 0, 1]);
        echoes(&stream);
    }
    assert_eq!(via.seen().with_credentials, [false, false]);
    via.assert_clean();
}

#[test]
fn wrong_credentials_and_none_do_not() {
    let target = echo();
    let via = locked(Protocol::Socks5);
    let mut stream = connect(&via);
    stream.write_all(&[5, 1, 0]).unwrap();
    assert_eq!(hear(&stream, 2), [5, 0xff]);
    assert!(hear_all(&stream).1.is_ok());
    let mut stream = connect(&via);
    stream.write_all(&[5, 2, 0, 2]).unwrap();
    assert_eq!(hear(&stream, 2), [5, 2]);
    stream.write_all(&credentials(USER, "other")).unwrap();
    assert_eq!(hear_all(&stream).0, [1, 1]);
    via.assert_clean();

    let via = locked(Protocol::Http);
    for more in ["", "Proxy-Authorization: Basic dXM6ZXI6\r\n"] {
        let mut stream = connect(&via);
        let request = connect_request(&target.to_string(), more);
        stream.write_all(&request).unwrap();
        let answer = hear_all(&stream).0;
        assert!(answer.starts_with(b"HTTP/1.1 407 "), "{answer:?}");
    }
    via.assert_clean();
    assert_eq!(via.seen().targets, []);
}

#[test]
fn names_and_strange_addresses_are_led() {
    let target = echo();
    for protocol in Protocol::ALL {
        let via = server(protocol);
        via.lead("dc.example:443", target);
        via.lead("192.0.2.7:443", target);
        via.lead("[2001:db8::7]:443", target);
        for (text, is_reached) in [
            ("dc.example:443", true),
            ("192.0.2.7:443", true),
            ("[2001:db8::7]:443", true),
            ("other.example:443", false),
            ("192.0.2.8:443", false),
        ] {
            let mut stream = connect(&via);
            let is_granted = match protocol {
                Protocol::Http => {
                    stream.write_all(&connect_request(text, "")).unwrap();
                    let answer = hear(&stream, 12);
                    let status = if is_reached { "200" } else { "403" };
                    answer.ends_with(status.as_bytes()) && is_reached
                }
                Protocol::Socks5 => {
                    stream.write_all(&[5, 1, 0]).unwrap();
                    hear(&stream, 2);
                    let request = match text.parse() {
                        Ok(address) => socks_request(address),
                        Err(_) => named(text.strip_suffix(":443").unwrap(), 443),
                    };
                    stream.write_all(&request).unwrap();
                    let code = hear(&stream, 10)[1];
                    assert!(matches!(code, 0 | 2), "{code}");
                    code == 0
                }
            };
            assert_eq!(is_granted, is_reached, "{text}");
        }
        let asked: Vec<String> = via.seen().targets.iter().map(Target::to_string).collect();
        assert_eq!(asked.len(), 5);
        assert_eq!(asked[2], "[2001:db8::7]:443");
        via.assert_clean();
    }
}

#[test]
fn targets_that_refuse_are_told_of() {
    let nobody = crate::harness::free_address();
    for (protocol, words) in [
        (Protocol::Socks5, &[5, 5, 0, 1][..]),
        (Protocol::Http, b"HTTP/1.1 502 "),
    ] {
        let via = locked(protocol);
        let stream = connect(&via);
        ask(&stream, protocol, nobody);
        assert!(hear_all(&stream).0.starts_with(words));
        via.assert_clean();
    }
}

/// What a client says at once, or after answers of so many bytes.
type Script = &'static [(usize, &'static [u8])];

#[test]
fn slips_in_socks5_are_noted() {
    let scripts: &[(Script, &str)] = &[
        (&[(0, b"\x04\x01\x00\x50\x7f\0\0\x01\0")], "begins with 4 1"),
        (&[(0, b"\x05\x00")], "begins with 5 0"),
        (&[(0, b"\x05\x01\x02")], "offers the methods [02]"),
        (&[(0, b"\x05\x02\x02\x00")], "offers the methods [02, 00]"),
        (
            &[(0, b"\x05\x03\x00\x01\x02")],
            "offers the methods [00, 01, 02]",
        ),
        (&[(0, b"\x05\x02\x00")], "ends inside the methods"),
        (
            &[(0, b"\x05\x01\x00\x05\x01\x00")],
            "before the answer to Methods",
        ),
        (
            &[(0, b"\x05\x01\x00"), (2, b"\x05\x01\x00")],
            "ends inside the request",
        ),
        (
            &[
                (0, b"\x05\x01\x00"),
                (2, b"\x05\x02\x00\x01\x7f\0\0\x01\0\x50"),
            ],
            "request begins with",
        ),
        (
            &[
                (0, b"\x05\x01\x00"),
                (2, b"\x05\x03\x00\x01\x7f\0\0\x01\0\x50"),
            ],
            "request begins with",
        ),
        (
            &[
                (0, b"\x05\x01\x00"),
                (2, b"\x05\x01\x01\x01\x7f\0\0\x01\0\x50"),
            ],
            "request begins with",
        ),
        (
            &[
                (0, b"\x05\x01\x00"),
                (2, b"\x05\x01\x00\x02\x7f\0\0\x01\0\x50"),
            ],
            "of the kind 2",
        ),
        (
            &[
                (0, b"\x05\x01\x00"),
                (2, b"\x05\x01\x00\x01\x7f\0\0\x01\0\0"),
            ],
            "port 0",
        ),
        (
            &[
                (0, b"\x05\x01\x00"),
                (2, b"\x05\x01\x00\x03\x09127.0.0.1\0\x50"),
            ],
            "as a name",
        ),
        (
            &[(0, b"\x05\x01\x00"), (2, b"\x05\x01\x00\x03\x03::1\0\x50")],
            "the name \"::1\"",
        ),
        (
            &[(0, b"\x05\x01\x00"), (2, b"\x05\x01\x00\x03\0\0\x50")],
            "the name \"\"",
        ),
        (
            &[
                (0, b"\x05\x01\x00"),
                (2, b"\x05\x01\x00\x03\x05[::1]\0\x50"),
            ],
            "the name \"[::1]\"",
        ),
        (
            &[
                (0, b"\x05\x01\x00"),
                (
                    2,
                    b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01\0\x50",
                ),
            ],
            "as the IPv6 address",
        ),
    ];
    notes(&server(Protocol::Socks5), scripts);
    let scripts: &[(Script, &str)] = &[
        (
            &[(0, b"\x05\x02\x00\x02"), (2, b"\x05\x01\x00")],
            "credentials begin with [5]",
        ),
        (
            &[(0, b"\x05\x02\x00\x02"), (2, b"\x01\x00\x01p")],
            "the user is empty",
        ),
        (
            &[(0, b"\x05\x02\x00\x02"), (2, b"\x01\x01u\x00")],
            "the password is empty",
        ),
        (
            &[(0, b"\x05\x02\x00\x02"), (2, b"\x01\x01u\x02p")],
            "ends inside the password",
        ),
        (
            &[(0, b"\x05\x02\x00\x02"), (2, b"\x01\x01u\x01p\x05\x01\x00")],
            "before the answer to Credentials",
        ),
    ];
    notes(&locked(Protocol::Socks5), scripts);
}

#[test]
fn slips_in_connect_are_noted() {
    let scripts: &[(Script, &str)] = &[
        (
            &[(0, b"CONNECT a:1 HTTP/1.0\r\nHost: a:1\r\n\r\n")],
            "no CONNECT over HTTP/1.1",
        ),
        (
            &[(0, b"GET http://a:1/ HTTP/1.1\r\nHost: a:1\r\n\r\n")],
            "no CONNECT over",
        ),
        (&[(0, b"CONNECT a:1 HTTP/1.1\r\n\r\n")], "another Host"),
        (
            &[(0, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")],
            "another Host",
        ),
        (
            &[(0, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nHost: a:1\r\n\r\n")],
            "a second Host",
        ),
        (&[(0, b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n")], "no port"),
        (
            &[(0, b"CONNECT a:0 HTTP/1.1\r\nHost: a:0\r\n\r\n")],
            "the port",
        ),
        (
            &[(0, b"CONNECT a:99999 HTTP/1.1\r\nHost: a:99999\r\n\r\n")],
            "the port",
        ),
        (
            &[(0, b"CONNECT ::1:80 HTTP/1.1\r\nHost: ::1:80\r\n\r\n")],
            "without brackets",
        ),
        (
            &[(
                0,
                b"CONNECT [::ffff:1.2.3.4]:80 HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:80\r\n\r\n",
            )],
            "as the IPv6 address",
        ),
        (
            &[(
                0,
                b"CONNECT [1.2.3.4]:80 HTTP/1.1\r\nHost: [1.2.3.4]:80\r\n\r\n",
            )],
            "no IPv6 address",
        ),
        (
            &[(
                0,
                b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n",
            )],
            "the field Content-Length",
        ),
        (
            &[(0, b"CONNECT a:1 HTTP/1.1\r\nHost:a:1\r\n\r\n")],
            "no field",
        ),
        (
            &[(0, b"CONNECT a:1 HTTP/1.1\nHost: a:1\r\n\r\n")],
            "no CONNECT over",
        ),
        (
            &[(0, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n x: y\r\n\r\n")],
            "the field",
        ),
        (
            &[(
                0,
                b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Bearer x\r\n\r\n",
            )],
            "no Basic",
        ),
        (
            &[(
                0,
                b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Basic YTp=\r\n\r\n",
            )],
            "no base64",
        ),
        (
            &[(
                0,
                b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Basic YTpi\n\r\n\r\n",
            )],
            "a control character",
        ),
        (
            &[(
                0,
                b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Basic YWJj\r\n\r\n",
            )],
            "without a colon",
        ),
        (
            &[(0, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n\xef")],
            "before the answer to Request",
        ),
        (
            &[(0, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n")],
            "ends inside a head",
        ),
    ];
    notes(&server(Protocol::Http), scripts);
    let via = server(Protocol::Http);
    let mut stream = connect(&via);
    // It may be cut off while it sends.
    let _ = stream.write_all(&[b'a'; 20_000]);
    until("a note", || !via.seen().violations.is_empty());
    assert!(via.seen().violations[0].contains("more than 8 KiB"));
}

/// Each script leaves exactly such a note, and at least one.
fn notes(via: &Via, scripts: &[(Script, &str)]) {
    for (script, note) in scripts {
        let before = via.seen().violations.len();
        let mut stream = connect(via);
        for (after, bytes) in *script {
            hear(&stream, *after);
            stream.write_all(bytes).unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = hear_all(&stream);
        until("its end", || via.seen().live == 0);
        let noted = via.seen().violations.split_off(before);
        let is_noted = noted.first().is_some_and(|first| first.contains(note));
        assert!(is_noted, "{script:?}: {note:?} in {noted:?}");
    }
}

/// Says good things until the server does something else than its part.
fn get_to(stream: &TcpStream, protocol: Protocol, step: Step, target: SocketAddr) {
    let steps = Step::of(protocol);
    let answers = steps.iter().position(|one| *one == step).unwrap();
    for (index, line) in lines(protocol, target).iter().enumerate().take(answers) {
        (&*stream).write_all(line).unwrap();
        if index + 1 < answers {
            hear(stream, 2);
        }
    }
}

#[test]
fn every_fault_at_every_step_is_what_a_client_meets() {
    let target = echo();
    for protocol in Protocol::ALL {
        let via = locked(protocol);
        for step in Step::of(protocol) {
            for says in [&b""[..], b"\x05"] {
                for then in [Then::Silent, Then::Swallows, Then::Fin, Then::Reset] {
                    via.behave(Manners::fault(*step, says, then));
                    let stream = connect(&via);
                    get_to(&stream, protocol, *step, target);
                    let case = format!("{protocol:?} {step:?} {says:?} {then:?}");
                    match then {
                        Then::Silent | Then::Swallows => {
                            assert_eq!(hear(&stream, says.len()), says, "{case}");
                            assert!(hears_nothing(&stream), "{case}");
                        }
                        Then::Fin => {
                            let (heard, end) = hear_all(&stream);
                            assert!(heard == says && end.is_ok(), "{case}: {heard:?}, {end:?}");
                        }
                        _ => {
                            let (_, end) = hear_all(&stream);
                            let end = end.unwrap_err().kind();
                            assert_eq!(end, ErrorKind::ConnectionReset, "{case}");
                        }
                    }
                    drop(stream);
                    until("its end", || via.seen().live == 0);
                }
            }
            via.behave(Manners::fault(*step, "HTTP/1.1 200 ", Then::Endless));
            let stream = connect(&via);
            get_to(&stream, protocol, *step, target);
            assert_eq!(hear(&stream, 1 << 20)[..5], *b"HTTP/");
            drop(stream);
            until("its end", || via.seen().live == 0);
        }
        via.assert_clean();
        assert_eq!(via.seen().opened, 0);
        // And it is itself again.
        via.behave(Manners::default());
        let stream = connect(&via);
        ask(&stream, protocol, target);
        hear(&stream, granted(protocol).len());
        echoes(&stream);
    }
}

#[test]
fn who_speaks_into_the_silence_is_noted() {
    for protocol in Protocol::ALL {
        let via = locked(protocol);
        via.behave(Manners::fault(Step::Request, "", Then::Silent));
        let mut stream = connect(&via);
        ask(&stream, protocol, echo());
        assert!(hears_nothing(&stream));
        stream.write_all(b"x").unwrap();
        until("a note", || !via.seen().violations.is_empty());
        assert!(via.seen().violations[0].contains("without an answer to Request"));
    }
}

#[test]
fn answers_in_other_words_byte_by_byte_and_with_more_behind_them() {
    let target = echo();
    let socks = [
        Bound::V4,
        Bound::V6,
        Bound::Name(0),
        Bound::Name(1),
        Bound::Name(255),
    ];
    let socks = socks.map(|bound| (Protocol::Socks5, reply(0, &bound)));
    let lines = ["Content-Length: 5", "Transfer-Encoding: chunked"];
    let http = [
        head("200 OK", &lines),
        head("299 ", &[]),
        [
            head("100 Continue", &[]),
            head("102 Processing", &["X: y"]),
            head("200 OK", &[]),
        ]
        .concat(),
    ];
    let http = http.map(|head| (Protocol::Http, head));
    for (protocol, words) in socks.into_iter().chain(http) {
        let via = locked(protocol);
        for piecemeal in [None, Some(Duration::from_micros(200))] {
            via.behave(Manners {
                piecemeal,
                first_bytes: b"first".to_vec(),
                delay: Duration::from_millis(5),
                ..Manners::grants(words.clone())
            });
            let stream = connect(&via);
            ask(&stream, protocol, target);
            assert_eq!(hear(&stream, words.len()), words);
            assert_eq!(hear(&stream, 5), b"first");
            echoes(&stream);
        }
        assert_eq!(via.seen().opened, 2);
        via.assert_clean();
    }
}

#[test]
fn refusals_are_said_without_asking_the_target() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = listener.local_addr().unwrap();
    for code in (1..=9).chain([0x5b, 0xff]) {
        let via = locked(Protocol::Socks5);
        via.behave(Manners::refuses(reply(code, &Bound::Name(3))));
        let stream = connect(&via);
        ask(&stream, Protocol::Socks5, target);
        let (heard, end) = hear_all(&stream);
        assert!(heard == reply(code, &Bound::Name(3)) && end.is_ok());
        assert_eq!(via.asked_for(&Target::Address(target)), 1);
        via.assert_clean();
    }
    assert!(listener.accept().is_err());
}

#[test]
fn tunnels_are_cut_and_a_server_comes_again_at_its_address() {
    let target = echo();
    for protocol in Protocol::ALL {
        let via = locked(protocol);
        for how in [Close::Fin, Close::Drop, Close::Reset] {
            let stream = connect(&via);
            ask(&stream, protocol, target);
            hear(&stream, granted(protocol).len());
            echoes(&stream);
            assert_eq!(via.cut(how), 1);
            let (_, end) = hear_all(&stream);
            assert_eq!(end.is_err(), how == Close::Reset, "{how:?}: {end:?}");
        }
        let options = via.options().clone();
        let open = connect(&via);
        ask(&open, protocol, target);
        hear(&open, granted(protocol).len());
        drop(via);
        let _ = hear_all(&open);
        assert!(TcpStream::connect(options.address).is_err());
        let via = Via::start(options).unwrap();
        let stream = connect(&via);
        ask(&stream, protocol, target);
        hear(&stream, granted(protocol).len());
        echoes(&stream);
        via.assert_clean();
    }
}

#[test]
fn nobody_answers_the_connection_itself() {
    let deaf = crate::harness::BlackHole::new().unwrap();
    let error = TcpStream::connect_timeout(&deaf.address(), 3 * SHORT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}
