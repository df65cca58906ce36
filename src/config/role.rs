use std::str::FromStr;

use super::values::{BadValue, one_of};

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
        one_of(
            text,
            [
                ("both", Self::Both),
                ("front", Self::Front),
                ("back", Self::Back),
            ],
        )
    }
}
