//! What no secret authorises reaches the site as it is, and its answer the visitor.

use fake_telegram::harness::Route;
use fake_telegram::wait::{run, within};
use fake_telegram::web_app::{Connection, Options, Origin, Request};

use crate::{HOST, Set};

/// The same visit to the site itself.
fn straight(set: &Set) -> Options {
    Options::new(set.origin.address(), HOST)
}

/// The raw answers to raw requests, one after the other on one connection.
async fn raw(app: &Options, requests: &[u8], until: usize) -> Vec<u8> {
    let mut connection = app.connect().await.unwrap();
    connection.send(requests).await.unwrap();
    let answer = within("an answer", connection.take(until)).await;
    answer.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(requests)))
}

/// Of a connection that the site ends.
async fn raw_to_end(app: &Options, requests: &[u8]) -> Vec<u8> {
    let mut connection = app.connect().await.unwrap();
    connection.send(requests).await.unwrap();
    within("the end", connection.rest()).await.unwrap()
}

#[test]
fn requests_and_answers_go_unchanged() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let get = |target: &str| Request::new(&set.app(), "GET", target);
        let chunked =
            Request::new(&set.app(), "PUT", "/echo").field("Transfer-Encoding", "chunked");
        let requests = [
            get("/"),
            get("/a%20b?c=d&e=%2f#f"),
            get("/nothing"),
            get("/bytes/100000").field("Range", "bytes=0-9"),
            get("/chunked/5000"),
            get("/hints"),
            Request::new(&set.app(), "HEAD", "/bytes/1000"),
            Request::new(&set.app(), "HEAD", "/chunked/10"),
            Request::new(&set.app(), "OPTIONS", "*"),
            Request::new(&set.app(), "DELETE", "/x"),
            Request::new(&set.app(), "POST", "/echo").body(&vec![7; 300_000]),
            Request::new(&set.app(), "POST", "/echo")
                .field("Expect", "100-continue")
                .body(b"late"),
            Request::new(&set.app(), "POST", "/api/v1/session").body(b"x"),
            Request::new(&set.app(), "POST", "/api/v1/up")
                .field("X-Up-Seq", "1")
                .body(b"x"),
            get("/api/v1/ws").field("Authorization", "Basic YTpi"),
            get("/")
                .field("Cookie", "a=b")
                .field("cookie", "c=d")
                .field("X-Odd", "  1  "),
            get("/").set("Host", "elsewhere.example.com"),
        ];
        for request in &requests {
            let expected = straight(&set).connect().await.unwrap().ask(request).await;
            let expected = expected.unwrap();
            let direct = set.origin.visits().pop().unwrap();
            let answer = set.ask(request).await;
            let through = set.origin.visits().pop().unwrap();
            let what = format!("{} {}", request.method, request.target);
            assert_eq!(through.text(), direct.text(), "{what}");
            assert_eq!(through.body, direct.body, "{what}");
            let text = |head: &[u8]| String::from_utf8_lossy(head).into_owned();
            assert_eq!(text(&answer.head), text(&expected.head), "{what}");
            assert_eq!(answer.body, expected.body, "{what}");
            assert_eq!(answer.before, expected.before, "{what}");
        }
        // Chunks are chunks, wherever they are cut.
        let head = chunked.head();
        let body = b"4\r\nwiki\r\n6;x=y\r\npedia.\r\n0\r\nX-Sum: 1\r\n\r\n";
        let sent = [&head[..], body].concat();
        let expected = straight(&set).connect().await.unwrap();
        let expected = exchange(expected, &sent).await;
        let came = exchange(set.app().connect().await.unwrap(), &sent).await;
        assert_eq!(came, expected);
        assert_eq!(set.origin.visits().pop().unwrap().body, b"wikipedia.");
    });
}

async fn exchange(mut connection: Connection, sent: &[u8]) -> (u16, Vec<u8>) {
    for part in sent.chunks(7) {
        connection.send(part).await.unwrap();
        smol::future::yield_now().await;
    }
    let answer = within("an answer", connection.answer("PUT")).await.unwrap();
    (answer.status, answer.body)
}

#[test]
fn requests_may_come_in_a_row() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let row: Vec<u8> = ["/bytes/10", "/", "/bytes/3000", "/no", "/chunked/10"]
            .iter()
            .flat_map(|target| Request::new(&set.app(), "GET", target).bytes())
            .collect();
        let last = Request::new(&set.app(), "GET", "/").field("Connection", "close");
        let row = [row, last.bytes()].concat();
        let expected = raw_to_end(&straight(&set), &row).await;
        let came = raw(&set.app(), &row, expected.len()).await;
        assert!(came == expected, "{}", String::from_utf8_lossy(&came));
    });
}

/// The page and the site on one connection, either first.
#[test]
fn a_connection_may_have_both() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let app = set.app();
        let page = Request::new(&app, "GET", &format!("/?bridge={}", app.capability()));
        let site = Request::new(&app, "GET", "/bytes/100");
        let mut connection = app.connect().await.unwrap();
        for _ in 0..3 {
            let answer = within("the site", connection.ask(&site)).await.unwrap();
            assert_eq!((answer.status, answer.body.len()), (200, 100));
            let answer = within("the page", connection.ask(&page)).await.unwrap();
            assert_eq!(answer.field("Server"), None);
        }
        assert!(!set.origin.has_seen(&app.capability()));
    });
}

#[test]
fn an_upgrade_is_the_sites() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let request = Request::new(&set.app(), "GET", "/socket")
            .field("Upgrade", "echo")
            .field("Connection", "Upgrade");
        let mut connection = set.app().connect().await.unwrap();
        let answer = within("101", connection.ask(&request)).await.unwrap();
        assert_eq!(
            (answer.status, answer.field("Upgrade")),
            (101, Some("echo"))
        );
        for length in [1, 100, 300_000] {
            let sent = vec![9; length];
            connection.send(&sent).await.unwrap();
            let came = within("an echo", connection.take(length)).await.unwrap();
            assert!(came == sent);
        }
    });
}

/// What no server understands is the site's to answer.
#[test]
fn what_cannot_be_parsed_goes_to_the_site_as_it_is() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for nonsense in [
            "\r\n\r\n",
            "GET\r\n\r\n",
            "GET / HTTP/9\r\nHost : x\r\n\r\n",
            "SSH-2.0-OpenSSH_9.6\r\n\r\n",
            "GET / SMTP\r\nHost: x\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{2}nonsense\r\n\r\n",
        ] {
            let expected = raw_to_end(&straight(&set), nonsense.as_bytes()).await;
            let direct = set.origin.visits().pop().unwrap();
            let came = raw_to_end(&set.app(), nonsense.as_bytes()).await;
            let through = set.origin.visits().pop().unwrap();
            assert_eq!(came, expected, "{nonsense:?}");
            assert_eq!(through.head, direct.head, "{nonsense:?}");
        }
    });
}

/// The site that has answered before gets it, whatever others there are.
#[test]
fn what_cannot_be_parsed_stays_at_its_connections_site() {
    run(async {
        let own = Origin::start().unwrap();
        let site = format!("other.example.com={}", own.url());
        let set = Set::start_with(Route::Direct, |o| {
            o.add("--web", "other.example.com").add("--web-site", site)
        })
        .await;
        let mut connection = set.app().connect().await.unwrap();
        let request = Request::new(&set.app(), "GET", "/").set("Host", "other.example.com");
        within("an answer", connection.ask(&request)).await.unwrap();
        connection.send(b"GET / SMTP\r\n\r\n").await.unwrap();
        within("the end", connection.rest()).await.unwrap();
        assert_eq!((own.visits().len(), set.origin.visits().len()), (2, 0));
    });
}

/// Unless there is an authentic secret in it.
#[test]
fn a_secret_in_what_cannot_be_parsed_goes_nowhere() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let capability = set.app().capability();
        for nonsense in [
            format!("GET /?bridge={capability} HTTP/1.1\r\nHost : {HOST}\r\n\r\n"),
            format!("GET /?bridge={capability}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n X: {capability}\r\n\r\n"),
            format!(
                "POST / HTTP/1.1\r\nHost: {HOST}\r\nX: {capability}\r\nContent-Length: 1\r\n\
                 Content-Length: 2\r\n\r\n"
            ),
        ] {
            let mut connection = set.app().connect().await.unwrap();
            connection.send(nonsense.as_bytes()).await.unwrap();
            let answer = within("a refusal", connection.answer("GET")).await;
            assert!(answer.unwrap().has("Date"), "{nonsense:?}");
            assert!(!set.origin.has_seen(&capability), "{nonsense:?}");
        }
    });
}

#[test]
fn a_directory_is_a_site_too() {
    run(async {
        let directory = fake_telegram::harness::TemporaryDirectory::new();
        std::fs::write(directory.path().join("index.html"), "<p>At home.</p>\n").unwrap();
        std::fs::write(directory.path().join("a.css"), "p { color: red }\n").unwrap();
        std::fs::write(directory.path().join(".hidden"), "no\n").unwrap();
        let set = Set::start_with(Route::Direct, |o| {
            o.without("--web-site")
                .without("--web")
                .web(HOST, directory.path().display())
        })
        .await;
        let get = |target: &str| Request::new(&set.app(), "GET", target);
        let answer = set.ask(&get("/")).await;
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, &b"<p>At home.</p>\n"[..])
        );
        assert!(
            answer
                .field("Content-Type")
                .unwrap()
                .starts_with("text/html")
        );
        let answer = set.ask(&get("/a.css").field("Range", "bytes=0-2")).await;
        assert_eq!((answer.status, answer.body.as_slice()), (206, &b"p {"[..]));
        for target in [
            "/nothing",
            "/.hidden",
            "/../etc/passwd",
            "/%2e%2e/etc/passwd",
        ] {
            let status = set.ask(&get(target)).await.status;
            assert!(matches!(status, 400 | 404), "{target}: {status}");
        }
        let target = format!("/?bridge={}", "A".repeat(43));
        assert_eq!(set.ask(&get(&target)).await.body, b"<p>At home.</p>\n");
        set.app().page().await.unwrap();
    });
}

/// A site that is not there: a short 502, and the bridge goes on.
#[test]
fn a_site_that_is_down_is_a_bad_gateway() {
    run(async {
        let nobody = fake_telegram::harness::free_address();
        let set = Set::start_with(Route::Direct, |o| {
            o.without("--web-site")
                .without("--web")
                .web(HOST, format!("http://{nobody}"))
        })
        .await;
        let answer = set.ask(&Request::new(&set.app(), "GET", "/")).await;
        assert_eq!(answer.status, 502);
        let (session, _inside) =
            crate::session(&set.app(), fake_telegram::web_app::Carrier::WebSocket).await;
        session.assert_clean();
    });
}
