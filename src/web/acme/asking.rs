use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::RootCertStore;
use smol::future::block_on;

use crate::http::{Request, ask};
use crate::wire::http_date;

/// An authority that wants more rest than this, in seconds, is asked again all the same.
pub(super) const MAX_REST: u64 = 7 * 24 * 3600;

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
        let until = match told.parse::<u64>() {
            Ok(seconds) => now.saturating_add(seconds),
            Err(_) => http_date::parse(&told)?,
        };
        Some(until.min(now + MAX_REST))
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
        let said = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("retry-after");
        // The library would add a time of any length to the clock's.
        for (name, value) in reply.fields.iter().filter(|field| !said(field)) {
            response = response.header(name, value);
        }
        let is_refused = !(200..400).contains(&reply.status);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rest_is_longer_than_a_week() {
        let asking = Asking::new(Arc::new(RootCertStore::empty()));
        let until = |told: &str| {
            *asking.retry_after.lock().unwrap() = Some(told.to_owned());
            asking.retry_after(784_111_000)
        };
        assert_eq!(until("60"), Some(784_111_060));
        assert_eq!(until("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(until("18446744073709551615"), Some(784_111_000 + MAX_REST));
        assert_eq!(
            until("Fri, 31 Dec 9999 23:59:59 GMT"),
            Some(784_111_000 + MAX_REST)
        );
        assert_eq!(until("soon"), None);
    }
}
