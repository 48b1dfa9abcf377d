//! Both subscriptions that outlive their connections, against a listener that plays a script: one scene for each connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use aesync_protocol::Channel;
use aesync_protocol::client::{Client, ClientError, Update, Updates, asynchronous};
use aesync_protocol::request::Subscribe;
use serde_json::{Value, json};

/// How long an end of the script waits for the other: a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(20);

type Scene = Box<dyn FnOnce(&mut Peer) + Send>;

fn scene(play: impl FnOnce(&mut Peer) + Send + 'static) -> Scene {
    Box::new(play)
}

/// The listener's end of one connection.
struct Peer {
    reader: BufReader<UnixStream>,
    last_id: u64,
    /// The params of the `hello` before the newest request.
    greeting: Value,
}

impl Peer {
    fn new(stream: UnixStream) -> Self {
        Self { reader: BufReader::new(stream), last_id: 0, greeting: Value::Null }
    }

    /// The params of the next request, which must be this one. A `hello` before it is answered.
    fn asked(&mut self, method: &str) -> Value {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).expect("a request");
            let mut request: Value = serde_json::from_str(&line).expect("a request in JSON");
            self.last_id = request["id"].as_u64().expect("an id");
            if request["method"] == "hello" && method != "hello" {
                self.greeting = request["params"].take();
                self.say(&json!({"jsonrpc": "2.0", "id": self.last_id, "result": {"protocol": 1}}));
                continue;
            }
            assert_eq!(request["method"], method);
            return request["params"].take();
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).expect("written");
    }

    fn say(&mut self, line: &Value) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Takes `subscribe` and returns its `since`.
    fn subscribed(&mut self) -> Value {
        let since = self.asked("subscribe")["since"].take();
        self.say(&json!({"jsonrpc": "2.0", "id": self.last_id, "result": {"log": "a", "seq": 9}}));
        since
    }

    /// Waits until the client is gone.
    fn until_it_leaves(&mut self) {
        while self.reader.read_line(&mut String::new()).is_ok_and(|count| count > 0) {}
    }
}

fn change(seq: u64) -> Value {
    json!({"jsonrpc": "2.0", "method": "event", "params": {"channel": "change", "change": {"seq": seq, "op": "upsert",
        "entityType": "t", "id": seq.to_string(), "record": {"id": seq.to_string(), "ü": "€".repeat(9)}, "origin": "server",
        "pending": false, "at": "2026-01-01T00:00:00.000Z"}}})
}

struct Script {
    _dir: tempfile::TempDir,
    path: PathBuf,
    thread: JoinHandle<()>,
}

/// Plays the scenes in order and then refuses connections.
fn script(scenes: impl IntoIterator<Item = Scene>) -> Script {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).expect("a socket");
    let scenes: Vec<Scene> = scenes.into_iter().collect();
    let thread = std::thread::spawn(move || {
        for scene in scenes {
            let stream = listener.accept().expect("a client").0;
            stream.set_read_timeout(Some(PATIENCE)).expect("set");
            stream.set_write_timeout(Some(PATIENCE)).expect("set");
            scene(&mut Peer::new(stream));
        }
    });
    Script { _dir: dir, path, thread }
}

#[derive(Clone, Copy, Debug)]
enum Driver {
    Blocking,
    Stream,
}

const DRIVERS: [Driver; 2] = [Driver::Blocking, Driver::Stream];

fn wanted() -> Subscribe {
    Subscribe { channels: vec![Channel::Change], since: Some(0), ..Subscribe::default() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Follows until the change `last`; what was told, and the error that ended it earlier.
fn follow(driver: Driver, path: &Path, last: u64) -> (Vec<String>, Option<ClientError>) {
    let mut told = Vec::new();
    let mut is_last = |update: &Update| {
        told.push(match update {
            Update::Change(change) => change.seq.to_string(),
            Update::Connected(_) => "connected".to_owned(),
            Update::Disconnected(_) => "disconnected".to_owned(),
            other => format!("{other:?}"),
        });
        matches!(update, Update::Change(change) if change.seq == last)
    };
    let error = match driver {
        Driver::Blocking => {
            let mut updates = Updates::new(path, wanted());
            loop {
                match updates.next_update(Some(PATIENCE)) {
                    Ok(Some(update)) if is_last(&update) => break None,
                    Ok(update) => assert!(update.is_some(), "nothing came"),
                    Err(error) => {
                        assert!(updates.next().is_none(), "an error is the last item");
                        break Some(error);
                    }
                }
            }
        }
        Driver::Stream => runtime().block_on(async {
            let mut updates = asynchronous::Updates::new(path, wanted());
            loop {
                match tokio::time::timeout(PATIENCE, updates.next_update()).await.expect("something comes") {
                    Some(Ok(update)) if is_last(&update) => break None,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        assert!(updates.next_update().await.is_none(), "an error is the last item");
                        break Some(error);
                    }
                    None => panic!("the stream ended"),
                }
            }
        }),
    };
    (told, error)
}

#[test]
fn a_line_torn_by_a_crash_is_read_whole_after_the_resume() {
    for driver in DRIVERS {
        let daemon = script([
            scene(|peer| {
                assert_eq!(peer.subscribed(), 0);
                peer.say(&change(1));
                let line = change(2).to_string();
                peer.write(line.get(..line.len() - 4).expect("ASCII at its end").as_bytes());
            }),
            scene(|peer| {
                assert_eq!(peer.subscribed(), 1);
                peer.say(&change(2));
                peer.until_it_leaves();
            }),
        ]);
        let (told, error) = follow(driver, &daemon.path, 2);
        assert_eq!(told, ["connected", "1", "disconnected", "connected", "2"], "{driver:?} {error:?}");
        daemon.thread.join().expect("the script was played");
    }
}

#[test]
fn a_clients_subscription_goes_on_through_a_loss_and_says_who_it_is() {
    for driver in DRIVERS {
        let greeted = |peer: &mut Peer, since: u64| {
            assert_eq!(peer.subscribed(), since);
            assert_eq!(peer.greeting, json!({"client": {"name": "notes", "version": "1.2.0"}, "protocol": 1}));
            peer.say(&change(since + 1));
        };
        // The first connection is the client's own.
        let daemon = script([
            scene(|_| {}),
            scene(move |peer| greeted(peer, 0)),
            scene(move |peer| {
                greeted(peer, 1);
                peer.until_it_leaves();
            }),
        ]);
        let mut told = Vec::new();
        match driver {
            Driver::Blocking => {
                let mut updates = Client::connect(&daemon.path).expect("connected").subscribe(wanted()).named("notes", "1.2.0");
                while told.len() < 5 {
                    told.push(updates.next_update(Some(PATIENCE)).expect("no error").expect("an update"));
                }
            }
            Driver::Stream => runtime().block_on(async {
                let client = asynchronous::Client::connect(&daemon.path).await.expect("connected");
                let mut updates = client.subscribe(wanted()).named("notes", "1.2.0");
                while told.len() < 5 {
                    told.push(updates.next_update().await.expect("an update").expect("no error"));
                }
            }),
        }
        let seqs: Vec<u64> =
            told.iter().filter_map(|update| if let Update::Change(change) = update { Some(change.seq) } else { None }).collect();
        assert_eq!(seqs, [1, 2], "{driver:?} {told:?}");
        daemon.thread.join().expect("the script was played");
    }
}

#[test]
fn a_full_house_that_answers_the_first_line_and_closes_is_heard_and_tried_again() {
    for driver in DRIVERS {
        let daemon = script([
            scene(|peer| {
                peer.asked("hello");
                peer.say(&json!({"jsonrpc": "2.0", "id": peer.last_id, "error": {"code": -32000, "message": "full",
                    "data": {"code": "busy", "retryable": true}}}));
            }),
            scene(|peer| {
                peer.subscribed();
                peer.say(&change(1));
                peer.until_it_leaves();
            }),
        ]);
        assert_eq!(follow(driver, &daemon.path, 1).0, ["disconnected", "connected", "1"], "{driver:?}");
        daemon.thread.join().expect("the script was played");
    }
}

#[test]
fn events_arrive_a_byte_at_a_time_and_several_at_once() {
    for driver in DRIVERS {
        let daemon = script([scene(|peer| {
            peer.subscribed();
            for byte in format!("{}\n", change(1)).bytes() {
                peer.write(&[byte]);
            }
            peer.write(format!("\n{}\r\n\n{}\n{}\n", change(2), change(3), change(4)).as_bytes());
            peer.until_it_leaves();
        })]);
        assert_eq!(follow(driver, &daemon.path, 4).0, ["connected", "1", "2", "3", "4"], "{driver:?}");
        daemon.thread.join().expect("the script was played");
    }
}

#[test]
fn nobody_there_is_told_once_and_waited_for() {
    for driver in DRIVERS {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let bound = path.clone();
        let late = std::thread::spawn(move || {
            // Long enough for several attempts.
            std::thread::sleep(Duration::from_millis(200));
            let listener = UnixListener::bind(&bound).expect("a socket");
            let mut peer = Peer::new(listener.accept().expect("a client").0);
            peer.subscribed();
            peer.say(&change(1));
            peer.until_it_leaves();
        });
        assert_eq!(follow(driver, &path, 1).0, ["disconnected", "connected", "1"], "{driver:?}");
        late.join().expect("the script was played");
    }
}

#[test]
fn what_does_not_speak_the_protocol_is_given_up_after_three_attempts() {
    for driver in DRIVERS {
        let nonsense = || {
            scene(|peer| {
                peer.asked("subscribe");
                peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                peer.until_it_leaves();
            })
        };
        let daemon = script([nonsense(), nonsense(), nonsense()]);
        let (told, error) = follow(driver, &daemon.path, 1);
        assert_eq!(told, ["disconnected"], "{driver:?}");
        assert!(matches!(error, Some(ClientError::Protocol { .. })), "{driver:?} {error:?}");
        daemon.thread.join().expect("the script was played");
    }
}

#[test]
fn a_daemon_that_turns_the_caller_away_and_closes_is_heard() {
    for driver in DRIVERS {
        let daemon = script([scene(|peer| {
            peer.say(&json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "not yours",
                "data": {"code": "permission_denied", "retryable": false}}}));
        })]);
        let (_, error) = follow(driver, &daemon.path, 1);
        assert!(matches!(&error, Some(ClientError::Remote(error)) if error.message == "not yours"), "{driver:?} {error:?}");
        daemon.thread.join().expect("the script was played");
    }
}

#[test]
fn who_takes_nothing_holds_nothing_and_misses_nothing() {
    const CHANGES: u64 = 20_000;
    for driver in DRIVERS {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let daemon = script([scene(move |peer| {
            peer.subscribed();
            for seq in 1..=CHANGES {
                let line = format!("{}\n", change(seq));
                peer.write(line.as_bytes());
                count.fetch_add(line.len(), Ordering::SeqCst);
            }
            peer.until_it_leaves();
        })]);
        // The script comes to a stop when the sockets' own buffers are full.
        let stalled = || {
            let mut before = usize::MAX;
            while written.load(Ordering::SeqCst) != before {
                before = written.load(Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(100));
            }
            before
        };
        let mut expected = 1;
        let mut take = |update: Option<Update>| {
            match update {
                Some(Update::Change(change)) => {
                    assert_eq!(change.seq, expected);
                    expected += 1;
                }
                Some(Update::Connected(_)) => {}
                other => panic!("{driver:?} {other:?}"),
            }
            expected > CHANGES
        };
        match driver {
            Driver::Blocking => {
                let mut updates = Updates::new(&daemon.path, wanted());
                take(updates.next_update(None).expect("connected"));
                assert!(stalled() < 1024 * 1024, "{} bytes are held", stalled());
                while !take(updates.next_update(Some(PATIENCE)).expect("a change")) {}
            }
            Driver::Stream => runtime().block_on(async {
                let mut updates = asynchronous::Updates::new(&daemon.path, wanted());
                take(updates.next_update().await.transpose().expect("connected"));
                let held = stalled();
                assert!(held < 1024 * 1024, "{held} bytes are held");
                while !take(updates.next_update().await.transpose().expect("a change")) {}
            }),
        }
        daemon.thread.join().expect("the script was played");
    }
}

#[test]
fn giving_up_the_wait_for_an_update_loses_none() {
    const CHANGES: u64 = 500;
    let play = || {
        scene(|peer| {
            peer.subscribed();
            for seq in 1..=CHANGES {
                let line = format!("{}\n", change(seq));
                let (front, back) = line.as_bytes().split_at(line.len() / 2);
                peer.write(front);
                std::thread::yield_now();
                peer.write(back);
            }
            peer.until_it_leaves();
        })
    };
    let daemon = script([play()]);
    let (mut seen, mut none) = (0, 0);
    let mut updates = Updates::new(&daemon.path, wanted());
    while seen < CHANGES {
        match updates.next_update(Some(Duration::ZERO)).expect("no error") {
            Some(Update::Change(change)) => {
                seen += 1;
                assert_eq!(change.seq, seen);
            }
            Some(_) => {}
            None => none += 1,
        }
    }
    drop(updates);
    daemon.thread.join().expect("the script was played");
    println!("blocking: {none} waits in vain");

    let daemon = script([play()]);
    runtime().block_on(async {
        let (mut seen, mut dropped) = (0, 0);
        let mut updates = asynchronous::Updates::new(&daemon.path, wanted());
        while seen < CHANGES {
            tokio::select! {
                biased;
                update = updates.next_update() => if let Update::Change(change) = update.expect("an update").expect("no error") {
                    seen += 1;
                    assert_eq!(change.seq, seen);
                },
                () = tokio::task::yield_now() => dropped += 1,
            }
        }
        println!("stream: {dropped} futures dropped");
    });
    daemon.thread.join().expect("the script was played");
}

#[test]
fn a_wait_ends_with_its_patience() {
    let daemon = script([scene(|peer| {
        peer.subscribed();
        peer.until_it_leaves();
    })]);
    let mut updates = Updates::new(&daemon.path, wanted());
    assert!(matches!(updates.next_update(None), Ok(Some(Update::Connected(_)))));
    assert!(matches!(updates.next_update(Some(Duration::from_millis(20))), Ok(None)));
    drop(updates);
    daemon.thread.join().expect("the script was played");
    let mut nobody = Updates::new(Path::new("/nonexistent/s"), wanted());
    assert!(matches!(nobody.next_update(Some(PATIENCE)), Ok(Some(Update::Disconnected(ClientError::NotRunning { .. })))));
    assert!(matches!(nobody.next_update(Some(Duration::from_millis(1))), Ok(None)));
}

#[test]
fn a_daemon_that_falls_silent_is_asked_and_then_left() {
    // With the clock stopped, the runtime jumps to its next timer whenever nothing else can happen.
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
        let silent = async {
            let (stream, _) = listener.accept().await.expect("a client");
            let mut stream = tokio::io::BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.expect("hello");
            stream.read_line(&mut line).await.expect("subscribe");
            stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"log\":\"a\",\"seq\":0}}\n").await.expect("written");
            line.clear();
            stream.read_line(&mut line).await.expect("ping");
            assert!(line.contains("\"ping\""), "{line}");
            assert_eq!(stream.read_line(&mut line).await.expect("the end"), 0);
        };
        let began = tokio::time::Instant::now();
        let mut updates = asynchronous::Updates::new(&path, wanted());
        let follow = async {
            assert!(matches!(updates.next_update().await, Some(Ok(Update::Connected(_)))));
            let update = updates.next_update().await;
            assert!(
                matches!(&update, Some(Ok(Update::Disconnected(ClientError::Timeout { method, .. }))) if method == "ping"),
                "{update:?}"
            );
        };
        tokio::join!(silent, follow);
        assert_eq!(began.elapsed().as_secs(), 40);
    });
}
