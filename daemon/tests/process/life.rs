//! What becomes of the process: when a part of it breaks, and while it opens its store.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::process::{Process, log_of};
use crate::support::{Scene, wait_for};

fn said(scene: &Scene) -> String {
    std::fs::read_to_string(log_of(scene)).unwrap_or_default()
}

/// A daemon that breaks there.
fn breaking(scene: &Scene, at: &'static str) -> Process {
    Process::start_with(scene, "", |command| {
        command.env("AESYNC_TEST_BREAK", at);
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_loop_ends_the_process_with_1_so_that_it_is_started_again() {
    let scene = Scene::hurried();
    let mut daemon = breaking(&scene, "loop");
    wait_for("synced", || said(&scene).contains("synced")).await;
    daemon.signal(Signal::SIGHUP);
    assert_eq!(daemon.ended().await, Some(1));
    let said = said(&scene);
    assert!(said.contains("a test breaks the loop") && said.contains("its loop ended unasked"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_stores_thread_ends_the_process_with_1() {
    let scene = Scene::hurried();
    let mut daemon = breaking(&scene, "store");
    assert_eq!(daemon.ended().await, Some(1));
    let said = said(&scene);
    assert!(said.contains("a test breaks the store") && said.contains("its thread ended unasked"), "{said}");
}

/// A socket on which systemd would listen.
struct Systemd(UnixDatagram, PathBuf);

impl Systemd {
    fn new(scene: &Scene) -> Self {
        let path = scene.dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_nonblocking(true).expect("a socket");
        Self(socket, path)
    }

    /// Whether this was among what has come since the last look.
    fn has_heard(&self, text: &str) -> bool {
        let mut buffer = [0; 1024];
        while let Ok(length) = self.0.recv(&mut buffer) {
            if String::from_utf8_lossy(&buffer[..length]).contains(text) {
                return true;
            }
        }
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_opened_systemd_is_asked_for_time_and_a_sigterm_ends_it() {
    let scene = Scene::hurried();
    let systemd = Systemd::new(&scene);
    let mut daemon = Process::start_with(&scene, "", |command| {
        command.env("AESYNC_TEST_BREAK", "opening").env("NOTIFY_SOCKET", &systemd.1);
    });
    wait_for("more time", || systemd.has_heard("EXTEND_TIMEOUT_USEC=60000000")).await;
    daemon.signal(Signal::SIGHUP);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().await, Some(0));
    assert!(said(&scene).contains("before the store was open"), "{}", said(&scene));
}

#[test]
fn who_waits_at_a_socket_of_systemds_is_told_why_there_is_no_daemon() {
    use std::io::{BufRead as _, Write as _};
    let dir = tempfile::tempdir().expect("a directory");
    let (config, path) = (dir.path().join("aesyncd.toml"), dir.path().join("s"));
    std::fs::write(&config, "[sync]\ninterval = '5 parsecs'\n").expect("written");
    let config = config.to_str().expect("UTF-8");
    for (arguments, code, part) in [(["--config", config], 78, "sync.interval"), (["--instance", "Shop"], 2, "Shop")] {
        let _ = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let mut client = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
        client.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n").expect("written");
        let stderr = std::fs::File::create(dir.path().join("stderr")).expect("writable");
        let metadata = stderr.metadata().expect("a file");
        let status = Command::new(env!("CARGO_BIN_EXE_aesyncd"))
            .args(arguments)
            .stdin(std::os::fd::OwnedFd::from(listener))
            .stderr(stderr)
            .env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()))
            .env("LISTEN_FDS_FIRST_FD", "0")
            .env("LISTEN_FDS", "1")
            .env_remove("LISTEN_PID")
            .status();
        assert_eq!(status.expect("it ran").code(), Some(code));
        let mut line = String::new();
        std::io::BufReader::new(client).read_line(&mut line).expect("an answer");
        let answer: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&answer["id"], &answer["error"]["data"]["code"]), (&serde_json::Value::Null, &"misconfigured".into()));
        assert!(answer["error"]["message"].as_str().expect("a message").contains(part), "{answer}");
    }
}

#[test]
fn what_keeps_it_from_starting_is_an_error_in_the_journal_line_by_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let (config, path) = (dir.path().join("aesyncd.toml"), dir.path().join("stderr"));
    std::fs::write(&config, "[sync]\ninterval = '5 parsecs'\noverlap = 'a while'\n").expect("written");
    let config = config.to_str().expect("UTF-8");
    for (arguments, code, part) in [
        (["--config", config], 78, "sync.overlap"),
        (["--config", "/nowhere"], 78, "/nowhere"),
        (["--instance", "Shop"], 2, "Shop"),
    ] {
        for is_the_journal in [true, false] {
            let file = std::fs::File::create(&path).expect("writable");
            let metadata = file.metadata().expect("a file");
            let inode = metadata.ino() + u64::from(!is_the_journal);
            let status = Command::new(env!("CARGO_BIN_EXE_aesyncd"))
                .args(arguments)
                .env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()))
                .stderr(file)
                .status();
            assert_eq!(status.expect("it ran").code(), Some(code));
            let text = std::fs::read_to_string(&path).expect("readable");
            assert!(text.contains(part), "{text}");
            for line in text.lines() {
                assert_eq!(line.starts_with("<3>"), is_the_journal, "{line:?} in:\n{text}");
            }
        }
    }
}
