//! What the daemon tells systemd and gets from it. Environment variables belong to a process, so each test runs itself in a child.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use aesyncd::config::LogConfig;
use aesyncd::service::{activation, log, notify};

/// The variable by which a test knows that it is the child.
const CHILD: &str = "SERVICE_ENVIRONMENT_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// This test again, as a child.
fn child(test: &str) -> Command {
    let test = format!("environment::{test}");
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", &test, "--nocapture"]).env(CHILD, "1").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

#[test]
fn systemd_hears_what_the_daemon_does() {
    if is_child() {
        notify::ready();
        notify::status("synced\nREADY=0");
        notify::reloading();
        notify::alive();
        notify::stopping();
        assert_eq!(notify::watchdog_interval(), Some(Duration::from_secs(10)));
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("bound");
    let status = child("systemd_hears_what_the_daemon_does")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "30000000")
        .env_remove("WATCHDOG_PID")
        .status();
    assert!(status.expect("a child").success());
    socket.set_nonblocking(true).expect("a socket");
    let mut heard = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(length) = socket.recv(&mut buffer) {
        heard.push(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned());
    }
    assert_eq!(heard.len(), 5, "{heard:?}");
    assert_eq!([&heard[0], &heard[1], &heard[3], &heard[4]], ["READY=1", "STATUS=synced", "WATCHDOG=1", "STOPPING=1"]);
    assert!(heard[2].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{heard:?}");
}

#[test]
fn without_systemd_nothing_happens() {
    if is_child() {
        notify::ready();
        notify::reloading();
        assert_eq!(notify::watchdog_interval(), None);
        assert!(activation::inherited_socket().expect("nothing").is_none());
        return;
    }
    let mut command = child("without_systemd_nothing_happens");
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"] {
        command.env_remove(variable);
    }
    assert!(command.status().expect("a child").success());
}

#[test]
fn a_socket_that_systemd_hands_over_can_be_listened_on() {
    if is_child() {
        let socket = activation::inherited_socket().expect("usable").expect("a socket");
        UnixListener::from(socket).accept().expect("a client");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).expect("bound");
    let mut child = child("a_socket_that_systemd_hands_over_can_be_listened_on")
        // The standard library can't put a descriptor at 3, where systemd does.
        .stdin(std::os::fd::OwnedFd::from(listener))
        .env("LISTEN_FDS_FIRST_FD", "0")
        .env("LISTEN_FDS", "1")
        .env_remove("LISTEN_PID")
        .spawn()
        .expect("a child");
    let _client = UnixStream::connect(&path).expect("the child listens");
    assert!(child.wait().expect("a child").success());
}

#[test]
fn what_is_no_listening_socket_is_refused() {
    if is_child() {
        let error = activation::inherited_socket().expect_err("a file").to_string();
        assert!(error.contains("ListenStream="), "{error}");
        return;
    }
    for number in ["1", "2"] {
        let status = child("what_is_no_listening_socket_is_refused")
            .env("LISTEN_FDS_FIRST_FD", "0")
            .env("LISTEN_FDS", number)
            .env_remove("LISTEN_PID")
            .status();
        assert!(status.expect("a child").success(), "{number}");
    }
}

#[test]
fn the_log_has_the_journals_form_exactly_when_stderr_is_the_journal() {
    if is_child() {
        log::Log::start(&LogConfig::default()).expect("a log");
        tracing::info!("hello");
        tracing_log::log::warn!(target: "sled::pagecache", "what another crate logs");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("stderr");
    for is_the_journal in [true, false] {
        let file = std::fs::File::create(&path).expect("writable");
        let metadata = file.metadata().expect("a file");
        let inode = metadata.ino() + u64::from(!is_the_journal);
        let status = child("the_log_has_the_journals_form_exactly_when_stderr_is_the_journal")
            .env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()))
            .stderr(file)
            .status();
        assert!(status.expect("a child").success());
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.contains("hello"), "{text}");
        assert_eq!(text.starts_with("<6>process::environment: hello"), is_the_journal, "{text}");
        assert_eq!(text.contains("<4>sled::pagecache: what another crate logs"), is_the_journal, "{text}");
    }
}
