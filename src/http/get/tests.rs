use std::net::{SocketAddr, TcpListener};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::version::TLS13;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

const LIST: &str = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:09 GMT\r\n\
                    Transfer-Encoding: chunked\r\n\r\n4\r\nlist\r\n0\r\n\r\n";

/// A server with a certificate for `localhost`, and who vouches for it.
struct Secure {
    config: Arc<ServerConfig>,
    roots: Arc<RootCertStore>,
}

fn secure() -> Secure {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Secure {
        config: Arc::new(config),
        roots: Arc::new(roots),
    }
}

/// Answers every request by its path, as long as the test runs; over TLS
/// without an end that is TLS's own.
fn serve(secure: Option<&Secure>, answer: impl Fn(&str) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("localhost", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let config = secure.map(|secure| secure.config.clone());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            // A client may refuse the certificate and go.
            let _ = match &config {
                None => talk(stream, &answer),
                Some(config) => {
                    let connection = ServerConnection::new(config.clone()).unwrap();
                    talk(StreamOwned::new(connection, stream), &answer)
                }
            };
        }
    });
    address
}

fn talk(mut stream: impl Read + Write, answer: impl Fn(&str) -> String) -> io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 512];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&part[..length]),
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    stream.write_all(answer(path).as_bytes())?;
    stream.flush()
}

fn moved(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn pages_over_http() {
    let address = serve(None, |path| match path {
        "/list" => LIST.to_owned(),
        "/old" => moved("new/list"),
        "/new/list" => moved("/list"),
        "/until-close" => "HTTP/1.1 200 OK\r\n\r\nlist".to_owned(),
        "/long" => format!("HTTP/1.1 200 OK\r\n\r\n{}", "long".repeat(20_000)),
        "/error" => "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => moved(path),
    });
    let page = |path: &str| {
        get(
            None,
            &format!("http://localhost:{}{path}", address.port()),
            1000,
        )
    };
    for path in ["/list", "/old", "/until-close"] {
        assert_eq!(page(path).unwrap().body, b"list", "{path}");
    }
    assert_eq!(page("/list").unwrap().date, Some(9));
    assert!(matches!(page("/long"), Err(GetError::TooLong)));
    assert!(matches!(page("/error"), Err(GetError::Status(503))));
    assert!(matches!(page("/round"), Err(GetError::Redirects)));
}

#[test]
fn pages_over_https() {
    let secure = secure();
    let address = serve(Some(&secure), |path| match path {
        "/list" => LIST.to_owned(),
        "/until-close" => "HTTP/1.1 200 OK\r\n\r\nlist".to_owned(),
        _ => moved("http://localhost/list"),
    });
    let url = |path: &str| format!("https://localhost:{}{path}", address.port());
    let page = |path: &str| get_trusting(&|| secure.roots.clone(), None, &url(path), 1000);
    assert_eq!(page("/list").unwrap().body, b"list");
    // Nobody can tell whether this was all.
    let cut = page("/until-close");
    assert!(matches!(cut, Err(GetError::Http(HttpError::Truncated))));
    assert!(matches!(page("/insecure"), Err(GetError::Insecure)));
    // Nobody vouches for that server, or for that name.
    let error = get(None, &url("/list"), 1000).err().unwrap().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    let by_address = format!("https://{address}/list");
    let error = get_trusting(&|| secure.roots.clone(), None, &by_address, 1000)
        .err()
        .unwrap();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn servers_that_are_none() {
    let gone = TcpListener::bind(("localhost", 0)).unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let error = get(None, &format!("http://localhost:{port}/"), 1000).err();
    assert!(matches!(error, Some(GetError::Connection(_))), "{error:?}");
    let error = get(None, "https:/localhost/", 1000).err();
    assert!(matches!(error, Some(GetError::Http(HttpError::BadUrl))));
}
