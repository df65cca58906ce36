//! What a user is given.

use std::os::unix::fs::PermissionsExt;

use fake_telegram::crypto::hex;
use fake_telegram::secret::{DOMAIN, KEY};
use fake_telegram::wait::run;

use super::*;

/// Those that tests are connected to have no public address.
fn with_links(telegram: &FakeTelegram) -> ProxyOptions {
    options(telegram).set("--link-name", "proxy.example.com")
}

#[test]
fn a_user_gets_all_links_that_the_proxy_serves() {
    run(async {
        let telegram = telegram();
        let site = fake_telegram::harness::TemporaryDirectory::new();
        fs::write(site.path().join("index.html"), "hello").unwrap();
        let options = with_links(&telegram).web("web.example.com", site.path().display());
        let proxy = started(options).await;
        let alice = json(&proxy, "add alice");
        let key = hex(&key_in(&alice));
        let ee = format!("ee{key}{}", hex(DOMAIN.as_bytes()));
        assert_eq!(alice["secret"], ee);
        let tg = |list: &str| alice[list][0]["tg"].as_str().unwrap().to_owned();
        assert!(tg("links").starts_with("tg://proxy?server=proxy.example.com&"));
        assert!(tg("links").ends_with(&ee));
        assert!(tg("web_links").starts_with("tg://webproxy?server=web.example.com&"));

        let shown = user(&proxy, "show alice").fine();
        for link in ["links", "web_links"] {
            assert!(shown.contains(&tg(link)), "{shown}");
        }
        assert!(shown.matches("▀▀").count() > 2, "{shown}");
        assert!(!user(&proxy, "show alice --no-qr").fine().contains('█'));

        // `link` shows users too, by the file.
        let config = proxy.directory().join("proxy.conf");
        let config = config.display().to_string();
        let link = |words: &[&str]| {
            let words = [&["link", "--config", &config, "--no-qr"], words].concat();
            let mut program = fake_telegram::harness::program(fake_telegram::built_binary!());
            Said::by(program.args(words))
        };
        let all = link(&[]).stdout;
        assert!(all.contains(&key) && all.contains(&hex(&KEY)), "{all}");
        let one = link(&["alice"]).stdout;
        assert!(one.contains(&key) && !one.contains(&hex(&KEY)), "{one}");
        let none = link(&["bob"]);
        assert_eq!(none.status, 66);
        assert!(
            none.stderr.contains("there is no secret bob"),
            "{}",
            none.stderr
        );
    });
}

#[test]
fn pictures_are_for_nobody_else() {
    run(async {
        let telegram = telegram();
        let proxy = started(with_links(&telegram)).await;
        let place = |name: &str| proxy.directory().join(name).display().to_string();
        let (svg, png) = (place("a.svg"), place("a.png"));
        user(&proxy, &format!("add alice --svg {svg} --png {png}")).fine();
        let picture = fs::read_to_string(&svg).unwrap();
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(fs::read(&png).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
        for file in [&svg, &png] {
            let mode = fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        // Alone, if it is stdout's.
        assert_eq!(user(&proxy, "show alice --svg -").fine(), picture);
        let said = user(&proxy, "show alice --svg /nowhere/a.svg");
        assert_eq!(said.status, 73);
        assert!(
            said.stderr.contains("cannot write /nowhere/a.svg"),
            "{}",
            said.stderr
        );
        for wrong in [
            "list --svg -",
            "show alice --png - --json",
            "add bob --keep 7d",
        ] {
            assert_eq!(refused(&proxy, wrong).0, 64, "{wrong}");
        }
    });
}

#[test]
fn a_reader_of_codes_reads_the_picture() {
    run(async {
        let telegram = telegram();
        let proxy = started(with_links(&telegram)).await;
        let png = proxy.directory().join("a.png").display().to_string();
        let shown = user(&proxy, &format!("add alice --png {png}")).fine();
        let mut reader = std::process::Command::new("zbarimg");
        let Ok(read) = reader.args(["--quiet", "--raw", &png]).output() else {
            return fake_telegram::harness::skipped("there is no zbarimg (Debian's zbar-tools)");
        };
        let read = String::from_utf8(read.stdout).unwrap();
        let link = shown.lines().find(|line| line.starts_with("  tg://"));
        assert_eq!(read.trim(), link.unwrap().trim());
    });
}

#[test]
fn without_a_site_a_user_gets_dd() {
    run(async {
        let telegram = telegram();
        let options = with_links(&telegram).without("--tls-domain");
        let proxy = started(options).await;
        let key = key_in(&json(&proxy, "add alice"));
        let secret = json(&proxy, "show alice")["secret"].clone();
        assert_eq!(secret, format!("dd{}", hex(&key)));
        let client = proxy.client(fake_telegram::client::Kind::Padded).key(key);
        assert!(client.is_served().await);
        telegram.assert_clean();
    });
}
