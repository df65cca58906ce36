//! The log under procd, which tells lines apart by their stream.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fake_telegram::built_binary;
use fake_telegram::harness::{Process, TemporaryDirectory, free_address, program};
use fake_telegram::wait::{eventually, run};

/// A proxy as OpenWrt's init script starts it, in need of nobody.
fn start(directory: &Path, listener: SocketAddr) -> Process {
    let table = directory.join("friends");
    let flags = format!(
        "listen {listener}\nsecret dd00112233445566778899aabbccddeeff\nroute direct\n\
         external-ip 192.0.2.1\nself-test no\nlog-level debug\ndata-dir data\n\
         table friends={}\npolicy in-table:client-subnet/32/128:friends\n",
        table.display()
    );
    fs::write(directory.join("flags"), flags).unwrap();
    Process::start(
        program(built_binary!())
            .args(["run", "--config"])
            .arg(directory.join("flags"))
            .env("SMOL_MTPROXY_LOG", "procd")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )
}

fn signal(proxy: &Process, name: &str) {
    let script = format!("kill -{name} {}", proxy.id());
    let status = Command::new("sh").args(["-c", &script]).status();
    assert!(status.unwrap().success());
}

async fn stop(mut proxy: Process) {
    signal(&proxy, "TERM");
    eventually("its end", || proxy.try_wait().unwrap().is_some()).await;
    assert_eq!(proxy.wait().unwrap().code(), Some(0));
}

#[test]
fn every_line_goes_to_the_stream_of_its_level_without_a_time() {
    run(async {
        let directory = TemporaryDirectory::new();
        let listener = free_address();
        let mut proxy = start(directory.path(), listener);
        let (stdout, stderr) = (proxy.stdout.take(), proxy.stderr.take());
        eventually("a listener", || TcpStream::connect(listener).is_ok()).await;
        // What fails once it runs, by way of the log's thread.
        fs::write(directory.path().join("flags"), "no-such-flag 1\n").unwrap();
        signal(&proxy, "HUP");
        let (tell, heard) = mpsc::channel();
        let lines = BufReader::new(stderr.unwrap()).lines();
        thread::spawn(move || lines.for_each(|line| tell.send(line.unwrap() + "\n").unwrap()));
        let mut said = String::new();
        while !said.contains("no-such-flag") {
            said += &heard.recv_timeout(Duration::from_secs(30)).unwrap();
        }
        stop(proxy).await;
        said.extend(heard);
        let mut told = String::new();
        stdout.unwrap().read_to_string(&mut told).unwrap();
        for (text, levels) in [
            (&told, &["info ", "debug ", "trace "][..]),
            (&said, &["warn ", "error "]),
        ] {
            for line in text.lines() {
                assert!(levels.iter().any(|level| line.starts_with(level)), "{line}");
            }
        }
        let listening = format!("info listening on {listener}\n");
        for (line, times) in [(listening.as_str(), [1, 0]), ("info stopping", [1, 0])] {
            assert_eq!([&told, &said].map(|text| text.matches(line).count()), times);
        }
        for line in [
            "warn --policy in-table lets nobody in",
            "error the config was not reloaded: ",
        ] {
            assert_eq!(
                [&told, &said].map(|text| text.matches(line).count()),
                [0, 1]
            );
        }
    });
}

/// Lines for it are lost, and nothing else is.
#[test]
fn a_closed_stdout_is_no_matter() {
    run(async {
        let directory = TemporaryDirectory::new();
        let listener = free_address();
        let mut proxy = start(directory.path(), listener);
        drop(proxy.stdout.take());
        let stderr = proxy.stderr.take();
        eventually("a listener", || TcpStream::connect(listener).is_ok()).await;
        stop(proxy).await;
        let mut said = String::new();
        stderr.unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said.matches("lets nobody in").count(), 1, "{said}");
        assert!(!said.contains("info "), "{said}");
    });
}

/// It has no level, and is an error all the same.
#[test]
fn why_it_did_not_start_goes_to_stderr() {
    let directory = TemporaryDirectory::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut proxy = start(directory.path(), taken.local_addr().unwrap());
    let mut said = String::new();
    let mut stderr = proxy.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(proxy.wait().unwrap().code(), Some(69));
    assert!(said.contains("smol-mtproxy: --listen 127.0.0.1:"), "{said}");
}
