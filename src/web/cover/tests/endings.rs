//! Who ends a connection, and when.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn the_sites_end_is_the_clients() {
    let world = World::new();
    world.run(async {
        // Idle.
        let client = world.client().await;
        let site = world.visit_after(&client, GET).await;
        site.says(ANSWER).await;
        client.hears(ANSWER).await;
        world.reactor.sleep(20 * SECOND).await;
        drop(site);
        client.hears_end().await;
        // By its word, by a body without a length, in the middle of a body or a head.
        for answer in [
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
            "HTTP/1.1 200 OK\r\n\r\nall that comes",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nall that comes",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            "HTTP/1.1 200 OK\r\nX: y",
            "",
        ] {
            let client = world.client().await;
            let site = world.visit_after(&client, GET).await;
            site.says(answer).await;
            drop(site);
            assert_eq!(client.hears_all().await, answer);
        }
    });
}

#[test]
fn the_clients_end_is_the_sites() {
    let world = World::new();
    world.run(async {
        // Who says no more may hear.
        let client = world.client().await;
        client.says(GET).await;
        client.says_no_more();
        let site = world.visit().await;
        site.hears(GET).await;
        site.hears_end().await;
        site.says(ANSWER).await;
        client.hears(ANSWER).await;
        client.hears_end().await;
        // Half a body.
        let client = world.client().await;
        let half = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc";
        let site = world.visit_after(&client, half).await;
        client.says_no_more();
        site.hears_end().await;
        // It may answer that.
        site.says(ANSWER).await;
        drop(site);
        client.hears(ANSWER).await;
        client.hears_end().await;
        // A close that it asks for.
        let client = world.client().await;
        let last = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let site = world.visit_after(&client, last).await;
        site.says(ANSWER).await;
        client.hears(ANSWER).await;
        client.hears_end().await;
        site.hears_end().await;
    });
}

#[test]
fn who_says_nothing_is_let_go() {
    let world = World::new();
    world.run(async {
        let began = world.reactor.now();
        let passed = || (world.reactor.now() - began).as_secs();
        let silent = world.client().await;
        silent.hears_end().await;
        assert_eq!(passed(), 30);
        // A byte does not give more time.
        let slow = world.client().await;
        world.reactor.sleep(20 * SECOND).await;
        slow.says("GET /").await;
        slow.hears_end().await;
        assert_eq!(passed(), 60);
        // Between two requests it is longer, and a head's time begins with its first byte.
        let idle = world.client().await;
        let site = world.visit_after(&idle, GET).await;
        site.says(ANSWER).await;
        idle.hears(ANSWER).await;
        world.reactor.sleep(50 * SECOND).await;
        idle.says("GET /").await;
        let began = world.reactor.now();
        idle.hears_end().await;
        assert_eq!((world.reactor.now() - began).as_secs(), 30);
        // A site that says nothing is waited for longer than sites wait.
        let client = world.client().await;
        let began = world.reactor.now();
        let site = world.visit_after(&client, GET).await;
        client.hears_end().await;
        assert_eq!((world.reactor.now() - began).as_secs(), 300);
        site.hears_end().await;
    });
}

#[test]
fn a_connection_that_had_ended_before_it_was_asked_is_replaced() {
    let world = World::new();
    world.run(async {
        let client = world.client().await;
        let site = world.visit_after(&client, GET).await;
        site.says(ANSWER).await;
        client.hears(ANSWER).await;
        // It ends while the request is on its way.
        client.says(GET).await;
        site.hears(GET).await;
        drop(site);
        let site = world.visit().await;
        site.hears(GET).await;
        site.says(ANSWER).await;
        client.hears(ANSWER).await;
        // What would be done twice is not asked again.
        let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
        client.says(post).await;
        site.hears(post).await;
        drop(site);
        client.hears_end().await;
        assert_eq!(world.visits.get(), 2);
    });
}

#[test]
fn a_site_that_is_not_there_is_a_bad_gateway() {
    let world = World::new();
    let cover = world.cover(world.url());
    let World {
        reactor,
        executor,
        http,
        guests,
        listener,
        ..
    } = world;
    drop(listener);
    reactor.block_on(&executor, async {
        let client = || async {
            let (near, far) = pair(&reactor).await;
            executor
                .spawn(serve(http.clone(), cover.clone(), far, false))
                .detach();
            Client(near)
        };
        let one = client().await;
        for _ in 0..2 {
            one.says("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            one.hears("HTTP/1.1 502 Bad Gateway\r\nDate: ").await;
            let mut rest = [0; 1000];
            let length = one.0.read(&mut rest).await.unwrap();
            let rest = String::from_utf8_lossy(&rest[..length]).into_owned();
            assert!(
                rest.contains("\r\nContent-Length: ") && rest.ends_with("\r\n\r\n"),
                "{rest}"
            );
        }
        // Where all places are taken, it is not even tried.
        guests.set_most(0);
        let one = client().await;
        one.says("GET / HTTP/1.0\r\n\r\n").await;
        let answer = one.hears_all().await;
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("</html>\r\n"),
            "{answer}"
        );
    });
}

#[test]
fn a_site_that_is_this_proxy_is_not_asked() {
    let world = World::new();
    world.run(async {
        world.is_own.set(true);
        let client = world.client().await;
        client.says(GET).await;
        client.hears("HTTP/1.1 502 Bad Gateway\r\n").await;
        drop(client);
        world.is_own.set(false);
        let client = world.client().await;
        let site = world.visit_after(&client, GET).await;
        site.says(ANSWER).await;
        client.hears(ANSWER).await;
    });
}

/// What is no request is handed on, but for a secret in it, whenever that comes.
#[test]
fn no_secret_is_handed_on() {
    let secret = std::str::from_utf8(SECRET).unwrap();
    let world = World::new();
    world.run(async {
        for asked in [
            "get / HTTP/1.1\r\nX: ",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz",
        ] {
            let client = world.client().await;
            let site = world.visit_after(&client, asked).await;
            client.says("more").await;
            site.hears("more").await;
            client.says(secret).await;
            assert_eq!(site.hears_all().await, "");
        }
        let client = world.client().await;
        client.says(format!("get {secret} HTTP/1.1\r\n")).await;
        let site = world.visit().await;
        assert_eq!(site.hears_all().await, "");
    });
}

/// A web server sends the next client's request where it has got an answer.
#[test]
fn a_connection_of_many_clients_ends_behind_what_is_no_request() {
    let world = World::new();
    world.run(async {
        let front = world.front().await;
        let site = world.visit_after(&front, "get / HTTP/1.1\r\n").await;
        front.says("\r\n").await;
        site.hears("\r\n").await;
        site.says(&ANSWER[..20]).await;
        front.hears(&ANSWER[..20]).await;
        front.says(GET).await;
        site.says(&ANSWER[20..]).await;
        front.hears(&ANSWER[20..]).await;
        front.hears_end().await;
        assert_eq!(site.hears_all().await, "");
        // What is one may come again and again.
        let front = world.front().await;
        let site = world.visit_after(&front, GET).await;
        for _ in 0..3 {
            site.says(ANSWER).await;
            front.hears(ANSWER).await;
            front.says(GET).await;
            site.hears(GET).await;
        }
    });
}

/// Who only ever announces an answer is broken off with.
#[test]
fn words_in_advance_have_an_end() {
    let world = World::new();
    world.run(async {
        let client = world.client().await;
        let site = world.visit_after(&client, GET).await;
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
        site.says(interim.repeat(500)).await;
        let heard = client.hears_all().await;
        assert!(heard.len() < interim.len() * 100, "{}", heard.len());
    });
}
