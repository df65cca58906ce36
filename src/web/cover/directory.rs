//! Answers from a directory, as web servers give them.

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

pub(super) async fn answer(exchange: &mut Exchange, request: &RequestHead, files: &Files) -> Next {
    if !matches!(request.method(), b"GET" | b"HEAD") {
        return local::answer(exchange, request, 405).await;
    }
    let Some(site_path) = SitePath::of(request.target()) else {
        return local::answer(exchange, request, 400).await;
    };
    let SitePath { path, has_slash } = &site_path;
    let found = match has_slash {
        false => files.file(path),
        true if path.is_empty() => files.file(INDEX),
        true => files.file(&format!("{path}/{INDEX}")),
    };
    match found {
        Some(file) => show(exchange, request, file).await,
        None if !has_slash && files.is_directory(path) => add_slash(exchange, request, path).await,
        // A directory is there, and its contents are nobody's business.
        None if *has_slash && files.is_directory(path) && !path.is_empty() => {
            local::answer(exchange, request, 403).await
        }
        None => match files.file(NOT_FOUND) {
            Some(file) => {
                let fields = [("Content-Type", file.content_type)];
                let answered = exchange.answer(request, 404, &fields, &file.body).await;
                answered.unwrap_or(Next::Close)
            }
            None => local::answer(exchange, request, 404).await,
        },
    }
}

async fn show(exchange: &mut Exchange, request: &RequestHead, file: &File) -> Next {
    let modified = http_date::format(file.modified);
    let etag = etag_of(file);
    let mut fields = vec![
        ("Content-Type", file.content_type),
        ("Last-Modified", &modified),
        ("ETag", &etag),
    ];
    let answered = match Selection::of(request, file) {
        Selection::Whole => {
            fields.push(("Accept-Ranges", "bytes"));
            exchange.answer(request, 200, &fields, &file.body).await
        }
        Selection::Part(range) => {
            let told = format!(
                "bytes {}-{}/{}",
                range.start,
                range.end.saturating_sub(1),
                file.body.len()
            );
            fields.push(("Content-Range", &told));
            let body = file.body.get(range).unwrap_or_default();
            exchange.answer(request, 206, &fields, body).await
        }
        Selection::Unchanged => {
            fields.remove(0);
            exchange.answer(request, 304, &fields, &[]).await
        }
        Selection::OutOfRange => {
            let told = format!("bytes */{}", file.body.len());
            let page = local::page(416);
            let fields = [("Content-Type", "text/html"), ("Content-Range", &told)];
            exchange
                .answer(request, 416, &fields, page.as_bytes())
                .await
        }
        Selection::Changed => return local::answer(exchange, request, 412).await,
    };
    answered.unwrap_or(Next::Close)
}

async fn add_slash(exchange: &mut Exchange, request: &RequestHead, path: &str) -> Next {
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
    let page = local::page(301);
    let fields = [("Content-Type", "text/html"), ("Location", &location)];
    let answered = exchange.answer(request, 301, &fields, page.as_bytes());
    answered.await.unwrap_or(Next::Close)
}
