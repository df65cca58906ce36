//! Answers from a directory, as web servers give them.

use std::borrow::Cow;

use super::files::{File, Files};
use super::local;
use super::selection::{Selection, etag_of};
use super::site_path::{SitePath, query_of};
use crate::http::{Exchange, Next};
use crate::wire::http::RequestHead;
use crate::wire::http_date;

/// What is shown of a directory.
const INDEX: &str = "index.html";

/// What is shown where there is nothing, if it is there.
const NOT_FOUND: &str = "404.html";

/// What is said to a request.
struct Shown<'a> {
    status: u16,
    fields: Vec<(&'static str, Cow<'a, str>)>,
    body: Cow<'a, [u8]>,
}

pub(super) async fn answer(exchange: &mut Exchange, request: &RequestHead, files: &Files) -> Next {
    let Shown {
        status,
        fields,
        body,
    } = Shown::of(request, files);
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let answered = exchange.answer(request, status, &fields, &body).await;
    answered.unwrap_or(Next::Close)
}

impl<'a> Shown<'a> {
    fn of(request: &RequestHead, files: &'a Files) -> Self {
        if !matches!(request.method(), b"GET" | b"HEAD") {
            return Self::page(405);
        }
        let Some(site_path) = SitePath::of(request.target()) else {
            return Self::page(400);
        };
        let SitePath { path, has_slash } = &site_path;
        let found = match has_slash {
            false => files.file(path),
            true if path.is_empty() => files.file(INDEX),
            true => files.file(&format!("{path}/{INDEX}")),
        };
        match found {
            Some(file) => Self::file(request, file),
            None if !has_slash && files.is_directory(path) => Self::slash(request, path),
            // A directory is there, and its contents are nobody's business.
            None if *has_slash && files.is_directory(path) && !path.is_empty() => Self::page(403),
            None => match files.file(NOT_FOUND) {
                Some(file) => Self {
                    status: 404,
                    fields: vec![("Content-Type", file.content_type.into())],
                    body: (&*file.body).into(),
                },
                None => Self::page(404),
            },
        }
    }

    /// A page of ours.
    fn page(status: u16) -> Self {
        Self {
            status,
            fields: vec![("Content-Type", "text/html".into())],
            body: local::page(status).into_bytes().into(),
        }
    }

    /// What of a file is asked for.
    fn file(request: &RequestHead, file: &'a File) -> Self {
        let mut fields = vec![
            ("Content-Type", file.content_type.into()),
            ("Last-Modified", http_date::format(file.modified).into()),
            ("ETag", etag_of(file).into()),
        ];
        let (status, body) = match Selection::of(request, file) {
            Selection::Whole => {
                fields.push(("Accept-Ranges", "bytes".into()));
                (200, &*file.body)
            }
            Selection::Part(range) => {
                let (last, len) = (range.end.saturating_sub(1), file.body.len());
                let told = format!("bytes {}-{last}/{len}", range.start);
                fields.push(("Content-Range", told.into()));
                (206, file.body.get(range).unwrap_or_default())
            }
            Selection::Unchanged => {
                fields.remove(0);
                (304, &[][..])
            }
            Selection::OutOfRange => {
                let mut page = Self::page(416);
                let told = format!("bytes */{}", file.body.len());
                page.fields.push(("Content-Range", told.into()));
                return page;
            }
            Selection::Changed => return Self::page(412),
        };
        Self {
            status,
            fields,
            body: body.into(),
        }
    }

    /// Where a directory is that was asked for like a file.
    fn slash(request: &RequestHead, path: &str) -> Self {
        let mut location = String::from("/");
        for byte in path.bytes() {
            match byte {
                b'/' | b'-' | b'.' | b'_' | b'~' => location.push(char::from(byte)),
                byte if byte.is_ascii_alphanumeric() => location.push(char::from(byte)),
                byte => location.push_str(&format!("%{byte:02X}")),
            }
        }
        location.push('/');
        location.push_str(&String::from_utf8_lossy(query_of(request.target())));
        let mut page = Self::page(301);
        page.fields.push(("Location", location.into()));
        page
    }
}
