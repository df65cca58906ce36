//! A client's talk with a SOCKS5 proxy (RFC 1928, RFC 1929): CONNECT, without
//! credentials or with a user and a password. Every answer is waited for.

use std::net::IpAddr;

use super::bytes::Gather;
use super::tunnel::{Host, Login, Refusal, Step, Target};

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const WITH_LOGIN: u8 = 2;
const NONE_ACCEPTED: u8 = 0xff;

const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// One talk, which ends with a tunnel or a refusal.
pub struct Talk {
    target: Target,
    login: Option<Login>,
    state: State,
    /// Of the answer that is awaited.
    got: Gather<4>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begin,
    Method,
    Login,
    LoginAnswer,
    Request,
    Reply,
    /// The length of the name that stands for the bound address.
    NameLength,
    /// So many bytes of the bound address and its port, of no interest.
    Bound(usize),
    Open,
}

impl Talk {
    pub fn new(target: Target, login: Option<&Login>) -> Self {
        Self {
            target,
            login: login.cloned(),
            state: State::Begin,
            got: Gather::default(),
        }
    }

    /// What is to be done next; what it gives to send is given once.
    pub fn step(&mut self) -> Step {
        let (next, bytes) = match self.state {
            State::Begin => (State::Method, self.methods()),
            State::Login => {
                let login = self.login.as_ref();
                (
                    State::LoginAnswer,
                    login.map(Login::socks5).unwrap_or_default(),
                )
            }
            State::Request => (State::Reply, request(&self.target)),
            State::Open => return Step::Open,
            _ => return Step::Receive(self.wanted()),
        };
        self.state = next;
        Step::Send(bytes)
    }

    /// Takes what has come, at most what [`step`](Self::step) asked for: how many bytes.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let bytes = bytes.get(..self.wanted()).unwrap_or(bytes);
        if let State::Bound(left) = self.state {
            self.state = match left - bytes.len() {
                0 => State::Open,
                left => State::Bound(left),
            };
            return Ok(bytes.len());
        }
        self.got.push(bytes);
        let next = self.next_state()?;
        if self.wanted() == 0 {
            self.got.clear();
            self.state = next;
        }
        Ok(bytes.len())
    }

    /// The proxy is known as one of SOCKS5, and has been told of the target.
    pub fn asks_for_target(&self) -> bool {
        matches!(
            self.state,
            State::Reply | State::NameLength | State::Bound(_)
        )
    }

    fn wanted(&self) -> usize {
        match self.state {
            State::Method | State::LoginAnswer => self.got.missing(2),
            State::Reply => self.got.missing(4),
            State::NameLength => self.got.missing(1),
            State::Bound(left) => left,
            State::Begin | State::Login | State::Request | State::Open => 0,
        }
    }

    /// What follows the present answer once it is whole; an error as soon as it is sure.
    fn next_state(&self) -> Result<State, Refusal> {
        let got = self.got.bytes();
        let next = match (self.state, got) {
            (State::Method | State::Reply, [version, ..]) if *version != VERSION => {
                return Err(Refusal::Nonsense);
            }
            (State::Method, [_, method]) => match (*method, &self.login) {
                (NO_LOGIN, _) => State::Request,
                (WITH_LOGIN, Some(_)) => State::Login,
                (WITH_LOGIN | NONE_ACCEPTED, None) => return Err(Refusal::WantsLogin),
                (NONE_ACCEPTED, Some(_)) => return Err(Refusal::WrongLogin),
                _ => return Err(Refusal::Nonsense),
            },
            (State::LoginAnswer, [_, 0]) => State::Request,
            (State::LoginAnswer, [_, _]) => return Err(Refusal::WrongLogin),
            (State::Reply, [_, reply @ 1..=8, ..]) => return Err(Refusal::Reply(*reply)),
            (State::Reply, [_, reply, ..]) if *reply > 8 => return Err(Refusal::Nonsense),
            (State::Reply, [_, _, _, kind]) => match *kind {
                IPV4 => State::Bound(4 + 2),
                IPV6 => State::Bound(16 + 2),
                NAME => State::NameLength,
                _ => return Err(Refusal::Nonsense),
            },
            (State::NameLength, [length]) => State::Bound(usize::from(*length) + 2),
            (state, _) => state,
        };
        Ok(next)
    }

    fn methods(&self) -> Vec<u8> {
        match self.login {
            None => vec![VERSION, 1, NO_LOGIN],
            Some(_) => vec![VERSION, 2, NO_LOGIN, WITH_LOGIN],
        }
    }
}

fn request(target: &Target) -> Vec<u8> {
    let mut bytes = vec![VERSION, CONNECT, 0];
    match &target.host {
        Host::Address(IpAddr::V4(ip)) => {
            bytes.push(IPV4);
            bytes.extend_from_slice(&ip.octets());
        }
        Host::Address(IpAddr::V6(ip)) => {
            bytes.push(IPV6);
            bytes.extend_from_slice(&ip.octets());
        }
        Host::Name(name) => {
            bytes.extend_from_slice(&[NAME, name.len() as u8]);
            bytes.extend_from_slice(name.as_bytes());
        }
    }
    bytes.extend_from_slice(&target.port.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Target {
        text.parse::<SocketAddr>().unwrap().into()
    }

    fn login() -> Login {
        Login::new(b"me".to_vec(), b"se:cret".to_vec()).unwrap()
    }

    type End = Option<Result<(), Refusal>>;

    /// What the talk sends, how it ends, and what is left of `stream`, which comes in
    /// pieces of these lengths, over and over.
    fn talk(mut talk: Talk, mut stream: &[u8], cuts: &[usize]) -> (Vec<Vec<u8>>, End, Vec<u8>) {
        let mut sent = Vec::new();
        let mut cuts = cuts.iter().cycle();
        let end = loop {
            match talk.step() {
                Step::Send(bytes) => sent.push(bytes),
                Step::Open => break Some(Ok(())),
                Step::Receive(most) => {
                    assert!(most > 0);
                    let length = most.min(stream.len()).min(*cuts.next().unwrap());
                    let (now, later) = stream.split_at(length);
                    if now.is_empty() {
                        break None;
                    }
                    stream = later;
                    if let Err(refusal) = talk.receive(now) {
                        break Some(Err(refusal));
                    }
                }
            }
        };
        (sent, end, stream.to_vec())
    }

    #[test]
    fn without_credentials_to_an_address() {
        let answers = b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x09\x1f\x90tunnel";
        let to = Talk::new(address("149.154.167.51:443"), None);
        let (sent, end, rest) = talk(to, answers, &[99]);
        assert_eq!(sent[0], [5, 1, 0]);
        assert_eq!(sent[1], [5, 1, 0, 1, 149, 154, 167, 51, 1, 187]);
        assert_eq!((sent.len(), end), (2, Some(Ok(()))));
        assert_eq!(rest, b"tunnel");
    }

    #[test]
    fn with_credentials_if_the_proxy_wants_them() {
        let to = || Talk::new(address("[2001:db8::1]:80"), Some(&login()));
        let answers = b"\x05\x02\x01\x00\x05\x00\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0x";
        let (sent, end, rest) = talk(to(), answers, &[1]);
        assert_eq!(sent[0], [5, 2, 0, 2]);
        assert_eq!(sent[1], b"\x01\x02me\x07se:cret");
        let mut request = vec![5, 1, 0, 4, 0x20, 1, 0x0d, 0xb8];
        request.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80]);
        assert_eq!(sent[2], request);
        assert_eq!((end, &*rest), (Some(Ok(())), &b"x"[..]));
        let (sent, end, rest) = talk(to(), b"\x05\x00\x05\x00\x00\x03\x02ab\x00\x50y", &[2]);
        assert_eq!((sent.len(), end, &*rest), (2, Some(Ok(())), &b"y"[..]));
    }

    #[test]
    fn a_name_is_sent_as_one_and_a_mapped_address_as_the_one_in_it() {
        let answers = b"\x05\x00";
        let name = Target::of_name("kws2.web.example", 443).unwrap();
        let (sent, ..) = talk(Talk::new(name, None), answers, &[9]);
        assert_eq!(sent[1], b"\x05\x01\x00\x03\x10kws2.web.example\x01\xbb");
        let (sent, ..) = talk(
            Talk::new(address("[::ffff:192.0.2.1]:1"), None),
            answers,
            &[9],
        );
        assert_eq!(sent[1], [5, 1, 0, 1, 192, 0, 2, 1, 0, 1]);
        let longest = Target::of_name(&"n".repeat(255), 1).unwrap();
        let (sent, ..) = talk(Talk::new(longest, None), answers, &[9]);
        assert_eq!((sent[1].len(), sent[1][4]), (262, 255));
        let empty = b"\x05\x00\x05\x00\x00\x03\x00\x00\x50z";
        let (_, end, rest) = talk(Talk::new(address("192.0.2.1:1"), None), empty, &[1]);
        assert_eq!((end, &*rest), (Some(Ok(())), &b"z"[..]));
    }

    #[test]
    fn every_refusal_has_its_kind_and_comes_as_soon_as_it_is_sure() {
        let refused = |login: Option<&Login>, answers: &[u8]| {
            let to = Talk::new(address("192.0.2.1:443"), login);
            let (_, end, rest) = talk(to, answers, &[1]);
            assert!(rest.is_empty(), "{answers:?}");
            end.unwrap().unwrap_err()
        };
        let login = login();
        assert_eq!(refused(None, b"\x05\xff"), Refusal::WantsLogin);
        assert_eq!(refused(None, b"\x05\x02"), Refusal::WantsLogin);
        assert_eq!(refused(Some(&login), b"\x05\xff"), Refusal::WrongLogin);
        assert_eq!(refused(Some(&login), b"\x05\x01"), Refusal::Nonsense);
        assert_eq!(refused(None, b"\x04"), Refusal::Nonsense);
        assert_eq!(refused(None, b"H"), Refusal::Nonsense);
        let wrong = b"\x05\x02\x01\x01";
        assert_eq!(refused(Some(&login), wrong), Refusal::WrongLogin);
        for reply in 1..=8 {
            let answers = [5, 0, 5, reply];
            assert_eq!(refused(None, &answers), Refusal::Reply(reply));
        }
        for answers in [
            &b"\x05\x00\x05\x09"[..],
            b"\x05\x00\x04",
            b"\x05\x00\x05\x00\x00\x02",
        ] {
            assert_eq!(refused(None, answers), Refusal::Nonsense);
        }
        // Some servers call the version of this answer 5.
        let (_, end, _) = talk(
            Talk::new(address("192.0.2.1:443"), Some(&login)),
            b"\x05\x02\x05\x00",
            &[2],
        );
        assert_eq!(end, None);
    }

    #[test]
    fn silence_is_the_targets_once_it_has_been_named() {
        let mut talk = Talk::new(address("192.0.2.1:443"), None);
        let _ = talk.step();
        assert!(!talk.asks_for_target());
        talk.receive(&[5, 0]).unwrap();
        assert!(!talk.asks_for_target());
        let _ = talk.step();
        assert!(talk.asks_for_target());
    }

    proptest! {
        /// However it is cut: the same end, and all that follows the reply is left.
        #[test]
        fn cuts_change_nothing(
            with_login: bool,
            bound in prop_oneof![
                prop::collection::vec(any::<u8>(), 6).prop_map(|b| [vec![1], b].concat()),
                prop::collection::vec(any::<u8>(), 18).prop_map(|b| [vec![4], b].concat()),
                prop::collection::vec(any::<u8>(), 0..256).prop_map(|b| [vec![3, b.len() as u8], b, vec![0, 1]].concat()),
            ],
            tunnel in prop::collection::vec(any::<u8>(), 0..40),
            cuts in prop::collection::vec(1usize..9, 1..9),
        ) {
            let (method, login): (&[u8], _) = match with_login {
                true => (&[5, 2, 1, 0], Some(login())),
                false => (&[5, 0], None),
            };
            let stream = [method, &[5, 0, 0], &bound, &tunnel].concat();
            let to = Talk::new(address("192.0.2.1:443"), login.as_ref());
            let (_, end, rest) = talk(to, &stream, &cuts);
            prop_assert_eq!(end, Some(Ok(())));
            prop_assert_eq!(rest, tunnel);
        }

        #[test]
        fn any_bytes(
            with_login: bool,
            stream in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..6], 0..600),
            cuts in prop::collection::vec(1usize..300, 1..9),
        ) {
            let login = with_login.then(login);
            let to = || Talk::new(address("192.0.2.1:443"), login.as_ref());
            let (sent, end, rest) = talk(to(), &stream, &cuts);
            let whole = talk(to(), &stream, &[usize::MAX]);
            prop_assert_eq!((&sent, &end), (&whole.0, &whole.1));
            if end == Some(Ok(())) {
                prop_assert_eq!(rest, whole.2);
            }
            prop_assert!(sent.len() <= 3);
        }

        /// More than was asked for is not taken for an answer.
        #[test]
        fn too_much_at_once(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..9)) {
            let mut talk = Talk::new(address("192.0.2.1:443"), None);
            for piece in pieces {
                let _ = talk.step();
                let _ = talk.receive(&piece);
            }
        }
    }
}
