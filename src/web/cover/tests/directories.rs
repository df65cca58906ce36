use std::fs;

use fake_telegram::harness::TemporaryDirectory;

use super::*;

/// The status, the fields and the body of an answer.
async fn ask(client: &Client, request: &str) -> (u16, String, String) {
    client.says(request).await;
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.0.read_exact(&mut byte).await.unwrap();
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let status = head[9..12].parse().unwrap();
    let length = head.split("Content-Length: ").nth(1);
    let length = length.map_or(0, |rest| {
        rest.split("\r\n").next().unwrap().parse().unwrap()
    });
    let mut body = vec![
        0;
        if request.starts_with("HEAD") {
            0
        } else {
            length
        }
    ];
    client.0.read_exact(&mut body).await.unwrap();
    (status, head, String::from_utf8(body).unwrap())
}

#[test]
fn a_directory_answers_as_web_servers_do() {
    let directory = TemporaryDirectory::new();
    let write = |path: &str, text: &str| fs::write(directory.path().join(path), text).unwrap();
    fs::create_dir_all(directory.path().join("a b/empty")).unwrap();
    write("index.html", "index");
    write("style.css", "0123456789");
    write("a b/index.html", "inner");
    let world = World::new();
    world.run(async {
        let source = || CoverSource::Directory(directory.path().to_owned());
        let cover = world.cover(source());
        let client = world.client_at(&cover).await;
        let get = |target: &str, fields: &str| {
            format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
        };
        let (status, head, body) = ask(&client, &get("/", "")).await;
        assert_eq!((status, body.as_str()), (200, "index"));
        for field in [
            "\r\nDate: ",
            "\r\nContent-Type: text/html\r\n",
            "\r\nLast-Modified: ",
            "\r\nETag: \"",
            "\r\nAccept-Ranges: bytes\r\n",
        ] {
            assert!(head.contains(field), "{field}: {head}");
        }
        let etag = head
            .split("ETag: ")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap();
        let known = get("/?x", &format!("If-None-Match: {etag}\r\n"));
        let (status, head, _) = ask(&client, &known).await;
        assert_eq!(status, 304);
        assert!(!head.contains("Content-Length"), "{head}");
        let (status, head, body) = ask(&client, &get("/style.css", "Range: bytes=2-4\r\n")).await;
        assert_eq!((status, body.as_str()), (206, "234"));
        assert!(head.contains("Content-Range: bytes 2-4/10\r\n"), "{head}");
        let (status, head, _) = ask(&client, &get("/style.css", "Range: bytes=10-\r\n")).await;
        assert_eq!(status, 416);
        assert!(head.contains("Content-Range: bytes */10\r\n"), "{head}");
        let (status, head, _) = ask(&client, "HEAD /style.css HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(status, 200);
        assert!(head.contains("Content-Length: 10\r\n"), "{head}");
        let (status, head, _) = ask(&client, &get("/a%20b?q=1", "")).await;
        assert_eq!(status, 301);
        assert!(head.contains("Location: /a%20b/?q=1\r\n"), "{head}");
        for (target, expected) in [
            ("/a%20b/", 200),
            ("/a%20b/empty/", 403),
            ("/none", 404),
            ("/style.css/", 404),
            ("/../x", 400),
        ] {
            assert_eq!(ask(&client, &get(target, "")).await.0, expected, "{target}");
        }
        let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(ask(&client, post).await.0, 405);
        assert_eq!(
            ask(&client, &get("/", "Connection: close\r\n")).await.0,
            200
        );
        client.hears_end().await;
        // What is no request has no site to go to.
        let client = world.client_at(&cover).await;
        client.says("GET / HTTP/1.1\n\n").await;
        let answer = client.hears_all().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        // A reload reads it anew; a page of its own stands for what is not there.
        write("404.html", "not here");
        fs::remove_file(directory.path().join("style.css")).unwrap();
        let client = world.client_at(&cover).await;
        assert_eq!(ask(&client, &get("/style.css", "")).await.0, 200);
        let client = world.client_at(&world.cover(source())).await;
        let (status, _, body) = ask(&client, &get("/style.css", "")).await;
        assert_eq!((status, body.as_str()), (404, "not here"));
    });
}
