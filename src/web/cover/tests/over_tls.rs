//! Sites that have TLS, and who they are.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::*;
use crate::config::{FrontingChoice, SitePlace};
use crate::tls::{AcceptContext, Batch, accept, public_roots, web_provider};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

/// A site's TLS, and who vouches for it.
fn identity(name: &str) -> (Arc<ServerConfig>, Arc<RootCertStore>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(web_provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.enable_secret_extraction = true;
    (Arc::new(config), Arc::new(roots))
}

impl World {
    fn tls_cover(
        &self,
        source: CoverSource,
        fronting: &Fronting,
        roots: Arc<RootCertStore>,
    ) -> Rc<Cover> {
        let host = crate::config::WebHost {
            name: "www.example.com".parse().unwrap(),
            path: None,
            files: None,
            secrets: Vec::new(),
        };
        let config = WebConfig {
            hosts: vec![host],
            sites: vec![CoverSite { host: None, source }],
            ..WebConfig::default()
        };
        let context = Rc::new(CoverContext {
            http: self.http.clone(),
            executor: self.executor.clone(),
            guests: self.guests.clone(),
            tls: SiteTls::new(Batch::default(), roots).unwrap(),
        });
        let directories = Directories::read(&config).unwrap();
        let covers = covers(&context, &config, fronting, &directories);
        assert_eq!(covers.len(), 2);
        covers[0].1.clone()
    }

    /// Answers one request over TLS, whatever comes in front of it.
    async fn tls_visit(&self, config: &Arc<ServerConfig>, in_front: &[u8]) {
        let site = self.visit().await;
        site.hears(in_front).await;
        let context = AcceptContext::new(&self.http.scratch, &self.http.buffers, Batch::default());
        let Ok(tls) = accept(&context, config, &site.0, &[]).await else {
            return;
        };
        let connection = Connection::tls(site.0, tls).unwrap();
        let mut heard = Vec::new();
        while heard.len() < GET.len() {
            let mut take = |bytes: &mut [u8]| heard.extend_from_slice(bytes);
            let read = poll_fn(|cx| self.http.poll_read(cx, &connection, &mut take)).await;
            if read.is_ok_and(|length| length == 0) {
                return;
            }
        }
        assert_eq!(heard, GET.as_bytes());
        self.http
            .write(&connection, ANSWER.as_bytes())
            .await
            .unwrap();
        self.http.flush(&connection).await.unwrap();
        connection.shut_down_write();
        let ended = poll_fn(|cx| self.http.poll_read(cx, &connection, &mut |_| {})).await;
        assert!(matches!(ended, Ok(0) | Err(_)));
    }

    /// The same by a library, whose records are as long as they may be.
    async fn library_visit(&self, config: &Arc<ServerConfig>, answer: &str) {
        let site = self.visit().await.0;
        let mut tls = ServerConnection::new(config.clone()).unwrap();
        tls.set_buffer_limit(None);
        let (mut heard, mut space) = (Vec::new(), [0; 4096]);
        while heard.len() < GET.len() {
            let length = site.read(&mut space).await.unwrap();
            let mut received = &space[..length];
            while !received.is_empty() {
                tls.read_tls(&mut received).unwrap();
                tls.process_new_packets().unwrap();
            }
            // Nothing may be there yet.
            let _ = tls.reader().read_to_end(&mut heard);
            if heard.len() == GET.len() {
                tls.writer().write_all(answer.as_bytes()).unwrap();
                tls.send_close_notify();
            }
            let mut sealed = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut sealed).unwrap();
            }
            site.write_all(&sealed).await.unwrap();
        }
    }

    async fn asks(&self, cover: &Rc<Cover>) -> String {
        let client = self.client_at(cover).await;
        client.says(GET).await;
        let answer = client.hears_all().await;
        drop(client);
        answer
    }
}

#[test]
fn a_site_has_to_be_who_it_says_it_is() {
    let world = World::new();
    world.run(async {
        let (config, roots) = identity("127.0.0.1");
        let url = format!("https://{}/", world.listener.address());
        let source = || CoverSource::Origin(Url::parse(&url).unwrap());
        let cover = world.tls_cover(source(), &Fronting::default(), roots.clone());
        let visit = world.tls_visit(&config, b"");
        let (answer, ()) = smol::future::zip(world.asks(&cover), visit).await;
        assert_eq!(answer, ANSWER);
        // Another name, and nobody who vouches for it.
        let (other, _) = identity("127.0.0.2");
        for (config, roots) in [(&other, roots), (&config, public_roots())] {
            let cover = world.tls_cover(source(), &Fronting::default(), roots);
            let visit = world.tls_visit(config, b"");
            let (answer, ()) = smol::future::zip(world.asks(&cover), visit).await;
            assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        }
    });
}

/// Our own are shorter, so that nobody but others sends what does not fit in one read.
#[test]
fn the_longest_records_are_read_in_pieces() {
    let world = World::new();
    world.run(async {
        let (config, roots) = identity("127.0.0.1");
        let url = format!("https://{}/", world.listener.address());
        let source = CoverSource::Origin(Url::parse(&url).unwrap());
        let cover = world.tls_cover(source, &Fronting::default(), roots);
        let body = "x".repeat(200_000);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n";
        let answer = format!("{head}{body}");
        let visit = world.library_visit(&config, &answer);
        let (heard, ()) = smol::future::zip(world.asks(&cover), visit).await;
        assert_eq!(heard.len(), answer.len());
    });
}

#[test]
fn the_site_of_fronting_on_this_machine_may_have_any_certificate() {
    let world = World::new();
    world.run(async {
        let (config, _) = identity("www.example.com");
        let address = world.listener.address();
        let fronting = Fronting {
            choice: FrontingChoice::Site(SitePlace::Host {
                name: address.ip().to_string(),
                port: address.port(),
            }),
            ..Fronting::default()
        };
        let cover = world.tls_cover(CoverSource::Fronting, &fronting, public_roots());
        let visit = world.tls_visit(&config, b"");
        let (answer, ()) = smol::future::zip(world.asks(&cover), visit).await;
        assert_eq!(answer, ANSWER);
        // It may want to know whose connection it is.
        let fronting = Fronting {
            proxy_protocol: true,
            ..fronting
        };
        let cover = world.tls_cover(CoverSource::Fronting, &fronting, public_roots());
        let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01";
        let visit = async {
            let site = world.visit().await;
            site.hears(header).await;
            // The ports.
            site.0.read_exact(&mut [0; 4]).await.unwrap();
        };
        smol::future::zip(world.asks(&cover), visit).await;
    });
}
