//! Who comes by which network: in a namespace that has an address of each kind.

use fake_telegram::built_binary;
use fake_telegram::harness::namespace::{inside, shell};
use fake_telegram::harness::{Route, start};
use fake_telegram::wait::{eventually, run};

use super::asking::{Asker, token};

const LAN: &str = "192.168.7.1:9091";
/// Of documents, which stands for one of the internet.
const INTERNET: &str = "203.0.113.1:9091";
const HERE: &str = "127.0.0.1:9091";

#[test]
fn no_token_goes_through_the_internet_in_clear() {
    inside(
        "networks::no_token_goes_through_the_internet_in_clear",
        || {
            shell("ip address add 192.168.7.1/32 dev lo; ip address add 203.0.113.1/32 dev lo");
            run(async {
                let everywhere = |options: fake_telegram::harness::ProxyOptions| {
                    options.set("--metrics", "*:9091").in_config_file()
                };
                let (_telegram, mut proxy) =
                    start(built_binary!(), Route::Direct, everywhere).await;
                let token = token(&proxy);
                for (place, right, figures) in
                    [(HERE, 200, 200), (LAN, 200, 401), (INTERNET, 403, 401)]
                {
                    let asker = Asker::at(place).token(&token);
                    for target in ["/v1/status", "/v1/figures"] {
                        assert_eq!(asker.get(target).status, right, "{place} {target}");
                    }
                    assert_eq!(asker.send("POST", "/qr", "x").status, right, "{place}");
                    for host in [place, "localhost:9091"] {
                        let answer = Asker::at(place).host(host).get("/v1/figures");
                        assert_eq!(answer.status, figures, "{place} as {host}");
                    }
                    for target in ["/", "/metrics", "/healthz"] {
                        assert_eq!(Asker::at(place).get(target).status, 200, "{place} {target}");
                    }
                }
                let refused = Asker::at(INTERNET).token(&token).get("/v1/status");
                assert!(refused.body.contains("ssh -L"), "{}", refused.body);
                // It is not told whether it was right.
                assert_eq!(
                    Asker::at(INTERNET).token("wrong").get("/v1/status").status,
                    403
                );
                proxy.reload(|flags| flags.push(("--status-public", "yes".into())));
                eventually("that it is taken", || {
                    Asker::at(INTERNET).token(&token).get("/v1/status").status == 200
                })
                .await;
                assert_eq!(
                    Asker::at(INTERNET).token("wrong").get("/v1/status").status,
                    401
                );
                assert_eq!(Asker::at(INTERNET).get("/v1/figures").status, 401);
            });
        },
    );
}
