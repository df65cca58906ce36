//! Answers of ours where there is no site that could give one.

use crate::http::{Exchange, Next, phrase};
use crate::wire::http::RequestHead;

/// The page of a status, short as web servers have it.
pub(super) fn page(status: u16) -> String {
    let words = phrase(status);
    format!(
        "<html>\r\n<head><title>{status} {words}</title></head>\r\n<body>\r\n\
         <h1>{status} {words}</h1>\r\n</body>\r\n</html>\r\n"
    )
}

/// Answers with such a page.
pub(super) async fn answer(exchange: &mut Exchange, request: &RequestHead, status: u16) -> Next {
    let (fields, page) = ([("Content-Type", "text/html")], page(status));
    let answered = exchange.answer(request, status, &fields, page.as_bytes());
    answered.await.unwrap_or(Next::Close)
}

/// To what is no request.
pub(super) async fn refuse(exchange: &mut Exchange) {
    let fields = [("Content-Type", "text/html")];
    // Who is gone misses nothing.
    let _ = exchange.refuse(&fields, page(400).as_bytes()).await;
}
