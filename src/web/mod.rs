//! The WEB proxy.

pub(crate) mod cover;
