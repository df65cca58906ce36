//! HTTP/1.1 (RFC 9110, RFC 9112): what a client of pages needs, and what a server needs
//! that hands requests on unchanged.
//!
//! A request that two servers could take for two different ones is none here: whoever
//! hands it on would let a stranger speak in another's name ("request smuggling").
//!
//! | File | What |
//! |---|---|
//! | `url.rs` | where to ask |
//! | `answer.rs` | a whole answer to a GET, for those who wait for all of it |
//! | `reply.rs` | a whole answer to anything, with its header lines |
//! | `head_scan.rs` | where a head ends in what has come so far |
//! | `fields.rs` | the header lines of a head |
//! | `request.rs` | a request's head |
//! | `response.rs` | a response's head |
//! | `body.rs` | where a body ends, and its bytes without framing |
//! | `target.rs` | a request's target, taken apart |
//! | `error.rs` | why there is no answer, or nowhere to ask |

mod answer;
mod body;
mod error;
mod fields;
mod head_scan;
mod reply;
mod request;
mod response;
mod target;
mod url;

pub use answer::Answer;
pub use body::{BodyError, BodyReader, Framing};
pub use error::HttpError;
pub use fields::{Fields, has_token};
pub use head_scan::{HeadScan, MAX_FIELDS, MAX_HEAD, Unparsable};
pub use reply::Reply;
pub use request::RequestHead;
pub use response::ResponseHead;
pub use target::{Target, escaped};
pub use url::Url;
