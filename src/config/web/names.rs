//! Stand in until `wire::web::host` is here.
use std::fmt;
use std::str::FromStr;

use super::super::values::BadValue;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostName(String);
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BasePath(String);

impl HostName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
impl BasePath {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for HostName {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        Ok(Self(text.to_ascii_lowercase()))
    }
}
impl FromStr for BasePath {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        Ok(Self(text.to_owned()))
    }
}
