//! The address under which Telegram sees the proxy, on a network that comes
//! later than the proxy and changes.

use std::time::Instant;

use fake_telegram::built_binary;
use fake_telegram::harness::namespace::{inside, shell};
use fake_telegram::harness::{ProxyOptions, Route, TemporaryDirectory};
use fake_telegram::secret::DOMAIN;
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait::{eventually, run};

#[test]
fn an_address_that_appears_or_changes_is_noticed() {
    inside("an_address_that_appears_or_changes_is_noticed", || {
        run(async {
            let telegram = FakeTelegram::start(Options::default()).unwrap();
            let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
            let proxy = options.without("--external-ip").start().await;
            let no_route = || proxy.log_contains("no route to the internet yet");
            eventually("it has none", no_route).await;
            shell(
                "ip link add name wan type veth peer name isp && ip link set isp up && ip link set wan up",
            );
            let mut before = None;
            for address in ["9.9.9.9", "8.8.4.4"] {
                shell(&format!(
                    "ip address add {address}/32 dev wan && ip route replace default dev wan src {address}"
                ));
                if let Some(before) = before.replace(address) {
                    shell(&format!("ip address delete {before}/32 dev wan"));
                }
                let start = Instant::now();
                let line = format!("public address {address}, from the interface");
                eventually("it is noticed", || proxy.log_contains(&line)).await;
                let took = start.elapsed().as_secs_f32();
                println!("{address} was noticed after {took:.1} s");
                // Without the kernel's word it may be half a minute.
                assert!(took < 15.0, "{took}");
            }
        });
    });
}

#[test]
fn a_domain_that_leads_to_another_machine_is_said_at_the_start() {
    inside(
        "a_domain_that_leads_to_another_machine_is_said_at_the_start",
        || {
            run(async {
                let telegram = FakeTelegram::start(Options::default()).unwrap();
                let folder = TemporaryDirectory::new();
                let hosts = folder.path().join("hosts");
                std::fs::write(&hosts, format!("8.8.4.4 {DOMAIN}\n")).unwrap();
                let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct)
                    .set("--external-ip", "9.9.9.9")
                    .set("--fronting", "sni")
                    .hosts_file(hosts);
                let proxy = options.start().await;
                let line = format!("warn {DOMAIN} leads to 8.8.4.4, and this machine is 9.9.9.9");
                eventually("it is said", || proxy.log_contains(&line)).await;
            });
        },
    );
}
