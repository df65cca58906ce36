//! What the kernel, or a sandbox, lacks of what the proxy uses.

use super::verdict::Verdict;
use crate::net::missing_features;

/// One verdict, or one for each thing that is missing.
pub(super) fn check() -> Vec<Verdict> {
    judge(missing_features())
}

fn judge(missing: Vec<(&'static str, String)>) -> Vec<Verdict> {
    if missing.is_empty() {
        return vec![Verdict::ok("kernel", "has all that the proxy uses")];
    }
    let verdicts = missing
        .into_iter()
        .map(|(name, without)| Verdict::warn("kernel", format!("no {name} here {without}")));
    verdicts.collect()
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    #[test]
    fn each_missing_thing_is_said() {
        assert_eq!(judge(Vec::new())[0].grade, Grade::Ok);
        let found = judge(vec![("splice(2)", "(why): slower".to_owned())]);
        assert_eq!(
            found[0].to_string(),
            "warn  kernel: no splice(2) here (why): slower"
        );
    }
}
