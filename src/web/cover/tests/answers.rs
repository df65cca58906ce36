//! Everything passes as it is.

use super::*;

const GET: &str = "GET /a HTTP/1.1\r\nHost: www.example.com\r\nX-Case:  Kept \r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn requests_and_answers_pass_unchanged_on_one_connection() {
    let world = World::new();
    world.run(async {
        let client = world.client().await;
        client.says(GET).await;
        let site = world.visit().await;
        site.hears(GET).await;
        site.says(ANSWER).await;
        client.hears(ANSWER).await;
        for (request, answer) in [
            (
                "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"x\"\r\n\r\n",
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\n\r\n",
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 206 P\r\n\
                 Content-Range: bytes 0-1/5\r\nContent-Length: 2\r\n\r\nab",
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3;x=y\r\nabc\r\n0\r\nSum: 1\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n\
                 5\r\nabcde\r\n1\r\nf\r\n0\r\nSum: 2\r\n\r\n",
            ),
            (
                "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde",
                "HTTP/1.1 204 No Content\r\n\r\n",
            ),
            (
                "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
            ),
        ] {
            passes(&client, &site, request, answer).await;
        }
        assert_eq!(world.visits.get(), 1);
        client.says_no_more();
        client.hears_end().await;
        site.hears_end().await;
    });
}

#[test]
fn any_cut_of_both_is_the_same() {
    let world = World::new();
    world.run(async {
        let client = world.client().await;
        let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3\r\nabc\r\n0\r\n\r\n";
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        client.says(&request[..1]).await;
        world.reactor.sleep(SECOND / 10).await;
        client.says(&request[1..60]).await;
        let site = {
            let (site, ()) = smol::future::zip(world.visit(), async {
                for byte in request[60..].bytes() {
                    client.says([byte]).await;
                    world.reactor.sleep(SECOND / 10).await;
                }
            })
            .await;
            site
        };
        site.hears(request).await;
        for byte in answer.bytes() {
            site.says([byte]).await;
            world.reactor.sleep(SECOND / 10).await;
        }
        client.hears(answer).await;
        passes(&client, &site, GET, ANSWER).await;
    });
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    let world = World::new();
    world.run(async {
        let client = world.client().await;
        client.says(GET.repeat(3)).await;
        let site = world.visit().await;
        for _ in 0..3 {
            site.hears(GET).await;
            // The next one waits for its turn.
            world.reactor.sleep(SECOND).await;
            assert_eq!(site.0.waiting(), 0);
            site.says(ANSWER).await;
        }
        client.hears(ANSWER.repeat(3)).await;
    });
}

#[test]
fn a_client_waits_for_the_site_to_want_its_body() {
    let world = World::new();
    world.run(async {
        let client = world.client().await;
        let head =
            "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        client.says(head).await;
        let site = world.visit().await;
        site.hears(head).await;
        site.says("HTTP/1.1 100 Continue\r\n\r\n").await;
        client.hears("HTTP/1.1 100 Continue\r\n\r\n").await;
        passes(&client, &site, "abc", ANSWER).await;
        passes(&client, &site, GET, ANSWER).await;
    });
}

#[test]
fn a_site_may_answer_before_it_has_heard_all() {
    let world = World::new();
    world.run(async {
        let client = world.client().await;
        let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n";
        passes(
            &client,
            &world.visit_after(&client, head).await,
            "abc",
            ANSWER,
        )
        .await;
    });
    // It goes on with the same connection, once the rest has come.
    let world = World::new();
    world.run(async {
        let client = world.client().await;
        let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n";
        let site = world.visit_after(&client, head).await;
        passes(&client, &site, "abc", ANSWER).await;
        client.says("def").await;
        site.hears("def").await;
        passes(&client, &site, GET, ANSWER).await;
        // Or it has enough, and says so.
        client.says(head).await;
        site.hears(head).await;
        let enough = "HTTP/1.1 413 x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        site.says(enough).await;
        client.hears(enough).await;
        // It reads on for a while, as servers do, so that its answer is heard.
        client.says("abc").await;
        site.hears("abc").await;
        drop(site);
        client.hears_end().await;
    });
}

#[test]
fn an_upgrade_is_another_protocol_both_ways() {
    let world = World::new();
    world.run(async {
        let client = world.client().await;
        let request = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
        let site = world.visit_after(&client, request).await;
        let answer = "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
        site.says(format!("{answer}first")).await;
        client.hears(format!("{answer}first")).await;
        passes(&client, &site, "\0\x01\n\n", "\r\n\r\n\x7f").await;
        // One end is no end.
        client.says_no_more();
        site.hears_end().await;
        site.says("last").await;
        drop(site);
        client.hears("last").await;
        client.hears_end().await;
    });
}

#[test]
fn what_cannot_be_parsed_goes_to_the_site_as_it_is() {
    let world = World::new();
    world.run(async {
        for text in [
            "GET / HTTP/1.1\nHost: h\n\n",
            "\x16\x03\x01\x02\0\x01\0",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc",
            "GET /\r\n",
        ] {
            let client = world.client().await;
            let site = world.visit_after(&client, text).await;
            passes(
                &client,
                &site,
                "and more",
                "HTTP/1.1 400 Bad Request\r\n\r\nno",
            )
            .await;
            drop(site);
            client.hears_end().await;
        }
        // Behind a request that could be parsed it is the same connection's.
        let client = world.client().await;
        let site = world.visit_after(&client, GET).await;
        site.says(ANSWER).await;
        client.hears(ANSWER).await;
        passes(
            &client,
            &site,
            "nonsense\r\n",
            "HTTP/1.1 400 Bad Request\r\n\r\nno",
        )
        .await;
        // A body that is none, too.
        let client = world.client().await;
        let text = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nxyz";
        let site = world.visit_after(&client, text).await;
        passes(
            &client,
            &site,
            "and more",
            "HTTP/1.1 400 Bad Request\r\n\r\nno",
        )
        .await;
    });
}

#[test]
fn an_answer_that_cannot_be_parsed_is_the_last_and_goes_to_the_client_as_it_is() {
    let world = World::new();
    world.run(async {
        for answer in [
            "\x16\x03\x01\x02\0\x01\0".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc".to_owned(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nxyz\r\nmore".to_owned(),
            format!("{ANSWER}more than was asked for"),
            format!("HTTP/1.1 200 OK\r\n{}\r\nbody", "X: y\r\n".repeat(200)),
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\nbody", "y".repeat(100_000)),
        ] {
            let client = world.client().await;
            let site = world.visit_after(&client, GET).await;
            site.says(&answer).await;
            site.says("and").await;
            // It is another request's answer for nobody, and nothing more is asked there.
            client.says(GET).await;
            site.says_no_more();
            assert_eq!(client.hears_all().await, answer + "and");
            site.hears_end().await;
        }
    });
}

#[test]
fn large_bodies_take_little_memory_and_both_ways_go_on_at_once() {
    const LEN: usize = 8 << 20;
    let world = World::new();
    world.run(async {
        let client = world.client().await;
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {LEN}\r\n\r\n");
        let site = world.visit_after(&client, &head).await;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n");
        site.says(&answer).await;
        client.hears(&answer).await;
        let data: Vec<u8> = (0..LEN as u32).map(|i| ((i * 7) >> 3) as u8).collect();
        let says = async |speaker: &Client| speaker.0.write_all(&data).await.unwrap();
        // Slowly, so that the other one is held up.
        let most = Cell::new(0);
        let hears = async |listener: &Client| {
            let (mut heard, mut part) = (0, vec![0; 100_000]);
            while heard < LEN {
                world.reactor.sleep(SECOND / 100).await;
                let length = listener.0.read(&mut part).await.unwrap();
                assert!(part[..length] == data[heard..heard + length]);
                heard += length;
                most.set(most.get().max(world.http.buffers.used_bytes()));
            }
        };
        let up = smol::future::zip(says(&client), hears(&site));
        let down = smol::future::zip(says(&site), hears(&client));
        smol::future::zip(up, down).await;
        assert!(most.get() <= 2 * 20 * 1024, "{}", most.get());
        assert_eq!(world.http.buffers.used_bytes(), 0);
        passes(&client, &site, GET, ANSWER).await;
    });
}
