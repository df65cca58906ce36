//! Certificates of WEB hosts from an authority, by ACME (RFC 8555): `--web-acme`.
//!
//! An authority gives one for a name to who has the port 443 that the name leads to: it
//! connects there with a hello that offers `acme-tls/1` and nothing else, and wants to see
//! what only who asked it can know (TLS-ALPN-01, RFC 8737). To everybody else the port is
//! as it is without.
//!
//! What is said to the authority is said on other threads (`dialogue`), a step at a time;
//! in between the thread that serves clients shows what is to be seen (`challenges`). A
//! certificate is a file as others are, which `web/tls` looks at.
//!
//! | File | What |
//! |---|---|
//! | `keeper` | when a certificate is got, for each host, and what the log says of it |
//! | `dialogue` | one order, from the account to the certificate; blocks |
//! | `asking` | how its library asks: by our HTTP |
//! | `papers` | what is kept in `--data-dir` |
//! | `failure` | why there is no certificate, and what to do |
//! | `challenges` | what authorities are shown |
//! | `examine` | whether a config can have this at all |

mod asking;
mod challenges;
mod dialogue;
mod examine;
mod failure;
mod keeper;
mod papers;

pub(crate) use challenges::Challenges;
pub(crate) use examine::{AcmeError, examine};
pub(crate) use keeper::{Keeper, KeeperParts};
