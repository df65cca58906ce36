//! Ciphers, hashes and checksums of the data path.
//!
//! Generic RustCrypto code is compiled at the optimisation level of the crate
//! that instantiates it. This crate instantiates all of it behind plain
//! functions, so that it can stay at `opt-level = 3` while the rest of the
//! program is built for size.
#![forbid(unsafe_code)]

mod cbc_stream;
mod checksum;
mod ctr_stream;
mod hash;

pub use cbc_stream::{BLOCK_LEN, CbcDecryptor, CbcEncryptor};
pub use checksum::{Checksum, ChecksumKind};
pub use ctr_stream::{CtrStream, StreamKey};
pub use hash::{constant_time_eq, hmac_sha256, md5, sha1, sha256};
