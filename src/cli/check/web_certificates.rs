//! The certificates of WEB hosts with TLS of ours, from their files.

use super::verdict::{Grade, Verdict};
use crate::config::{CertificateFiles, Config};
use crate::tls::x509::{self, day, days_left};
use crate::tls::{Concern, HostCertificate, public_roots};
#[cfg(feature = "acme")]
use crate::web::acme::examine;

/// One verdict a name, or one for each thing that is wrong with its certificate.
pub(super) fn check(config: &Config) -> Vec<Verdict> {
    let mut seen: Vec<&str> = Vec::new();
    let mut verdicts = Vec::new();
    #[cfg(feature = "acme")]
    verdicts.extend(acme(config));
    for host in &config.web.hosts {
        let name = host.name.as_str();
        if let Some(files) = host.files.as_ref().filter(|_| !seen.contains(&name)) {
            seen.push(name);
            #[cfg(feature = "acme")]
            if let Some(awaited) = awaited(config, name, files) {
                verdicts.push(awaited);
                continue;
            }
            verdicts.extend(judge(name, files, x509::now()));
        }
    }
    verdicts
}

/// Whether certificates can be got at all.
#[cfg(feature = "acme")]
fn acme(config: &Config) -> Vec<Verdict> {
    const SUBJECT: &str = "WEB certificates by ACME";
    match examine(&config.web, &config.process.data_dir) {
        Ok(said) => {
            let warnings = said.into_iter();
            warnings
                .map(|warning| Verdict::warn(SUBJECT, warning))
                .collect()
        }
        Err(error) => vec![Verdict::fail(SUBJECT, error.to_string())],
    }
}

/// The running proxy has not got one yet.
#[cfg(feature = "acme")]
fn awaited(config: &Config, name: &str, files: &CertificateFiles) -> Option<Verdict> {
    let acme = config.web.acme.as_ref().filter(|_| files.is_own)?;
    let is_there = files.chain.exists();
    (!is_there).then(|| {
        Verdict::warn(
            format!("WEB certificate {name}"),
            format!(
                "there is none yet in {}: the running proxy gets it from {}; if it does not, see \
                 its log for why",
                files.chain.display(),
                acme.authority()
            ),
        )
    })
}

fn judge(name: &str, files: &CertificateFiles, now: i64) -> Vec<Verdict> {
    let subject = format!("WEB certificate {name}");
    let read = match HostCertificate::read(&files.chain, &files.key) {
        Ok(read) => read,
        Err(error) => return vec![Verdict::fail(subject, error.to_string())],
    };
    let concerns = read.concerns(name, &public_roots(), now);
    if concerns.is_empty() {
        let (left, until) = (days_left(read.until(), now), day(read.until()));
        #[cfg(feature = "acme")]
        let renewed = match files.is_own {
            true => format!("; renewed on {}", day(read.renewal())),
            false => String::new(),
        };
        #[cfg(not(feature = "acme"))]
        let renewed = "";
        return vec![Verdict::ok(
            subject,
            format!("fits its key, with its whole chain; {left} days left, until {until}{renewed}"),
        )];
    }
    let verdict = |concern: &Concern| {
        let grade = match concern {
            Concern::ExpiresSoon(_) => Grade::Warn,
            _ => Grade::Fail,
        };
        Verdict::new(grade, subject.clone(), concern.text(name, now))
    };
    concerns.iter().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_judged_as_apps_judge_them() {
        let folder = fake_telegram::harness::TemporaryDirectory::new();
        let made = rcgen::generate_simple_self_signed(["proxy.example.com".to_owned()]).unwrap();
        let files = CertificateFiles {
            chain: folder.path().join("chain.pem"),
            key: folder.path().join("key.pem"),
            is_own: false,
        };
        let found = judge("proxy.example.com", &files, x509::now());
        assert_eq!(found[0].grade, Grade::Fail);
        assert!(found[0].finding.contains("cannot read"), "{}", found[0]);
        fs::write(&files.chain, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let found = judge("proxy.example.com", &files, x509::now());
        assert_eq!((found.len(), found[0].grade), (1, Grade::Fail));
        assert!(found[0].finding.contains("whole chain"), "{}", found[0]);
        assert_eq!(judge("www.example.org", &files, x509::now()).len(), 2);
    }
    #[cfg(feature = "acme")]
    #[test]
    fn what_is_yet_to_come_is_no_failure() {
        let folder = fake_telegram::harness::TemporaryDirectory::new();
        let config = Config::of(&[
            ("--web", "proxy.example.com"),
            ("--web-acme", "me@example.com,staging"),
            ("--web-site", "/srv/www"),
            ("--data-dir", folder.path().to_str().unwrap()),
            ("--secret", "000102030405060708090a0b0c0d0e0f"),
        ]);
        let found = check(&config);
        let of_host = found.last().unwrap();
        assert_eq!(of_host.grade, Grade::Warn);
        assert!(of_host.finding.contains("staging authority"), "{of_host}");
        let made = rcgen::generate_simple_self_signed(["proxy.example.com".to_owned()]).unwrap();
        let file = &config.web.hosts[0].files.as_ref().unwrap().chain;
        fs::write(file, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
        let found = check(&config);
        assert_eq!(found.last().unwrap().grade, Grade::Fail);
    }
}
