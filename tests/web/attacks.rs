//! A front, or who can pass for one, that wants the proxy to work for nothing.

use std::time::Duration;

use fake_telegram::client::{Client, Kind};
use fake_telegram::fairness::attack;
use fake_telegram::fairness::watch::{Others, Watch};
use fake_telegram::harness::ProxyOptions;
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, is_emulated, run, within};
use fake_telegram::web_front::manners::{Cut, Manners, Versions};

use crate::{Set, refused, served};

/// Bytes of memory that no attack takes.
const MEMORY: u64 = 8 << 20;

/// The longest wait of others for an echo of 64 bytes.
const WAIT: Duration = Duration::from_secs(1);

fn no_spare(options: ProxyOptions) -> ProxyOptions {
    options.set("--ws-spare", 0)
}

async fn start(manners: impl FnOnce(&mut Manners)) -> Set {
    let prepare = |set: &crate::Set0| {
        set.front.behave(|m| {
            m.versions = Versions::Only13;
            manners(m);
        });
    };
    Set::start_with("ws", prepare, no_spare).await
}

/// What the proxy has spent: processor time, and the most memory so far.
struct Spent<'a> {
    set: &'a Set,
    seconds: f64,
    memory: u64,
}

impl<'a> Spent<'a> {
    fn by(set: &'a Set) -> Self {
        Self {
            set,
            seconds: set.proxy.processor_seconds(),
            memory: set.proxy.resident_memory(),
        }
    }

    /// No more than that since.
    fn assert_within(&self, seconds: f64) {
        let spent = self.set.proxy.processor_seconds() - self.seconds;
        let grown = self.set.proxy.resident_memory().saturating_sub(self.memory);
        println!("{spent:.2} s, {} KiB more", grown >> 10);
        assert!(grown < MEMORY, "{grown} bytes more");
        assert!(is_emulated() || spent < seconds, "{spent} s");
    }
}

/// Echoes of others, for as long as it takes that `client` has had its bytes.
async fn watched(set: &Set, other: Client, client: impl Future<Output = ()>) {
    let mut other = other;
    let mut longest = Duration::ZERO;
    let echoes = async {
        for number in 0.. {
            let sent = std::time::Instant::now();
            within("an echo", other.echo(&echo(number, 64)))
                .await
                .unwrap();
            longest = longest.max(sent.elapsed());
        }
    };
    smol::future::or(client, echoes).await;
    assert!(is_emulated() || longest < WAIT, "{longest:?}");
    set.assert_clean();
}

/// The dearest way to send bytes: 23 more with each.
#[test]
fn records_of_a_byte_cost_what_their_bytes_cost() {
    run(async {
        let set = start(|_| {}).await;
        let (other, _) = served(&set.proxy, Kind::Padded, 2).await;
        set.front.behave(|m| m.tls.record = Some(1));
        let (mut client, _) = served(&set.proxy, Kind::Padded, 2).await;
        let spent = Spent::by(&set);
        let downloading = async {
            for _ in 0..4 {
                let download = client.download(32 << 10, 32 << 10);
                within("a download", download).await.unwrap();
            }
        };
        let before = set.front.tally().sealed;
        watched(&set, other, downloading).await;
        let sealed = set.front.tally().sealed - before;
        assert!(
            sealed > 23 * (128 << 10),
            "{sealed} bytes are no such records"
        );
        spent.assert_within(3.0);
    });
}

/// A key takes longer to be made than the record that asks for it to be opened.
#[test]
fn a_flood_of_wishes_for_new_keys_is_an_end() {
    run(async {
        let set = start(|_| {}).await;
        let (other, _) = served(&set.proxy, Kind::Padded, 2).await;
        let spent = Spent::by(&set);
        set.front.behave(|m| m.tls.key_updates = 10_000);
        let flooding = async {
            for _ in 0..3 {
                refused(&set.proxy).await;
            }
        };
        watched(&set, other, flooding).await;
        let told = || set.proxy.log_contains("too many messages of TLS");
        eventually("the reason in the log", told).await;
        spent.assert_within(1.0);
        // As many as a front may have reason for.
        set.front.behave(|m| m.tls.key_updates = 1);
        let (mut client, _) = served(&set.proxy, Kind::Padded, 2).await;
        for _ in 0..10 {
            let download = client.download(64 << 10, 64 << 10);
            within("a download", download).await.unwrap();
        }
        set.assert_clean();
    });
}

/// rustls keeps the certificates with each.
#[test]
fn a_flood_of_tickets_is_an_end() {
    run(async {
        let set = start(|_| {}).await;
        let (other, _) = served(&set.proxy, Kind::Padded, 2).await;
        let spent = Spent::by(&set);
        set.front.behave(|m| m.tls.tickets = Some(5_000));
        let flooding = async {
            for _ in 0..3 {
                refused(&set.proxy).await;
            }
        };
        watched(&set, other, flooding).await;
        let told = || set.proxy.log_contains("too many messages of TLS");
        eventually("the reason in the log", told).await;
        spent.assert_within(1.5);
        set.front.behave(|m| m.tls.tickets = Some(20));
        served(&set.proxy, Kind::Padded, 2).await;
        set.assert_clean();
    });
}

/// A frame is no reason to keep what its client does not take.
#[test]
fn frames_of_16_mib_to_who_does_not_read_take_no_more_than_others() {
    run(async {
        let set = start(|m| m.frames.cut = Cut::Exactly(16 << 20)).await;
        let client = set.proxy.client(Kind::Padded);
        let others = Others::arrive(vec![
            Watch::new("there", client.clone(), 64),
            Watch::newcomer("newcomer", client.clone()),
        ]);
        let others = others.await;
        let spent = Spent::by(&set);
        let deaf = attack::non_readers(client.clone(), 8, 16 << 20);
        let slow = attack::slow_reader(client, 20 << 20);
        deaf.is_on().await;
        slow.is_on().await;
        let time = Duration::from_secs(3);
        for waits in others.watch(time, 4 * WAIT).await {
            let (worst, cuts) = (waits.second_worst(), waits.cuts);
            assert!(is_emulated() || worst < WAIT, "{}: {worst:?}", waits.name);
            assert_eq!(cuts, 0, "{}", waits.name);
        }
        spent.assert_within(3.0);
        slow.hurry();
        slow.is_over().await;
        assert_eq!(slow.failures(), [] as [String; 0]);
        set.assert_clean();
    });
}
