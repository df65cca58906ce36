use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::RootCertStore;
use smol::future::block_on;

use crate::http::{Request, ask};

/// What the library asks with. It blocks where it is called, so that its futures are done
/// when they are there.
#[derive(Clone)]
pub(super) struct Asking {
    roots: Arc<RootCertStore>,
    /// Of the last answer that was a refusal.
    retry_after: Arc<Mutex<Option<String>>>,
}

impl Asking {
    pub(crate) fn new(roots: Arc<RootCertStore>) -> Self {
        Self {
            roots,
            retry_after: Arc::default(),
        }
    }

    /// When the authority wants to be asked again that has refused something at `now`, in
    /// seconds since 1970.
    pub(crate) fn retry_after(&self, now: u64) -> Option<u64> {
        let told = self.retry_after.lock().ok()?.clone()?;
        match told.parse::<u64>() {
            Ok(seconds) => Some(now.saturating_add(seconds)),
            Err(_) => crate::wire::http_date::parse(&told),
        }
    }

    fn asked(&self, request: http::Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (head, body) = request.into_parts();
        // It never fails.
        let body =
            block_on(body.collect()).map_or_else(|never| match never {}, |all| all.to_bytes());
        let fields = head.headers.iter().filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        let reply = ask(
            &self.roots,
            &Request {
                method: head.method.as_str(),
                url: &head.uri.to_string(),
                fields: &fields.collect::<Vec<_>>(),
                body: &body,
            },
        );
        let reply = reply.map_err(|error| Error::Other(Box::new(error)))?;
        let mut response = http::Response::builder().status(reply.status);
        for (name, value) in &reply.fields {
            response = response.header(name, value);
        }
        let is_refused = !(200..400).contains(&reply.status);
        let said = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("retry-after");
        let retry_after = reply.fields.iter().find(said).filter(|_| is_refused);
        if let Ok(mut told) = self.retry_after.lock() {
            *told = retry_after.map(|(_, value)| value.clone());
        }
        let (parts, ()) = response.body(())?.into_parts();
        Ok(BytesResponse {
            parts,
            body: Box::new(Bytes::from(reply.body)),
        })
    }
}

impl HttpClient for Asking {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(ready(self.asked(request)))
    }
}
