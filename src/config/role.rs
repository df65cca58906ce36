use std::str::FromStr;

use super::values::{BadValue, bad};

/// Which half of the proxy this process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Both,
    /// Takes clients.
    Front,
    /// Talks to Telegram.
    Back,
}

impl FromStr for Role {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "both" => Ok(Self::Both),
            "front" => Ok(Self::Front),
            "back" => Ok(Self::Back),
            _ => bad("expected both, front or back"),
        }
    }
}
