use std::fmt::Display;
use std::str::FromStr;

/// A field that a flag fills.
pub(in crate::config) trait Slot {
    fn fill(&mut self, value: &str) -> Result<(), NotFilled>;
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) enum NotFilled {
    /// Why.
    BadValue(String),
    /// It holds one value, and has it.
    Full,
}

impl<T: FromStr<Err: Display>> Slot for Option<T> {
    fn fill(&mut self, value: &str) -> Result<(), NotFilled> {
        let value = value.parse().map_err(|error| bad(&error))?;
        if self.is_some() {
            return Err(NotFilled::Full);
        }
        *self = Some(value);
        Ok(())
    }
}

impl<T: FromStr<Err: Display>> Slot for Vec<T> {
    fn fill(&mut self, value: &str) -> Result<(), NotFilled> {
        self.push(value.parse().map_err(|error| bad(&error))?);
        Ok(())
    }
}

fn bad(error: &dyn Display) -> NotFilled {
    NotFilled::BadValue(error.to_string())
}
