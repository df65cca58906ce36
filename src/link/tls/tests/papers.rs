use super::super::papers::Papers;
use super::*;

fn papers(name: &str, role: Role) -> Arc<Papers> {
    TlsFiles::read(&files(&made(), name), role).unwrap().papers
}

#[test]
fn an_alert_after_the_handshake_says_why() {
    let (mut front, mut back) = pair(1 << 20);
    for (alert, words) in [
        (48, "this side's certificate is of another CA"),
        (44, "the back refuses the certificate of this front"),
        (43, "the back does not take this certificate for a front's"),
        (50, "is that a port of the back's --link-listen?"),
    ] {
        let sent = record(&mut back, &[2, alert], Kind::Alert);
        let error = front.take(&sent).unwrap_err();
        let text = papers("home", Role::Front).explain(&error);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn dates_say_whose_clock_is_wrong_and_what_is_to_be_renewed() {
    const DAY: i64 = 24 * 3600;
    let now = x509::now();
    let (front, back) = (papers("home", Role::Front), papers("back", Role::Back));
    let told = |papers: &Papers, at| -> Vec<_> {
        let concerns = papers.concerns(at).into_iter();
        concerns.map(|one| (one.is_fatal, one.text)).collect()
    };
    for papers in [&front, &back] {
        assert!(told(papers, now).is_empty());
        // The clock of a router without a battery.
        let early = told(papers, 100);
        assert!(early.len() == 1 && early[0].0, "{early:?}");
        assert!(early[0].1.contains("this machine's clock shows 1970-01-01"));
        let last = now + 3650 * DAY;
        assert!(told(papers, last - 31 * DAY).is_empty());
        let soon = told(papers, last - 30 * DAY + 60);
        assert!(soon.len() == 1 && !soon[0].0, "{soon:?}");
        assert!(
            soon[0]
                .1
                .contains("in 29 days: `smol-mtproxy certs renew DIR")
        );
        let late = told(papers, last + DAY);
        assert!(late[0].0 && late[0].1.contains("has expired"), "{late:?}");
        // Its own and the CA.
        assert_eq!(told(papers, now + 7300 * DAY).len(), 2);
    }
    assert!(
        told(&front, now + 3640 * DAY)[0]
            .1
            .contains("copy home.pem here")
    );
    assert!(
        told(&back, now + 3640 * DAY)[0]
            .1
            .contains("renew DIR back`, then reload")
    );

    let expired = Error::AlertReceived(rustls::AlertDescription::CertificateExpired);
    for (at, words) in [
        (now, "the other machine's clock is wrong"),
        (0, "this machine's clock shows 1970-01-01"),
        (now + 4000 * DAY, "this side's certificate has expired"),
    ] {
        let text = back.explain_at(&expired, at);
        assert!(text.contains(words), "{text}");
    }
    let date = |unix| UnixTime::since_unix_epoch(std::time::Duration::from_secs(unix));
    let early = Error::InvalidCertificate(rustls::CertificateError::NotValidYetContext {
        time: date(100),
        not_before: date(86_400 * 20_000),
    });
    let text = front.explain_at(&early, 100);
    assert!(
        text.contains("this machine's clock shows 1970-01-01"),
        "{text}"
    );
    let text = front.explain_at(&early, now);
    assert!(text.contains("good from 2024-10-04 on"), "{text}");
}

/// A clock that stands.
#[derive(Debug)]
struct Stands(u64);

impl rustls::time_provider::TimeProvider for Stands {
    fn current_time(&self) -> Option<UnixTime> {
        let since = std::time::Duration::from_secs(self.0);
        Some(UnixTime::since_unix_epoch(since))
    }
}

#[test]
fn a_front_in_1970_is_told_that_it_is_its_clock_and_its_back_too() {
    let folder = made();
    let read = |name, role| TlsFiles::read(&files(&folder, name), role).unwrap();
    let (front, back) = (read("home", Role::Front), read("back", Role::Back));
    let (TlsSide::Front(config, _), TlsSide::Back(server)) = (&front.side, &back.side) else {
        unreachable!();
    };
    let mut config = ClientConfig::clone(config);
    config.time_provider = Arc::new(Stands(100));
    let side = Side::Front(UnbufferedClientConnection::new(config.into(), name()).unwrap());
    let mut shaking = Shaking::new(side);
    assert!(matches!(shaking.advance(&[]), Ok(Progress::Waits)));
    let server = UnbufferedServerConnection::new(server.clone()).unwrap();
    let mut other = Shaken::new(Side::Back(server));
    let answer = other.take(&std::mem::take(shaking.outgoing())).unwrap();
    let Err(error) = shaking.advance(&answer) else {
        panic!("it takes a certificate of the future");
    };
    let text = front.papers.explain_at(&error, 100);
    assert!(
        text.contains("this machine's clock shows 1970-01-01"),
        "{text}"
    );
    let error = other.take(shaking.outgoing()).unwrap_err();
    let text = back.papers.explain(&error);
    assert!(
        text.contains("the other machine's clock is wrong"),
        "{text}"
    );
}

#[test]
fn what_does_not_belong_together_is_named() {
    let (ours, other) = (made(), made());
    let told = |cert: &str, ca: &TemporaryDirectory, role| {
        let mut files = files(&ours, cert);
        files.ca = ca.path().join("certs/ca.pem");
        let papers = TlsFiles::read(&files, role).unwrap().papers;
        let concerns = papers.concerns(x509::now()).into_iter();
        concerns.map(|one| one.text).collect::<String>()
    };
    assert_eq!(told("home", &ours, Role::Front), "");
    assert_eq!(told("back", &ours, Role::Back), "");
    for (cert, role) in [("home", Role::Front), ("back", Role::Back)] {
        let text = told(cert, &other, role);
        assert!(text.contains("is not of the CA in"), "{text}");
    }
    let text = told("home", &ours, Role::Back);
    assert!(text.contains("is no back's certificate"), "{text}");
    let text = told("back", &ours, Role::Front);
    assert!(text.contains("is no front's certificate"), "{text}");
    let mut mixed = files(&ours, "home");
    mixed.key = ours.path().join("certs/back.key");
    let error = TlsFiles::read(&mixed, Role::Front).err().unwrap();
    assert!(error.to_string().contains("not the key of"), "{error}");
}
