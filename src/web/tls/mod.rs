//! TLS of WEB hosts on the ports of clients.
//!
//! | File | What |
//! |---|---|
//! | `certificates` | what the hosts show, as their files have it now |
//! | `files` | whether files are others than before, and what is in them then |
//! | `door` | who comes in there: the handshake, then HTTP |

mod certificates;
mod door;
mod files;
#[cfg(test)]
mod tests;

pub(crate) use certificates::{Certificates, CertificatesError, CertificatesParts, examine};
pub(crate) use door::{Door, DoorParts};
