//! A client's talk with an HTTP proxy: one CONNECT (RFC 9110 §9.3.6, RFC 9112), and the
//! head of its answer, of which only the status says something.

use super::tunnel::{Login, Refusal, Step, Target};

/// All heads of one answer together, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// What a status line begins with; then a version's digit, a space and three digits.
const START: &[u8] = b"HTTP/1.";

/// The bytes of these.
const STATUS_END: usize = START.len() + 5;

/// One talk, which ends with a tunnel or a refusal.
pub struct Talk {
    request: Option<Vec<u8>>,
    has_login: bool,
    /// Bytes that have come, of all heads.
    length: usize,
    /// Where the present head began.
    began: usize,
    status: u16,
    line: Line,
    is_open: bool,
}

/// What there is of the present line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Empty,
    /// A CR alone.
    Return,
    Text,
}

impl Talk {
    pub fn new(target: &Target, login: Option<&Login>) -> Self {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(login) = login {
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&login.basic());
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Self {
            request: Some(request.into()),
            has_login: login.is_some(),
            length: 0,
            began: 0,
            status: 0,
            line: Line::Empty,
            is_open: false,
        }
    }

    /// What is to be done next; what it gives to send is given once.
    pub fn step(&mut self) -> Step {
        match self.request.take() {
            Some(request) => Step::Send(request),
            None if self.is_open => Step::Open,
            None => Step::Receive(self.wanted()),
        }
    }

    /// Takes what has come, as far as it is the head: how many bytes.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        for byte in bytes {
            if self.is_open {
                break;
            }
            self.take(*byte)?;
            used += 1;
        }
        Ok(used)
    }

    /// The proxy has been told of the target.
    pub fn asks_for_target(&self) -> bool {
        self.request.is_none() && !self.is_open
    }

    /// The fewest bytes by which the head can end, as a line may end by LF alone.
    fn wanted(&self) -> usize {
        let of_status = STATUS_END.saturating_sub(self.length - self.began);
        match self.line {
            _ if self.is_open => 0,
            _ if of_status > 0 => of_status + 2,
            Line::Text => 2,
            Line::Empty | Line::Return => 1,
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), Refusal> {
        let at = self.length - self.began;
        self.length += 1;
        if self.length > MAX_HEAD || !self.is_in_place(at, byte) {
            return Err(Refusal::Nonsense);
        }
        if at == STATUS_END {
            self.judge()?;
        }
        self.line = match (byte, self.line) {
            (b'\n', Line::Text) => Line::Empty,
            (b'\n', Line::Empty | Line::Return) => {
                self.end();
                Line::Empty
            }
            (b'\r', Line::Empty) => Line::Return,
            _ => Line::Text,
        };
        Ok(())
    }

    /// Whether a status line may have this byte there; takes its status.
    fn is_in_place(&mut self, at: usize, byte: u8) -> bool {
        if let Some(expected) = START.get(at) {
            return byte == *expected;
        }
        match at - START.len() {
            0 => byte.is_ascii_digit(),
            1 => byte == b' ',
            2..=4 => {
                self.status = self.status * 10 + u16::from(byte.wrapping_sub(b'0'));
                byte.is_ascii_digit()
            }
            5 => matches!(byte, b' ' | b'\r' | b'\n'),
            _ => true,
        }
    }

    fn judge(&self) -> Result<(), Refusal> {
        match self.status {
            100..=299 => Ok(()),
            // tinyproxy says 401 to a wrong login.
            401 | 407 if self.has_login => Err(Refusal::WrongLogin),
            401 | 407 => Err(Refusal::WantsLogin),
            300..=599 => Err(Refusal::Status(self.status)),
            _ => Err(Refusal::Nonsense),
        }
    }

    /// Of a head: that of a word in advance, behind which the answer follows, or the
    /// answer's.
    fn end(&mut self) {
        self.is_open = self.status >= 200;
        self.began = self.length;
        self.status = 0;
    }
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
        Login::new(b"Aladdin".to_vec(), b"open sesame".to_vec()).unwrap()
    }

    fn request(target: &Target, login: Option<&Login>) -> String {
        match Talk::new(target, login).step() {
            Step::Send(bytes) => String::from_utf8(bytes).unwrap(),
            step => panic!("{step:?}"),
        }
    }

    /// How the talk ends, and what is left of `stream`, which comes in pieces of these
    /// lengths, over and over.
    fn answer(
        stream: &[u8],
        login: Option<&Login>,
        cuts: &[usize],
    ) -> (Option<Result<(), Refusal>>, Vec<u8>) {
        let mut stream = stream;
        let mut talk = Talk::new(&address("192.0.2.1:443"), login);
        assert!(!talk.asks_for_target());
        let Step::Send(_) = talk.step() else {
            panic!("nothing to send")
        };
        assert!(talk.asks_for_target());
        let mut cuts = cuts.iter().cycle();
        loop {
            match talk.step() {
                Step::Send(_) => panic!("sent twice"),
                Step::Open => return (Some(Ok(())), stream.to_vec()),
                Step::Receive(most) => {
                    assert!(most > 0);
                    let length = most.min(stream.len()).min(*cuts.next().unwrap());
                    let (now, later) = stream.split_at(length);
                    if now.is_empty() {
                        return (None, Vec::new());
                    }
                    stream = later;
                    if let Err(refusal) = talk.receive(now) {
                        return (Some(Err(refusal)), stream.to_vec());
                    }
                }
            }
        }
    }

    #[test]
    fn requests() {
        assert_eq!(
            request(&address("149.154.167.51:443"), None),
            "CONNECT 149.154.167.51:443 HTTP/1.1\r\nHost: 149.154.167.51:443\r\n\r\n"
        );
        let v6 = address("[2001:db8::1]:443");
        // The credentials are RFC 7617's.
        assert_eq!(
            request(&v6, Some(&login())),
            "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\
             Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
        let name = Target::of_name("server.example.com", 80).unwrap();
        assert!(request(&name, None).starts_with("CONNECT server.example.com:80 HTTP/1.1\r\n"));
        let mapped = address("[::ffff:192.0.2.1]:443");
        assert!(request(&mapped, None).starts_with("CONNECT 192.0.2.1:443 "));
    }

    #[test]
    fn the_tunnel_begins_behind_the_blank_line() {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 200\n\n",
            "HTTP/1.1 299 x\nA: b\r\nC: d\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 100\n\nHTTP/1.1 200\n\n",
            "HTTP/1.1 200 a\rb\r\nx\r\r\n\r\n",
        ] {
            for tunnel in ["", "x", "\r\n\r\n", "HTTP/1.1 407 x\r\n\r\n"] {
                for cut in [1, 2, 3, 7, 99] {
                    let (end, rest) = answer(format!("{head}{tunnel}").as_bytes(), None, &[cut]);
                    assert_eq!(end, Some(Ok(())), "{head:?}");
                    assert_eq!(rest, tunnel.as_bytes(), "{head:?}");
                }
                let mut talk = Talk::new(&address("192.0.2.1:443"), None);
                assert!(matches!(talk.step(), Step::Send(_)));
                let taken = talk.receive(format!("{head}{tunnel}").as_bytes());
                assert_eq!(taken, Ok(head.len()), "{head:?}");
                assert_eq!(talk.step(), Step::Open);
            }
        }
    }

    #[test]
    fn every_refusal_has_its_kind() {
        let refused = |text: &str, login: Option<&Login>| {
            let (end, _) = answer(text.as_bytes(), login, &[5]);
            end.unwrap().unwrap_err()
        };
        for status in [401, 407] {
            let wants = format!("HTTP/1.1 {status} Proxy Authentication Required\r\n");
            assert_eq!(refused(&wants, None), Refusal::WantsLogin);
            assert_eq!(refused(&wants, Some(&login())), Refusal::WrongLogin);
        }
        for status in [301, 400, 403, 405, 500, 502, 503, 504, 599] {
            let text = format!("HTTP/1.1 {status} x\r\n");
            assert_eq!(refused(&text, None), Refusal::Status(status));
        }
        for nonsense in [
            "\r\n",
            "\x05\0",
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/2 200\r\n",
            "HTTP/1.1 099 x\r\n",
            "HTTP/1.1 600 x\r\n",
            "HTTP/1.1 2000\r\n",
            "HTTP/1.1 20\r\n",
            "HTTP/1.x 200\r\n",
            "HTTP/1.1  200\r\n",
            "HTTP/1.1 100\r\n\r\n\r\n",
        ] {
            assert_eq!(refused(nonsense, None), Refusal::Nonsense, "{nonsense:?}");
        }
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\nA: b\r\n", None, &[3]).0, None);
    }

    #[test]
    fn a_head_has_a_bound_and_words_in_advance_count() {
        let filled = |length: usize| {
            let head = "HTTP/1.1 200 OK\r\nX: ";
            format!("{head}{}\r\n\r\n", "x".repeat(length - head.len() - 4))
        };
        let end = |text: &str| answer(text.as_bytes(), None, &[9]).0.unwrap();
        assert_eq!(end(&filled(MAX_HEAD)), Ok(()));
        assert_eq!(end(&filled(MAX_HEAD + 1)), Err(Refusal::Nonsense));
        let endless = "HTTP/1.1 100 x\r\n\r\n".repeat(1000);
        assert_eq!(end(&endless), Err(Refusal::Nonsense));
    }

    proptest! {
        /// However it is cut: the same end, and all that follows the head is left.
        #[test]
        fn cuts_change_nothing(
            advance in prop::collection::vec("HTTP/1\\.1 1[0-9]{2}( [a-z]{0,9})?\r?\n(A: [a-z\r]{1,9}b\r?\n){0,2}\r?\n", 0..3),
            head in "HTTP/1\\.[01] 2[0-9]{2}( [a-z ]{0,9})?\r?\n([A-Z]: [a-z\r]{0,20}x\r?\n){0,3}\r?\n",
            tunnel in prop::collection::vec(any::<u8>(), 0..40),
            cuts in prop::collection::vec(1usize..9, 1..9),
        ) {
            let text = advance.concat() + &head;
            let stream = [text.as_bytes(), &tunnel].concat();
            let (end, rest) = answer(&stream, None, &cuts);
            prop_assert_eq!(end, Some(Ok(())));
            prop_assert_eq!(rest, tunnel);
        }

        #[test]
        fn any_bytes(
            stream in "(HTTP/1\\.1 [1-5][0-9]{2})?[ \r\n:A-Z0-9]{0,60}",
            more in prop::collection::vec(any::<u8>(), 0..300),
            cuts in prop::collection::vec(1usize..300, 1..9),
        ) {
            let stream = [stream.as_bytes(), &more].concat();
            let (end, _) = answer(&stream, None, &cuts);
            prop_assert_eq!(end, answer(&stream, None, &[1]).0);
        }
    }
}
