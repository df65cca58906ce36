//! When and how connections end, and how long answers take: as at the site.

use std::fs;

use super::site::ALERT;
use super::*;

/// A site that ends connections itself after so long.
const SITE_PATIENCE: Duration = Duration::from_millis(1300);

const MODEL: FlightProfile<u16> = FlightProfile {
    cipher_suite: 0x1301,
    post_quantum: false,
    versions_first: true,
    records: 1,
    lengths: 2800,
};

/// What comes until the end.
fn until_the_end(mut stream: TcpStream, sent: &[u8]) -> Vec<u8> {
    stream.write_all(sent).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    said
}

/// What one hears that sends these pieces, each so long after it came, and when the end
/// comes.
fn end_of(
    proxy: &Proxy,
    pieces: Vec<(Duration, Vec<u8>)>,
) -> thread::JoinHandle<(Vec<u8>, Duration)> {
    // Nobody counts from an earlier moment, however late a busy machine connects.
    let began = Instant::now();
    let mut stream = connect(proxy);
    thread::spawn(move || {
        for (after, piece) in pieces {
            thread::sleep(after.saturating_sub(began.elapsed()));
            // A busy machine may be too late for that.
            let _ = stream.write_all(&piece);
        }
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        (said, began.elapsed())
    })
}

/// Whether all of a site's patience has been seen, and little more: the kept line has
/// the endings of a silent visitor, of two partial hellos, of an unfinished handshake and,
/// with its alert, of a garbled one.
fn looked_well(kept: &str) -> bool {
    let endings: Vec<_> = kept.split(' ').skip(1).take(5).collect();
    let patience = SITE_PATIENCE.as_millis();
    let is_patience = |ending: &&str| {
        let millis = ending.trim_end_matches(|c: char| !c.is_ascii_digit());
        let millis = millis.parse::<u128>();
        millis.is_ok_and(|after| (patience - 50..=patience + 150).contains(&after))
    };
    endings.len() == 5 && endings[..4].iter().all(is_patience) && endings[4].contains('+')
}

/// Those of a site that has been looked at are known over a restart.
#[test]
fn who_does_not_go_on_is_left_as_by_the_site() {
    run(async {
        let site = Site::start(Manners::EndsAfter(flight(&MODEL), SITE_PATIENCE));
        let change = |options: ProxyOptions| {
            // Known well, so that it is not asked for long before it is looked at.
            let lengths = vec![MODEL.lengths.to_string(); 12].join(",");
            let known = format!("{DOMAIN} 1301 x25519 versions-first lengths 1 {lengths}\n");
            fs::write(options.directory().join("sites"), known).unwrap();
            fronted(&site)(options)
        };
        let (telegram, mut proxy) = start(built_binary!(), Route::Direct, change).await;
        let file = proxy.directory().join("manners");
        // A busy machine may look badly; it looks again then.
        loop {
            eventually("a look at the site", || file.exists()).await;
            let options = proxy.stop().await;
            let kept = fs::read_to_string(&file).unwrap();
            let is_good = looked_well(&kept);
            if !is_good {
                fs::remove_file(&file).unwrap();
            }
            proxy = options.start().await;
            if is_good {
                break;
            }
        }

        let hello = || proxy.client(Kind::FakeTls).first_bytes();
        let part = hello()[..300].to_vec();
        let garbled = [&[0x17, 3, 3, 0, 64][..], &[7; 64]].concat();
        // One try that is neither early nor late, as machines that run tests are busy.
        let mut tries = Vec::new();
        let (early, late) = (Duration::from_millis(100), Duration::from_millis(500));
        let good = SITE_PATIENCE - early..SITE_PATIENCE + late;
        while !tries
            .last()
            .is_some_and(|(least, most)| good.contains(least) && good.contains(most))
        {
            assert!(tries.len() < 5, "{tries:?}");
            // The site counts from accepting on, whenever they come.
            let stranger = proxy.client(Kind::FakeTls).key([9; 16]).first_bytes();
            let after = Duration::from_millis;
            let pieces = [
                vec![],
                vec![(after(0), part.clone())],
                vec![(after(900), stranger)],
                vec![
                    (after(0), part[..100].to_vec()),
                    (after(1100), part[100..].to_vec()),
                ],
            ];
            let ends = pieces.map(|pieces| end_of(&proxy, pieces));
            let ends = ends.map(|end| end.join().unwrap());
            assert!(ends[0].0.is_empty() && ends[1].0.is_empty());
            let mut times = ends.map(|(_, time)| time);
            times.sort();
            tries.push((times[0], times[3]));
        }

        let mut answered = connect(&proxy);
        answered.write_all(&hello()).unwrap();
        let mut answer = Vec::new();
        while fake_telegram::tls::flight_len(&answer).is_none() {
            let mut buffer = [0; 4096];
            let length = answered.read(&mut buffer).unwrap();
            answer.extend_from_slice(&buffer[..length]);
        }
        let said = until_the_end(answered, &garbled);
        assert!(
            said.len() == ALERT.len() && said.starts_with(&ALERT[..5]),
            "{said:02x?}"
        );
        let mut client = proxy.client(Kind::FakeTls).connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 512))).await.unwrap();
        telegram.assert_clean();
    });
}

#[test]
fn answers_take_as_long_as_the_sites() {
    run(async {
        let late = Duration::from_millis(200);
        let site = Site::start(Manners::AnswersLate(flight(&MODEL), late));
        let (telegram, proxy) = start(built_binary!(), Route::Direct, fronted(&site)).await;
        let time = |proxy: &Proxy| {
            let began = Instant::now();
            answer(proxy);
            began.elapsed()
        };
        // The first one waits for the site's first answer.
        time(&proxy);
        let waited = time(&proxy);
        assert!(waited >= late - Duration::from_millis(20), "{waited:?}");
        let options = proxy.stop().await.set("--answer-time", "off");
        let proxy = options.start().await;
        time(&proxy);
        // Any of many, as machines that run tests are busy.
        let mut times = (0..30).map(|_| time(&proxy));
        assert!(times.any(|time| time < late / 2));
        telegram.assert_clean();
    });
}
