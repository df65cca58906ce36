//! As much JSON as the commands write.

use std::fmt::Write;

use crate::log::Quoted;

/// A value. Objects keep the order of their members.
pub(super) enum Json {
    #[cfg(any(test, feature = "check", feature = "ctl", feature = "ping"))]
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            #[cfg(any(test, feature = "check", feature = "ctl", feature = "ping"))]
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(text) => Quoted(text).fmt(f),
            Self::List(items) => {
                f.write_char('[')?;
                for (position, item) in items.iter().enumerate() {
                    f.write_str(if position == 0 { "" } else { "," })?;
                    item.fmt(f)?;
                }
                f.write_char(']')
            }
            Self::Object(members) => {
                f.write_char('{')?;
                for (position, (name, value)) in members.iter().enumerate() {
                    f.write_str(if position == 0 { "" } else { "," })?;
                    write!(f, "{}:{value}", Quoted(name))?;
                }
                f.write_char('}')
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nested_values_are_read_by_a_real_parser() {
        let value = Json::Object(vec![
            ("a", Json::List(vec![Json::Number(-1), Json::Bool(true)])),
            ("b", Json::Object(vec![])),
        ]);
        let read: serde_json::Value = serde_json::from_str(&value.to_string()).unwrap();
        assert_eq!(read, serde_json::json!({"a": [-1, true], "b": {}}));
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text: String) {
            let written = Json::Text(text.clone()).to_string();
            let read: String = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
