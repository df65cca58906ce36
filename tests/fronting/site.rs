//! A web site as far as a proxy in front of it can tell: it takes connections,
//! keeps what it got, and says what a test wants it to say.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fake_telegram::harness::free_address;

/// Said last, once the visitor has said its last.
pub const FAREWELL: &[u8] = b"farewell";

/// The end of who cannot be understood: 17 bytes of payload, to be told from nginx's.
pub const ALERT: [u8; 22] = *b"\x17\x03\x03\x00\x11seventeen bytes..";

#[derive(Clone)]
pub enum Manners {
    /// Sends back what it gets, every bit turned.
    Mirror,
    /// Listens and says nothing.
    Silent,
    /// Says this first, then is a [`Manners::Mirror`].
    Greets(Vec<u8>),
    /// Says this to the first bytes, then listens.
    Answers(Vec<u8>),
    /// The same, and to each visitor the next of these; to later ones the last.
    AnswersInTurn(Vec<Vec<u8>>),
    /// Says what this makes of the first bytes, then listens.
    Makes(Maker),
    /// Says this a while after the first bytes, then listens.
    AnswersLate(Vec<u8>, Duration),
    /// Answers a whole hello with this, and ends what goes on with an encrypted
    /// alert. Has enough after that time in any case.
    EndsAfter(Vec<u8>, Duration),
    /// Sends zeros from the first byte on for as long as it can.
    Floods,
    /// Ends the connection with a reset at the first byte.
    Resets,
}

/// An answer to some bytes.
pub type Maker = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// What one visitor sent, and whether it has said its last.
#[derive(Clone, Default)]
pub struct Visit {
    pub bytes: Vec<u8>,
    pub has_ended: bool,
}

pub struct Site {
    pub address: SocketAddr,
    visits: Visits,
}

type Visits = Arc<Mutex<Vec<Visit>>>;

impl Site {
    pub fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind(free_address()).expect("it was free");
        let address = listener.local_addr().expect("it is bound");
        let visits = Visits::default();
        let kept = visits.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (manners, visits) = (manners.clone(), kept.clone());
                thread::spawn(move || serve(stream, &manners, &visits));
            }
        });
        Self { address, visits }
    }

    pub fn start_unix(path: &Path, manners: Manners) {
        let listener = UnixListener::bind(path).expect("the directory can be written");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let manners = manners.clone();
                thread::spawn(move || serve(stream, &manners, &Visits::default()));
            }
        });
    }

    /// All visits so far, in the order in which they began.
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.lock().expect("nobody panicked").clone()
    }

    /// Whether somebody sent exactly this, and then the end of it.
    pub fn got(&self, bytes: &[u8]) -> bool {
        let got_it = |visit: &Visit| visit.has_ended && visit.bytes == bytes;
        self.visits().iter().any(got_it)
    }
}

pub fn mirrored(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

trait Stream: Read + Write {
    fn finish(&self);
    fn reset(&self) {}
    fn wait_at_most(&self, _time: Duration) {}
}

impl Stream for TcpStream {
    fn finish(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }

    fn wait_at_most(&self, time: Duration) {
        let time = time.max(Duration::from_millis(1));
        self.set_read_timeout(Some(time)).expect("it is a socket");
    }

    fn reset(&self) {
        let linger = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(self, linger).expect("it is a socket");
    }
}

impl Stream for UnixStream {
    fn finish(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

fn serve(mut stream: impl Stream, manners: &Manners, visits: &Visits) {
    let number = {
        let mut visits = visits.lock().expect("nobody panicked");
        visits.push(Visit::default());
        visits.len() - 1
    };
    if let Manners::Greets(greeting) = manners {
        let _ = stream.write_all(greeting);
    }
    let began = Instant::now();
    let mut buffer = vec![0; 100_000];
    if let Manners::EndsAfter(_, after) = manners {
        stream.wait_at_most(*after);
    }
    let mut was_answered = false;
    while let Ok(length) = stream.read(&mut buffer)
        && length > 0
    {
        let bytes = &buffer[..length];
        visits.lock().expect("nobody panicked")[number]
            .bytes
            .extend_from_slice(bytes);
        let answer = match manners {
            Manners::Mirror | Manners::Greets(_) => mirrored(bytes),
            Manners::Answers(answer) if !was_answered => answer.clone(),
            Manners::Makes(make) if !was_answered => make(bytes),
            Manners::AnswersLate(answer, late) if !was_answered => {
                thread::sleep(*late);
                answer.clone()
            }
            Manners::EndsAfter(answer, after) => {
                stream.wait_at_most(after.saturating_sub(began.elapsed()));
                let visits = visits.lock().expect("nobody panicked");
                let heard = &visits[number].bytes;
                match heard
                    .get(3..5)
                    .map(|length| u16::from_be_bytes([length[0], length[1]]))
                {
                    Some(length) if heard.len() < usize::from(length) + 5 => continue,
                    None => continue,
                    Some(_) if !was_answered => answer.clone(),
                    Some(_) => {
                        drop(visits);
                        let _ = stream.write_all(&ALERT);
                        return stream.finish();
                    }
                }
            }
            Manners::AnswersInTurn(answers) if !was_answered => {
                let last = answers.last().cloned().unwrap_or_default();
                answers.get(number).cloned().unwrap_or(last)
            }
            Manners::Silent
            | Manners::Answers(_)
            | Manners::AnswersInTurn(_)
            | Manners::AnswersLate(..)
            | Manners::Makes(_) => Vec::new(),
            Manners::Floods => {
                while stream.write_all(&[0; 100_000]).is_ok() {}
                return;
            }
            Manners::Resets => return stream.reset(),
        };
        was_answered = true;
        if stream.write_all(&answer).is_err() {
            break;
        }
    }
    visits.lock().expect("nobody panicked")[number].has_ended = true;
    if !matches!(manners, Manners::EndsAfter(..)) {
        let _ = stream.write_all(FAREWELL);
    }
    stream.finish();
}
