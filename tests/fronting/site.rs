//! A web site as far as a proxy in front of it can tell: it takes connections,
//! keeps what it got, and says what a test wants it to say.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use fake_telegram::harness::free_address;

/// Said last, once the visitor has said its last.
pub const FAREWELL: &[u8] = b"farewell";

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
}

impl Stream for TcpStream {
    fn finish(&self) {
        let _ = self.shutdown(Shutdown::Write);
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
    let mut buffer = vec![0; 100_000];
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
            Manners::AnswersInTurn(answers) if !was_answered => {
                let last = answers.last().cloned().unwrap_or_default();
                answers.get(number).cloned().unwrap_or(last)
            }
            Manners::Silent
            | Manners::Answers(_)
            | Manners::AnswersInTurn(_)
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
    let _ = stream.write_all(FAREWELL);
    stream.finish();
}
