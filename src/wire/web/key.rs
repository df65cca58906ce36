use crate::secret::{Secret, SecretForm, SharedSecret};

const PADDED: u8 = 0xdd;

/// A secret as the WEB proxy knows it: an app that has it with `dd` opens only padded
/// streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WebKey {
    pub secret: Secret,
    pub is_padded: bool,
}

/// 16 bytes, 17 with `dd` in front.
pub(super) type KeyBytes = heapless::Vec<u8, 17, u8>;

impl WebKey {
    /// What may be asked for with a secret: `dd` only with `dd`, plain and `ee` both ways.
    pub fn all_of(shared: &SharedSecret) -> impl Iterator<Item = Self> + use<> {
        let secret = shared.key;
        let is_strict = matches!(shared.form, SecretForm::Padded);
        let forms = [true, false]
            .into_iter()
            .filter(move |form| *form || !is_strict);
        forms.map(move |is_padded| Self { secret, is_padded })
    }

    pub(super) fn bytes(&self) -> KeyBytes {
        let mark: &[u8] = if self.is_padded { &[PADDED] } else { &[] };
        mark.iter().chain(&self.secret.0).copied().collect()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, is_padded) = match bytes {
            [PADDED, key @ ..] if key.len() == 16 => (key, true),
            key => (key, false),
        };
        let secret = Secret(key.try_into().ok()?);
        Some(Self { secret, is_padded })
    }
}
