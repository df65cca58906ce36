//! What an app allows a relay, frame by frame: everything that one of the apps ends its
//! session for is an error here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::frames::{
    BYE, CLOSE, CREDIT, DATA, Frame, HELLO, LAST_STREAM, MAX_DATA, OPEN, PING, PONG, WELCOME,
    WINDOW, batch,
};
use super::options::App;

/// How many closed streams are remembered.
const REMEMBERED: usize = 4096;

/// What came for the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Welcome,
    Data(u32, Vec<u8>),
    /// So much more may be sent.
    Credit(u32, u32),
    Closed(u32),
    /// Is to be answered with the same payload.
    Ping(Vec<u8>),
    Bye,
}

/// One session's state as far as the rules go.
pub struct Rules {
    app: App,
    is_welcome: bool,
    is_over: bool,
    live: BTreeMap<u32, Credits>,
    closed: VecDeque<u32>,
    /// Those of them that the relay has closed too: it says no more of them.
    silenced: BTreeSet<u32>,
}

struct Credits {
    /// What the relay may still send.
    down: u64,
    /// What the app may still send.
    up: u64,
}

impl Rules {
    pub fn new(app: App) -> Self {
        Self {
            app,
            is_welcome: false,
            is_over: false,
            live: BTreeMap::new(),
            closed: VecDeque::new(),
            silenced: BTreeSet::new(),
        }
    }

    /// The app opens this stream.
    pub fn open(&mut self, stream: u32) {
        assert!(stream != 0 && stream <= LAST_STREAM, "no id: {stream}");
        let credits = Credits {
            down: CREDIT,
            up: CREDIT,
        };
        let before = self.live.insert(stream, credits);
        assert!(before.is_none(), "stream {stream} is open");
        self.closed.retain(|one| *one != stream);
        self.silenced.remove(&stream);
    }

    /// The app closes it; whether it was open.
    pub fn close(&mut self, stream: u32) -> bool {
        let was_open = self.live.remove(&stream).is_some();
        if was_open {
            self.remember(stream);
        }
        was_open
    }

    /// How much of `wanted` may be sent, which is taken off.
    pub fn spend(&mut self, stream: u32, wanted: usize) -> usize {
        let Some(credits) = self.live.get_mut(&stream) else {
            return 0;
        };
        let now = (wanted as u64).min(credits.up);
        credits.up -= now;
        now as usize
    }

    /// The app grants so much more.
    pub fn grant(&mut self, stream: u32, credit: u32) {
        if let Some(credits) = self.live.get_mut(&stream) {
            credits.down += u64::from(credit);
        }
    }

    pub fn is_open(&self, stream: u32) -> bool {
        self.live.contains_key(&stream)
    }

    /// What the relay may still send, and the app.
    pub fn credits(&self, stream: u32) -> Option<(u64, u64)> {
        let credits = self.live.get(&stream)?;
        Some((credits.down, credits.up))
    }

    /// Takes a message or body; an error says what no relay may do.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        for frame in batch(bytes)? {
            events.extend(self.take(frame)?);
        }
        Ok(events)
    }

    fn take(&mut self, frame: Frame) -> Result<Option<Event>, String> {
        let Frame {
            kind,
            stream,
            payload,
        } = frame;
        if self.is_over {
            return Err(format!("a frame {kind:02x} after BYE"));
        }
        if !self.is_welcome && kind != WELCOME {
            return Err(format!("a frame {kind:02x} before WELCOME"));
        }
        match kind {
            OPEN | HELLO | PONG => return Err(format!("a frame {kind:02x}, which is an app's")),
            WELCOME | PING | BYE if stream != 0 => {
                return Err(format!("a frame {kind:02x} for stream {stream}"));
            }
            DATA | CLOSE | WINDOW if stream == 0 => {
                return Err(format!("a frame {kind:02x} for stream 0"));
            }
            WELCOME => {
                if self.is_welcome {
                    return Err("a second WELCOME".to_owned());
                }
                if !payload.is_empty() {
                    return Err("a WELCOME with a payload".to_owned());
                }
                self.is_welcome = true;
                return Ok(Some(Event::Welcome));
            }
            PING if payload.len() > 64 => {
                return Err(format!("a PING of {} bytes", payload.len()));
            }
            PING => return Ok(Some(Event::Ping(payload))),
            BYE => {
                self.is_over = true;
                return Ok(Some(Event::Bye));
            }
            DATA if payload.is_empty() => return Err("DATA without a byte".to_owned()),
            DATA if payload.len() > MAX_DATA => {
                return Err(format!("DATA of {} bytes", payload.len()));
            }
            DATA => {}
            CLOSE if !payload.is_empty() => return Err("CLOSE with a payload".to_owned()),
            CLOSE => {}
            WINDOW => {
                if payload.len() != 4 || payload == [0; 4] {
                    return Err(format!("a WINDOW of {payload:02x?}"));
                }
            }
            _ => return Err(format!("a frame {kind:02x}, which there is not")),
        }
        if !self.is_known(stream)? {
            // What was under way when the app closed it.
            if kind == CLOSE {
                self.silenced.insert(stream);
            }
            return Ok(None);
        }
        self.take_of_stream(kind, stream, payload).map(Some)
    }

    /// Whether the stream is open; an error if it never was, or is long closed.
    fn is_known(&self, stream: u32) -> Result<bool, String> {
        if self.live.contains_key(&stream) {
            return Ok(true);
        }
        if self.silenced.contains(&stream) {
            return Err(format!("a frame for stream {stream} behind its CLOSE"));
        }
        if !self.closed.contains(&stream) {
            return Err(format!("a frame for stream {stream}, which is not known"));
        }
        Ok(false)
    }

    fn take_of_stream(&mut self, kind: u8, stream: u32, payload: Vec<u8>) -> Result<Event, String> {
        let Some(credits) = self.live.get_mut(&stream) else {
            return Err(format!("stream {stream} is not open"));
        };
        match kind {
            DATA => {
                let Some(rest) = credits.down.checked_sub(payload.len() as u64) else {
                    return Err(format!(
                        "DATA of {} bytes with credit for {}",
                        payload.len(),
                        credits.down
                    ));
                };
                credits.down = rest;
                Ok(Event::Data(stream, payload))
            }
            WINDOW => {
                let credit = payload
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
                credits.up += u64::from(credit);
                if credits.up > u64::from(u32::MAX) {
                    if self.app == App::Android {
                        return Err(format!("credit of {}, over 2^32 - 1", credits.up));
                    }
                    credits.up = u64::from(u32::MAX);
                }
                Ok(Event::Credit(stream, credit))
            }
            _ => {
                self.live.remove(&stream);
                self.remember(stream);
                self.silenced.insert(stream);
                Ok(Event::Closed(stream))
            }
        }
    }

    fn remember(&mut self, stream: u32) {
        self.closed.push_back(stream);
        if self.closed.len() > REMEMBERED
            && let Some(oldest) = self.closed.pop_front()
        {
            self.silenced.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{frame, window};
    use super::*;

    fn welcomed(app: App) -> Rules {
        let mut rules = Rules::new(app);
        let events = rules.receive(&frame(WELCOME, 0, &[])).unwrap();
        assert_eq!(events, [Event::Welcome]);
        rules.open(5);
        rules
    }

    #[track_caller]
    fn breaks(rules: &mut Rules, bytes: &[u8], expected: &str) {
        let said = rules.receive(bytes).unwrap_err();
        assert!(said.contains(expected), "{said}: {expected}");
    }

    #[test]
    fn every_violation_is_named() {
        breaks(
            &mut Rules::new(App::Desktop),
            &frame(PING, 0, &[]),
            "before",
        );
        for (bytes, expected) in [
            (frame(WELCOME, 0, &[]), "second WELCOME"),
            (frame(OPEN, 5, &[]), "an app's"),
            (frame(HELLO, 0, &[1]), "an app's"),
            (frame(PONG, 0, &[]), "an app's"),
            (frame(0x07, 5, &[]), "there is not"),
            (frame(0x12, 0, &[]), "there is not"),
            (frame(0x13, 0, &[]), "there is not"),
            (frame(DATA, 5, &[]), "without a byte"),
            (frame(DATA, 0, &[1]), "stream 0"),
            (frame(DATA, 6, &[1]), "not known"),
            (frame(DATA, 5, &vec![0; MAX_DATA + 1]), "1048577"),
            (frame(CLOSE, 5, &[1]), "payload"),
            (frame(CLOSE, 6, &[]), "not known"),
            (frame(WINDOW, 5, &[0, 0, 0, 0]), "a WINDOW of"),
            (frame(WINDOW, 5, &[0, 0, 1]), "a WINDOW of"),
            (frame(WINDOW, 5, &[0, 0, 0, 0, 1]), "a WINDOW of"),
            (frame(WINDOW, 6, &[0, 0, 0, 1]), "not known"),
            (frame(PING, 0, &[0; 65]), "PING of 65"),
            (frame(PING, 5, &[]), "for stream 5"),
            ([frame(BYE, 0, b"x"), frame(PING, 0, &[])].concat(), "BYE"),
            (
                [frame(CLOSE, 5, &[]), frame(DATA, 5, &[1])].concat(),
                "CLOSE",
            ),
            (
                [frame(CLOSE, 5, &[]), frame(CLOSE, 5, &[])].concat(),
                "CLOSE",
            ),
        ] {
            breaks(&mut welcomed(App::Desktop), &bytes, expected);
        }
    }

    #[test]
    fn credit_ends_to_the_byte() {
        let mut rules = welcomed(App::Android);
        for _ in 0..4 {
            rules.receive(&frame(DATA, 5, &vec![0; MAX_DATA])).unwrap();
        }
        breaks(&mut rules, &frame(DATA, 5, &[0]), "with credit for 0");
        rules.grant(5, 3);
        rules.receive(&frame(DATA, 5, &[0; 3])).unwrap();
        breaks(&mut rules, &frame(DATA, 5, &[0]), "with credit for 0");
    }

    #[test]
    fn credit_saturates_on_desktop_and_is_fatal_on_android() {
        let most = window(5, u32::MAX - CREDIT as u32);
        let mut desktop = welcomed(App::Desktop);
        desktop.receive(&most).unwrap();
        desktop.receive(&window(5, 9)).unwrap();
        assert_eq!(desktop.credits(5), Some((CREDIT, u64::from(u32::MAX))));
        let mut android = welcomed(App::Android);
        android.receive(&most).unwrap();
        breaks(&mut android, &window(5, 1), "over 2^32 - 1");
    }

    #[test]
    fn what_was_under_way_is_ignored_for_4096_closes() {
        let mut rules = welcomed(App::Desktop);
        assert!(rules.close(5));
        for stream in 100..100 + REMEMBERED as u32 - 1 {
            rules.open(stream);
            rules.close(stream);
        }
        assert_eq!(rules.receive(&frame(DATA, 5, &[1])), Ok(vec![]));
        // Even so it is well made, and the relay's own CLOSE is the last of it.
        breaks(&mut rules, &frame(DATA, 5, &[]), "without a byte");
        assert_eq!(rules.receive(&frame(CLOSE, 5, &[])), Ok(vec![]));
        breaks(&mut rules, &window(5, 1), "behind its CLOSE");
        rules.open(9000);
        rules.close(9000);
        breaks(&mut rules, &window(5, 1), "not known");
    }

    #[test]
    fn an_app_spends_what_it_has() {
        let mut rules = welcomed(App::Desktop);
        assert_eq!(rules.spend(5, 1 << 30), CREDIT as usize);
        assert_eq!(rules.spend(5, 1), 0);
        let granted = rules.receive(&window(5, 7)).unwrap();
        assert_eq!(granted, [Event::Credit(5, 7)]);
        assert_eq!(rules.spend(5, 9), 7);
    }
}
