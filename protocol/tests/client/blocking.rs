//! The blocking client against a listener that answers canned lines.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::request::{Ping, Subscribe};
use aesync_protocol::{Channel, ErrorCode, Event};

struct Listening {
    _dir: tempfile::TempDir,
    path: PathBuf,
    thread: JoinHandle<()>,
}

/// Serves one connection with `serve`.
fn listen(serve: impl FnOnce(UnixStream) + Send + 'static) -> Listening {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).expect("a socket");
    let thread = std::thread::spawn(move || serve(listener.accept().expect("a client").0));
    Listening { _dir: dir, path, thread }
}

fn answer(stream: UnixStream, text: &str) {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request).expect("a request");
    reader.get_mut().write_all(text.as_bytes()).expect("written");
    // Keeps the connection open until the client is done.
    let _ = reader.read_to_end(&mut Vec::new());
}

#[test]
fn a_call_returns_its_own_answer_and_passes_over_others() {
    let daemon = listen(|stream| {
        answer(
            stream,
            concat!(
                r#"{"jsonrpc":"2.0","id":99,"result":{}}"#,
                "\n",
                r#"{"jsonrpc":"2.0","method":"event","params":{"channel":"checkpoint","seq":1}}"#,
                "\n",
                r#"{"jsonrpc":"2.0","id":1,"result":{"time":"2026-01-01T00:00:00.000Z","new":1}}"#,
                "\n"
            ),
        );
    });
    let mut client = Client::connect(&daemon.path).expect("connected");
    assert_eq!(client.call(&Ping {}).expect("an answer").time.to_string(), "2026-01-01T00:00:00.000Z");
    drop(client);
    daemon.thread.join().expect("the daemon's side");
}

#[test]
fn an_error_of_the_daemon_is_passed_on_whole() {
    let daemon = listen(|stream| {
        answer(
            stream,
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"no token\",\"data\":{\"code\":\"auth_required\",\"retryable\":false,\"hint\":\"aectl login\"}}}\n",
        );
    });
    let error = Client::connect(&daemon.path).expect("connected").call(&Ping {}).expect_err("refused");
    let ClientError::Remote(error) = error else { panic!("{error:?}") };
    assert!(error.is(ErrorCode::AuthRequired));
    assert_eq!(error.data.and_then(|details| details.hint).as_deref(), Some("aectl login"));
}

#[test]
fn a_daemon_that_turns_a_client_away_is_heard_although_it_reads_nothing() {
    let daemon = listen(|mut stream| {
        let line = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"too many\",\"data\":{\"code\":\"busy\",\"retryable\":true}}}\n";
        stream.write_all(line.as_bytes()).expect("written");
        stream.shutdown(std::net::Shutdown::Both).expect("closed");
    });
    let mut client = Client::connect(&daemon.path).expect("connected");
    daemon.thread.join().expect("closed");
    let error = client.call(&Ping {}).expect_err("turned away");
    assert!(matches!(&error, ClientError::Remote(error) if error.is(ErrorCode::Busy)), "{error:?}");
}

#[test]
fn a_silent_daemon_is_given_up_at_the_deadline() {
    let daemon = listen(|stream| answer(stream, "\n"));
    let mut client = Client::connect(&daemon.path).expect("connected");
    client.set_timeout(Duration::from_millis(50));
    let started = Instant::now();
    let error = client.call(&Ping {}).expect_err("no answer");
    assert!(matches!(&error, ClientError::Timeout { method, .. } if method == "ping"), "{error:?}");
    assert!((Duration::from_millis(50)..Duration::from_secs(5)).contains(&started.elapsed()));
    assert!(error.to_string().contains("within 50 ms"), "{error}");
}

#[test]
fn a_daemon_that_trickles_bytes_does_not_stretch_the_deadline() {
    let daemon = listen(|mut stream| {
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let mut client = Client::connect(&daemon.path).expect("connected");
    client.set_timeout(Duration::from_millis(60));
    assert!(matches!(client.call(&Ping {}), Err(ClientError::Timeout { .. })));
    drop(client);
    daemon.thread.join().expect("the daemon's side");
}

#[test]
fn an_end_before_the_answer_is_said() {
    let daemon = listen(|stream| {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("a request");
    });
    let error = Client::connect(&daemon.path).expect("connected").call(&Ping {}).expect_err("closed");
    assert!(matches!(error, ClientError::Closed { .. }), "{error:?}");
}

#[test]
fn an_answer_that_is_no_json_rpc_is_a_protocol_error() {
    let daemon = listen(|stream| answer(stream, "HTTP/1.1 400 Bad Request\r\n\r\n"));
    let error = Client::connect(&daemon.path).expect("connected").call(&Ping {}).expect_err("nonsense");
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
}

#[test]
fn nobody_listening_is_told_with_the_path_and_the_command() {
    let dir = tempfile::tempdir().expect("a directory");
    let absent = dir.path().join("absent");
    let stale = dir.path().join("stale");
    drop(UnixListener::bind(&stale).expect("a socket"));
    for path in [&absent, &stale] {
        let error = Client::connect(path).expect_err("nobody");
        let text = error.to_string();
        assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
        assert!(text.contains(&path.display().to_string()) && text.contains("systemctl --user start aesyncd"), "{text}");
    }
    let system = Client::connect(Path::new("/run/aesyncd/no-such-instance.sock")).expect_err("nobody");
    assert!(system.to_string().contains("`systemctl start aesyncd`"), "{system}");
}

#[test]
fn a_door_that_is_closed_to_this_user_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let _listener = UnixListener::bind(&path).expect("a socket");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("changed");
    if nix::unistd::geteuid().is_root() {
        // Root may open everything: nothing to be seen here.
        return;
    }
    let error = Client::connect(&path).expect_err("closed");
    assert!(matches!(error, ClientError::PermissionDenied { .. }), "{error:?}");
}

#[test]
fn a_full_queue_is_knocked_at_again_until_there_is_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let socket = nix_listener(&path);
    let mut waiting = Vec::new();
    while let Some(stream) = try_connect(&path) {
        waiting.push(stream);
    }
    let room = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(40));
        let accepted: Vec<UnixStream> = (0..waiting.len()).map(|_| socket.accept().expect("a client").0).collect();
        let client = socket.accept().expect("the last client").0;
        answer(client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"time\":\"2026-01-01T00:00:00.000Z\"}}\n");
        drop((accepted, waiting));
    });
    Client::connect(&path).expect("connected").call(&Ping {}).expect("an answer");
    room.join().expect("the daemon's side");
}

#[test]
fn a_queue_that_stays_full_is_given_up_at_the_deadline() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let _socket = nix_listener(&path);
    let mut waiting = Vec::new();
    while let Some(stream) = try_connect(&path) {
        waiting.push(stream);
    }
    let error = Client::connect_within(&path, Duration::from_millis(30)).expect_err("no room");
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
}

/// A listener with the shortest queue there is.
fn nix_listener(path: &Path) -> UnixListener {
    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
    use std::os::fd::AsRawFd as _;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    bind(fd.as_raw_fd(), &UnixAddr::new(path).expect("an address")).expect("bound");
    listen(&fd, Backlog::new(1).expect("a backlog")).expect("listening");
    fd.into()
}

/// Connects unless the queue is full.
fn try_connect(path: &Path) -> Option<UnixStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    use std::os::fd::AsRawFd as _;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).expect("a socket");
    connect(fd.as_raw_fd(), &UnixAddr::new(path).expect("an address")).ok().map(|()| fd.into())
}

#[test]
fn a_connections_events_come_in_order_without_unknown_ones_and_end_with_an_error() {
    let daemon = listen(|stream| {
        let mut reader = BufReader::new(stream);
        reader.read_line(&mut String::new()).expect("a request");
        let lines = [
            r#"{"jsonrpc":"2.0","method":"event","params":{"channel":"checkpoint","seq":6}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"log":"l","seq":7}}"#,
            r#"{"jsonrpc":"2.0","method":"event","params":{"channel":"weather","sunny":true}}"#,
            r#"{"jsonrpc":"2.0","method":"other","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":"event","params":{"channel":"lagged","dropped":2}}"#,
        ];
        reader.get_mut().write_all((lines.join("\n") + "\n").as_bytes()).expect("written");
    });
    let params = Subscribe { channels: vec![Channel::Change], ..Subscribe::default() };
    let mut subscription = Client::connect(&daemon.path).expect("connected").into_events(&params).expect("subscribed");
    assert_eq!((subscription.position().log.as_str(), subscription.position().seq), ("l", 7));
    assert_eq!(subscription.next_event(None).expect("an event"), Some(Event::Checkpoint { seq: 6 }));
    assert_eq!(subscription.next().expect("more").expect("an event"), Event::Lagged { dropped: 2 });
    assert!(matches!(subscription.next(), Some(Err(ClientError::Closed { .. }))));
    assert!(subscription.next().is_none());
}

#[test]
fn a_wait_for_events_that_do_not_come_ends_with_its_patience() {
    let daemon = listen(|stream| answer(stream, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"log\":\"l\",\"seq\":7}}\n"));
    let mut subscription =
        Client::connect(&daemon.path).expect("connected").into_events(&Subscribe::default()).expect("subscribed");
    assert_eq!(subscription.next_event(Some(Duration::from_millis(20))).expect("still connected"), None);
}
