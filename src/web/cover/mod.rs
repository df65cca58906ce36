//! The cover: the site that everybody without a secret sees on a WEB host. Its answers
//! pass unchanged, and so do the requests.
//!
//! | File | What |
//! |---|---|
//! | `context.rs` | what all of it is made with |
//! | `shown.rs` | what is shown at which host |
//! | `visit.rs` | a client's connection at the cover |
//! | `transfer.rs` | one request to the site and its answer, as they come |
//! | `raw.rs` | bytes handed on both ways, whatever they are |
//! | `watch.rs` | looks for secrets in them |
//! | `one_answer.rs` | where the answer among them ends |
//! | `flow.rs` | what goes to one side, and waits for it |
//! | `patience.rs` | ends what does not move any more |
//! | `site.rs` | where a site is, and connections to it |
//! | `site_failure.rs` | why there is none |
//! | `site_tls.rs` | TLS on these |
//! | `question.rs` | what we ask it ourselves |
//! | `kept.rs` | one of them, kept for a client's requests |
//! | `guests.rs` | how many there may be |
//! | `directory.rs` | answers from a directory |
//! | `files.rs` | what is in it, read at the start |
//! | `site_path.rs` | where a target leads in there |
//! | `selection.rs` | what of a file a request wants |
//! | `content_type.rs` | what the end of a file's name says |
//! | `local.rs` | answers of ours where there is no site that could give one |

mod content_type;
mod context;
mod directory;
mod files;
mod flow;
mod guests;
mod kept;
mod local;
mod one_answer;
mod patience;
mod question;
mod raw;
mod selection;
mod shown;
mod site;
mod site_failure;
mod site_path;
#[cfg(feature = "tls")]
mod site_tls;
#[cfg(test)]
mod tests;
mod transfer;
mod visit;
mod watch;

pub(crate) use context::CoverContext;
pub(crate) use files::FilesError;
pub(crate) use guests::Guests;
pub(crate) use shown::{Cover, Directories, covers};
#[cfg(feature = "tls")]
pub(crate) use site_tls::SiteTls;
pub(crate) use visit::Visit;
