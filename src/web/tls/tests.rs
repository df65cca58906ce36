use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use fake_telegram::harness::TemporaryDirectory;
use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::client::OwnFace;
use crate::config::{CertificateFiles, WebConfig, WebHost};
use crate::net::{Executor, Live, Reactor};

const HOST: &str = "proxy.example.com";

/// A host whose files are in a directory of their own.
struct World {
    directory: TemporaryDirectory,
    reactor: Rc<Reactor>,
    config: Live<WebConfig>,
    shown: Rc<RefCell<Vec<OwnFace>>>,
    certificates: Rc<Certificates>,
}

/// A certificate and its key, as text.
fn made(names: &[&str]) -> [String; 2] {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new(names).unwrap().self_signed(&key);
    [made.unwrap().pem(), key.serialize_pem()]
}

impl World {
    fn new() -> Self {
        let directory = TemporaryDirectory::new();
        let [chain, key] = made(&[HOST]);
        fs::write(directory.path().join("chain.pem"), chain).unwrap();
        fs::write(directory.path().join("key.pem"), key).unwrap();
        let config = Live::new(WebConfig {
            hosts: vec![host(directory.path(), HOST)],
            ..WebConfig::default()
        });
        let reactor = Reactor::virtual_time().unwrap();
        let shown = Rc::new(RefCell::new(Vec::new()));
        let parts = CertificatesParts {
            reactor: reactor.clone(),
            config: config.clone(),
            answered: Box::new(|_, _| {}),
            show: Box::new({
                let shown = shown.clone();
                move |face| shown.borrow_mut().push(face)
            }),
        };
        Self {
            certificates: Certificates::new(parts).unwrap(),
            directory,
            reactor,
            config,
            shown,
        }
    }

    fn write(&self, [chain, key]: [&str; 2]) {
        // By another file in its place, as certbot does.
        for (name, text) in [("chain.pem", chain), ("key.pem", key)] {
            let beside = self.directory.path().join("new");
            fs::write(&beside, text).unwrap();
            fs::rename(beside, self.directory.path().join(name)).unwrap();
        }
    }

    fn wait(&self, executor: &Rc<Executor>, seconds: u64) {
        let time = self.reactor.sleep(Duration::from_secs(seconds));
        self.reactor.block_on(executor, time);
    }

    fn count(&self) -> usize {
        self.shown.borrow().len()
    }
}

fn host(directory: &std::path::Path, name: &str) -> WebHost {
    WebHost {
        name: name.parse().unwrap(),
        path: None,
        files: Some(CertificateFiles {
            chain: directory.join("chain.pem"),
            key: directory.join("key.pem"),
            is_own: false,
        }),
        secrets: Vec::new(),
    }
}

/// What is done to the files, and whether another certificate is shown a minute later.
#[test]
fn files_that_change_are_read_again_and_bad_ones_change_nothing() {
    let world = World::new();
    let executor = Rc::new(Executor::default());
    executor.spawn(world.certificates.clone().run()).detach();
    let name = HOST.parse().unwrap();
    let [chain, key] = made(&[HOST]);
    let [other_chain, other_key] = made(&[HOST]);
    let [both_chain, both_key] = made(&[HOST, "other.example.com"]);
    assert_eq!(world.count(), 1);
    for (what, files, changes) in [
        ("nothing", None, false),
        ("another", Some([&*chain, &key]), true),
        ("the same again", Some([&*chain, &key]), false),
        ("half of it", Some([&*other_chain, &key]), false),
        ("all of it", Some([&*other_chain, &other_key]), true),
        ("nothing is in it", Some(["", &*other_key]), false),
        ("garbage", Some(["-----BEGIN", "\0\u{fffd}"]), false),
        ("whole again", Some([&*other_chain, &other_key]), false),
        ("another one", Some([&*both_chain, &both_key]), true),
    ] {
        let before = (world.count(), world.certificates.server());
        if let Some(files) = files {
            world.write(files);
        }
        world.wait(&executor, 61);
        assert_eq!(world.count() > before.0, changes, "{what}");
        let server = world.certificates.server().unwrap();
        let is_other = !std::sync::Arc::ptr_eq(&server, &before.1.unwrap());
        assert_eq!(is_other, changes, "{what}");
        assert!(world.certificates.has(&name));
    }
    fs::remove_file(world.directory.path().join("key.pem")).unwrap();
    let before = world.count();
    world.wait(&executor, 200);
    assert_eq!(world.count(), before);
    assert!(world.certificates.server().is_some());
}

#[test]
fn who_asks_need_not_wait_a_minute() {
    let world = World::new();
    let executor = Rc::new(Executor::default());
    executor.spawn(world.certificates.clone().run()).detach();
    world.wait(&executor, 5);
    let [chain, key] = made(&[HOST]);
    world.write([&chain, &key]);
    world.wait(&executor, 5);
    assert_eq!(world.count(), 1);
    world.certificates.reread();
    world.wait(&executor, 5);
    assert_eq!(world.count(), 2);
}

#[test]
fn hosts_come_and_go_with_the_config() {
    let world = World::new();
    let executor = Rc::new(Executor::default());
    executor.spawn(world.certificates.clone().run()).detach();
    let other = "other.example.com";
    let names = |world: &World| {
        let shown = world.shown.borrow();
        let names = shown.last().unwrap().profiles.iter();
        names.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    for (hosts, expected) in [
        (&[HOST, other][..], &[HOST, other][..]),
        (&[other, HOST], &[other, HOST]),
        (&[other, other], &[other]),
        (&[], &[]),
        (&[HOST], &[HOST]),
    ] {
        world.config.set(WebConfig {
            hosts: hosts
                .iter()
                .map(|name| host(world.directory.path(), name))
                .collect(),
            ..WebConfig::default()
        });
        world.wait(&executor, 5);
        assert_eq!(names(&world), expected);
        assert_eq!(world.certificates.server().is_some(), !expected.is_empty());
    }
}

#[test]
fn without_a_certificate_nothing_begins() {
    let reactor = Reactor::virtual_time().unwrap();
    let missing = std::path::Path::new("/nonexistent");
    let parts = CertificatesParts {
        answered: Box::new(|_, _| {}),
        reactor,
        config: Live::new(WebConfig {
            hosts: vec![host(missing, HOST)],
            ..WebConfig::default()
        }),
        show: Box::new(|_| panic!("there is nothing to show")),
    };
    let why = Certificates::new(parts).err().unwrap();
    assert!(why.unread().is_some());
    let why = why.to_string();
    let expected =
        "--web: the certificate of proxy.example.com: cannot read /nonexistent/chain.pem: ";
    assert!(why.starts_with(expected), "{why}");
}

/// A file that ACME is to write may be yet to come; one of others may not.
#[test]
fn what_we_get_ourselves_may_be_missing_at_first() {
    let folder = TemporaryDirectory::new();
    for is_own in [true, false] {
        let mut host = host(folder.path(), HOST);
        host.files.as_mut().unwrap().is_own = is_own;
        let config = WebConfig {
            hosts: vec![host],
            ..WebConfig::default()
        };
        assert_eq!(super::examine(&config).is_ok(), is_own);
    }
}
