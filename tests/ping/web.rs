//! WEB proxies, by both carriers.

use fake_telegram::built_binary;
use fake_telegram::crypto::{from_hex, hex};
use fake_telegram::harness::{Proxy, ProxyOptions, Route};
use fake_telegram::secret::KEY;
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait::run;
use fake_telegram::web_front::Authority;
use serde_json::Value;

use crate::{WRONG, advice, failure, told, words};

const HOST: &str = "proxy.example.com";

struct Set {
    telegram: FakeTelegram,
    proxy: Proxy,
    ca: String,
}

impl Set {
    async fn start(host: &str) -> Self {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let authority = Authority::new();
        let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
        let options = match host == HOST {
            true => options.web_by_tls(HOST, &authority),
            false => with_path(options.web_by_tls(HOST, &authority)),
        };
        let proxy = options.start().await;
        let ca = proxy.directory().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        Self {
            telegram,
            ca: ca.display().to_string(),
            proxy,
        }
    }

    async fn told(&self, link: &str, more: &str) -> (i32, Value) {
        let (at, ca) = (self.proxy.address(), &self.ca);
        told(&words(link, &format!("--at {at} --ca {ca} {more}"))).await
    }
}

/// The same host's page below a path.
fn with_path(options: ProxyOptions) -> ProxyOptions {
    let file = |name: &str| options.directory().join(name).display().to_string();
    let (cert, key) = (file("host.pem"), file("host.key"));
    options.set("--web", format!("{HOST}/my/app,cert={cert},key={key}"))
}

fn link(secret: &str) -> String {
    format!("tg://webproxy?server={HOST}&secret={secret}")
}

#[test]
fn each_dc_answers_by_both_carriers() {
    run(async {
        let set = Set::start(HOST).await;
        for secret in [format!("dd{}", hex(&KEY)), hex(&KEY)] {
            let (status, told) = set.told(&link(&secret), "--dc 1 --dc 2 --dc 5").await;
            assert_eq!(status, 0, "{told}");
            let told = &told["links"][0];
            assert_eq!(
                (&told["kind"], &told["port"]),
                (&"webproxy".into(), &443.into())
            );
            let pings = told["pings"].as_array().unwrap().iter();
            let shown: Vec<_> = pings
                .map(|ping| format!("{} {}", ping["form"].as_str().unwrap(), ping["dc"]))
                .collect();
            let by = |form: &str| [1, 2, 5].map(|dc| format!("{form} {dc}"));
            assert_eq!(shown, [by("websocket"), by("https")].concat());
        }
        // Nothing of it stays behind.
        let is_gone = || set.proxy.counted("web_sessions", "") == 0;
        fake_telegram::wait::eventually("the ends of the sessions", is_gone).await;
        set.telegram.assert_clean();
    });
}

#[test]
fn below_a_path_too() {
    run(async {
        let set = Set::start("with a path").await;
        let marked = from_hex(&format!("70dd{}", hex(&KEY))).unwrap();
        let marked = data_encoding::BASE64URL_NOPAD.encode(&marked);
        let place = format!("{HOST}%2Fmy%2Fapp");
        let link = format!("https://t.me/webproxy?server={place}&secret={marked}");
        let (status, told) = set.told(&link, "--dc 2").await;
        assert_eq!(status, 0, "{told}");
        // Without it there is only the site.
        let (status, told) = set.told(&crate::web::link(&hex(&KEY)), "--dc 2").await;
        assert_eq!((status, failure(&told)), (69, "cover"), "{told}");
    });
}

#[test]
fn what_is_wrong_is_told_apart() {
    run(async {
        let set = Set::start(HOST).await;
        let (status, told) = set.told(&link(&hex(&WRONG)), "--dc 2").await;
        assert_eq!((status, failure(&told)), (69, "cover"), "{told}");
        assert!(
            advice(&told).contains("secret or path are not the proxy's"),
            "{told}"
        );

        let at = format!("--at {} --dc 2", set.proxy.address());
        let (status, told) = crate::told(&words(&link(&hex(&KEY)), &at)).await;
        assert_eq!((status, failure(&told)), (69, "certificate"), "{told}");
        assert!(advice(&told).contains("fullchain.pem"), "{told}");

        set.telegram
            .behave(|behaviour| behaviour.direct_silent = true);
        let (status, told) = set
            .told(&link(&hex(&KEY)), "--dc 2 --dc 4 --timeout 4")
            .await;
        assert_eq!((status, failure(&told)), (69, "web_timeout"), "{told}");
        assert!(advice(&told).contains("the WEB proxy works"), "{told}");
        assert_eq!(
            told["links"][0]["pings"].as_array().unwrap().len(),
            4,
            "{told}"
        );
        set.telegram.behave(|behaviour| {
            behaviour.direct_silent = false;
            behaviour.direct_refuse = true;
        });
        let (_, told) = set.told(&link(&hex(&KEY)), "--dc 2 --timeout 8").await;
        assert_eq!(failure(&told), "dc_closed", "{told}");
    });
}
