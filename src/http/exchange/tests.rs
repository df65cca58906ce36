use super::*;
use crate::net::test_help::pair;
use crate::net::{BufferPool, Executor, Reactor, Socket};

const SECOND: Duration = Duration::from_secs(1);

/// A client that is spoken for by hand, and the server's half of its connection.
async fn connect(reactor: &Rc<Reactor>) -> (Socket, Exchange) {
    let (near, far) = pair(reactor).await;
    let context = Rc::new(HttpContext {
        reactor: reactor.clone(),
        scratch: Rc::default(),
        buffers: BufferPool::new(reactor.clock(), 1 << 20),
        long_heads: Rc::default(),
    });
    let connection = Rc::new(Connection::plain(far));
    (near, Exchange::new(&context, connection, Vec::new()))
}

fn run(test: impl AsyncFnOnce(&Rc<Reactor>)) {
    let (reactor, executor) = (Reactor::virtual_time().unwrap(), Executor::default());
    reactor.block_on(&executor, test(&reactor));
}

async fn request(exchange: &mut Exchange) -> RequestHead {
    match exchange.next().await {
        Incoming::Request(request) => request,
        Incoming::Unparsable => panic!("no request"),
        Incoming::End => panic!("an end"),
    }
}

/// What the client has been told, without the date.
async fn told(client: &Socket) -> String {
    let mut bytes = vec![0; 4096];
    let length = client.read(&mut bytes).await.unwrap();
    let text = str::from_utf8(&bytes[..length]).unwrap();
    let is_date = |line: &&str| line.starts_with("Date: ");
    text.split_inclusive("\r\n")
        .filter(|line| !is_date(line))
        .collect()
}

#[test]
fn requests_have_bodies_and_answers() {
    run(async |reactor| {
        let (client, mut exchange) = connect(reactor).await;
        let text = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
                    POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n\
                    HEAD /c HTTP/1.1\r\n\r\n\
                    DELETE /d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
                    GET /e HTTP/1.0\r\n\r\nrest";
        client.write_all(text.as_bytes()).await.unwrap();
        for (target, body, status, answer, next) in [
            (
                "/a",
                "abc",
                200,
                "Content-Length: 2\r\n\r\nok",
                Next::KeepAlive,
            ),
            (
                "/b",
                "def",
                200,
                "Content-Length: 2\r\n\r\nok",
                Next::KeepAlive,
            ),
            ("/c", "", 200, "Content-Length: 2\r\n\r\n", Next::KeepAlive),
            (
                "/d",
                "",
                204,
                "Connection: keep-alive\r\n\r\nok",
                Next::KeepAlive,
            ),
            (
                "/e",
                "",
                200,
                "Content-Length: 2\r\nConnection: close\r\n\r\nok",
                Next::Close,
            ),
        ] {
            let head = request(&mut exchange).await;
            assert_eq!(head.target(), target.as_bytes());
            assert_eq!(exchange.whole_body(3).await.unwrap(), body.as_bytes());
            let data: &[u8] = if status == 204 { b"" } else { b"ok" };
            let answered = exchange
                .answer(&head, status, &[("X", "y")], data)
                .await
                .unwrap();
            assert_eq!(answered, next);
            let words = phrase(status);
            let answer = answer.trim_end_matches(if status == 204 { "ok" } else { "" });
            assert_eq!(
                told(&client).await,
                format!("HTTP/1.1 {status} {words}\r\nX: y\r\n{answer}")
            );
        }
        let (_, rest) = exchange.into_upgraded();
        assert_eq!(rest, b"rest");
    });
}

#[test]
fn bodies_that_are_none_say_why() {
    run(async |reactor| {
        let fails = async |text: &str, says_more: bool| {
            let (client, mut exchange) = connect(reactor).await;
            client.write_all(text.as_bytes()).await.unwrap();
            request(&mut exchange).await;
            if !says_more {
                client.shutdown_write().unwrap();
            }
            let began = reactor.now();
            let failure = exchange.whole_body(10).await.unwrap_err();
            (failure, reactor.now() - began)
        };
        let long = "POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n0123456789a";
        assert!(matches!(fails(long, true).await.0, BodyFailure::TooLong));
        let short = "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n01234567";
        assert!(matches!(
            fails(short, false).await.0,
            BodyFailure::Truncated
        ));
        let (failure, waited) = fails(short, true).await;
        assert!(matches!(failure, BodyFailure::Late) && waited == BODY_LIMIT);
        let bad = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc";
        assert!(matches!(fails(bad, true).await.0, BodyFailure::Malformed));
    });
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    run(async |reactor| {
        let (client, mut exchange) = connect(reactor).await;
        let head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
        client.write_all(head).await.unwrap();
        let request = request(&mut exchange).await;
        exchange.say_continue(&request).await.unwrap();
        assert_eq!(told(&client).await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"a").await.unwrap();
        assert_eq!(exchange.whole_body(1).await.unwrap(), b"a");
        // It is there: nobody waits.
        exchange.say_continue(&request).await.unwrap();
        exchange.answer(&request, 204, &[], &[]).await.unwrap();
        assert_eq!(told(&client).await, "HTTP/1.1 204 No Content\r\n\r\n");
    });
}

/// Who still sends when it is answered gets the answer, not a reset.
#[test]
fn an_answer_reaches_who_goes_on_sending() {
    run(async |reactor| {
        let (client, mut exchange) = connect(reactor).await;
        let head = b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\nabc";
        client.write_all(head).await.unwrap();
        let request = request(&mut exchange).await;
        let answered = exchange.answer(&request, 413, &[], b"no").await.unwrap();
        assert_eq!(answered, Next::Close);
        let sends = async {
            for _ in 0..20 {
                reactor.sleep(SECOND).await;
                client.write_all(&[0; 1000]).await.unwrap();
            }
            let answer = told(&client).await;
            assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("\r\n\r\nno"));
            assert!(matches!(client.read(&mut [0; 1]).await, Ok(0)));
            reactor.now()
        };
        let began = reactor.now();
        let (ended, sent) = smol::future::zip(
            async {
                exchange.finish().await;
                reactor.now()
            },
            sends,
        )
        .await;
        assert_eq!((sent - began, ended - sent), (20 * SECOND, LINGER));
    });
}

#[test]
fn what_has_been_read_already_comes_first() {
    run(async |reactor| {
        let (near, far) = pair(reactor).await;
        let context = Rc::new(HttpContext {
            reactor: reactor.clone(),
            scratch: Rc::default(),
            buffers: BufferPool::new(reactor.clock(), 1 << 20),
            long_heads: Rc::default(),
        });
        let connection = Rc::new(Connection::plain(far));
        let mut exchange = Exchange::new(&context, connection, b"GET /a HT".to_vec());
        near.write_all(b"TP/1.1\r\n\r\n\x16").await.unwrap();
        assert_eq!(request(&mut exchange).await.target(), b"/a");
        assert!(matches!(exchange.next().await, Incoming::Unparsable));
        assert_eq!(exchange.received(), b"\x16");
    });
}

#[test]
fn only_so_many_heads_are_long() {
    run(async |reactor| {
        let context = Rc::new(HttpContext {
            reactor: reactor.clone(),
            scratch: Rc::default(),
            buffers: BufferPool::new(reactor.clock(), 1 << 20),
            long_heads: Rc::default(),
        });
        let long = format!("GET /{}", "x".repeat(20_000));
        let mut open = Vec::new();
        for number in 0..6 {
            let (client, far) = pair(reactor).await;
            let connection = Rc::new(Connection::plain(far));
            let mut exchange = Exchange::new(&context, connection, Vec::new());
            client.write_all(long.as_bytes()).await.unwrap();
            let next = reactor.timeout(Duration::from_secs(1), exchange.next());
            let next = next.await;
            let is_refused = matches!(next, Some(Incoming::End));
            assert_eq!(is_refused, number >= MIN_LONG_HEADS, "{number}");
            open.push((client, exchange));
        }
        let (client, mut exchange) = open.swap_remove(0);
        client.write_all(b" HTTP/1.1\r\n\r\n").await.unwrap();
        request(&mut exchange).await;
        assert_eq!(context.long_heads.get(), MIN_LONG_HEADS - 1);
        drop(open);
        assert_eq!(context.long_heads.get(), 0);
    });
}
