//! What one client costs the daemon and the others at most.

#![allow(clippy::print_stdout, reason = "a process of a test speaks to it so")]

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use aesyncd::ipc::Limits;
use serde_json::{Value, json};

use crate::support::*;

/// A house whose clients must say what they want at once.
async fn impatient_house() -> House {
    let limits = Limits { request: Duration::from_millis(50), ..Limits::default() };
    House::build(Plan { limits, ..Plan::default() }).await
}

#[tokio::test]
async fn who_connects_and_asks_nothing_is_told_so_and_closed() {
    let house = impatient_house().await;
    let (mut silent, mut blank) = (house.connect().await, house.connect().await);
    blank.send("\n\n").await;
    for client in [&mut silent, &mut blank] {
        let answer = client.json().await;
        assert_eq!((&answer["id"], code(&answer["error"])), (&Value::Null, "timeout"));
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_line_that_is_begun_must_be_ended_and_others_may_rest_for_as_long_as_they_like() {
    let house = impatient_house().await;
    let mut rests = house.connect().await;
    rests.call("ping", json!({})).await;
    let mut half = house.connect().await;
    half.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n{\"jsonrpc\":").await;
    assert!(half.json().await.get("result").is_some());
    let answer = half.json().await;
    assert!(
        code(&answer["error"]) == "timeout" && answer["error"]["message"].as_str().unwrap().contains("rest of a line"),
        "{answer}"
    );
    half.expect_end().await;
    // By now the other has rested for longer than anybody may take for a line.
    rests.send("\n").await;
    rests.call("ping", json!({})).await;
}

#[tokio::test]
async fn while_the_daemon_reads_no_further_it_is_not_the_client_that_owes_a_line() {
    let limits = Limits { request: Duration::from_millis(50), in_flight: 1, ..Limits::default() };
    let mut house = House::build(Plan { limits, ..Plan::default() }).await;
    let mut client = house.connect().await;
    client.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sync\"}\n{\"jsonrpc\":\"2.0\",\"id\":2,").await;
    let call = house.next_call().await;
    // Longer than a client may take: what is awaited here is time itself.
    tokio::time::sleep(Duration::from_millis(150)).await;
    call.reply.send(Ok(b"{}".to_vec())).unwrap();
    client.send("\"method\":\"ping\"}\n").await;
    assert_eq!((client.json().await["id"].clone(), client.json().await["id"].clone()), (json!(1), json!(2)));
}

#[tokio::test]
async fn neither_a_batch_nor_a_crowd_of_lines_keeps_the_others_from_their_turn() {
    const CALLS: usize = 1000;
    let house = House::open().await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "records.get", "params": {"entityType": "a", "id": "x"}});
    let lines = format!("{call}\n").repeat(CALLS);
    for request in [format!("[{}]\n", vec![call.to_string(); CALLS].join(",")), lines] {
        let (mut greedy, mut modest) = (house.connect().await, house.connect().await);
        for client in [&mut greedy, &mut modest] {
            client.call("ping", json!({})).await;
        }
        *house.daemon.records_read.lock().unwrap() = 0;
        // Both are there before the daemon, on the same thread, sees one of them.
        assert_eq!(greedy.stream.get_mut().try_write(request.as_bytes()).unwrap(), request.len());
        modest.stream.get_mut().try_write(b"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n").unwrap();
        assert_eq!(modest.json().await["id"], 2);
        let read = *house.daemon.records_read.lock().unwrap();
        assert!(read < CALLS as u64 / 2, "{read} calls of another were carried out before");
        wait_until("all calls", || *house.daemon.records_read.lock().unwrap() == CALLS as u64).await;
    }
}

#[tokio::test]
async fn a_stop_amid_a_batch_answers_all_of_it() {
    let house = House::open().await;
    let mut client = house.connect().await;
    let stop = house.stop.clone();
    *house.daemon.on_record.lock().unwrap() = Some(Box::new(move |read| {
        if read == 10 {
            stop.send_replace(true);
        }
    }));
    let params = json!({"entityType": "a", "id": "x"});
    let call = |id| json!({"jsonrpc": "2.0", "id": id, "method": "records.get", "params": params});
    client.send(format!("{}\n", (0..1000).map(call).collect::<Value>())).await;
    assert_eq!(client.json().await.as_array().map(Vec::len), Some(1000));
    client.expect_end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stalled_subscriber_among_a_thousand_costs_the_others_no_event_and_the_daemon_no_memory() {
    const OTHERS: usize = 1000;
    const RING: usize = 256 * 1024;
    const BATCH: u64 = 20;
    let large = |seq| {
        let mut change = change(seq, "a", "x");
        change.record.as_mut().unwrap().insert("text".to_owned(), "x".repeat(4000).into());
        change
    };
    let limits = Limits { connections: 2 * OTHERS, connections_per_user: 2 * OTHERS, ..Limits::default() };
    let house = House::build(Plan { ring: RING, limits, ..Plan::default() }).await;
    let mut stalled = house.connect().await;
    stalled.call("subscribe", json!({"channels": ["change"]})).await;
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        let mut client = house.connect().await;
        client.call("subscribe", json!({"channels": ["change"]})).await;
        others.push(client);
    }
    let mut last = 0;
    for _ in 0..10 {
        let batch: Vec<_> = (last + 1..=last + BATCH).map(large).collect();
        last += BATCH;
        house.daemon.commit(&batch);
        // Each of the others has the whole batch before the next one comes, while the stalled one has taken nothing since the start.
        for client in &mut others {
            for seq in last - BATCH + 1..=last {
                assert_eq!(client.event().await["change"]["seq"], seq);
            }
        }
        assert!(house.daemon.fanout.used() <= RING);
    }
    let mut admin = house.connect().await;
    let clients = admin.call("clients", json!({})).await["clients"].clone();
    assert!(
        clients[0].get("stalledSince").is_some() && clients[0]["subscription"]["behind"].as_u64() > Some(0),
        "{}",
        clients[0]
    );
    assert!(clients.as_array().unwrap()[1..=OTHERS].iter().all(|client| client["subscription"]["behind"] == 0));
    assert_eq!(*house.daemon.pages.lock().unwrap(), 0, "nobody but the stalled one would have needed the durable feed");
    for seq in 1..=last {
        assert_eq!(stalled.event().await["change"]["seq"], seq, "it gets everything, once it reads");
    }
}

/// Where the clients' side of the test below connects, and how often.
const CONNECT_TO: &str = "AESYNC_TEST_CONNECT_TO";
const HOW_OFTEN: &str = "AESYNC_TEST_HOW_OFTEN";
/// Set for the process that the test below measures.
const MEASURED: &str = "AESYNC_TEST_MEASURED";
/// So many where the process may open as many files, else as many as it may.
const CONNECTIONS: usize = 10_000;
/// Fewer would not tell what one costs.
const FEWEST: usize = 500;

/// The clients' side: the test below runs it in a process of its own. By itself it has nothing to connect to.
#[test]
fn many_subscribers_connect() {
    let (Some(path), Ok(count)) = (std::env::var_os(CONNECT_TO), std::env::var(HOW_OFTEN)) else { return };
    raised_limit();
    let count: usize = count.parse().unwrap();
    let mut held = Vec::with_capacity(count);
    let request =
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscribe\",\"params\":{\"channels\":[\"notification\",\"change\"]}}\n";
    for _ in 0..count {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.write_all(request).unwrap();
        assert!(stream.read(&mut [0; 256]).unwrap() > 0);
        held.push(stream);
    }
    // Until the other process has measured.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// How many files this process may open, after the number was raised as far as it may be.
fn raised_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = CONNECTIONS as u64 + 1000;
    // Root may raise the hard limit too.
    if hard < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return wanted;
    }
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

/// Memory is the process's own: it is measured in one where nothing else runs.
#[test]
fn ten_thousand_idle_subscribers_cost_at_most_four_kilobytes_each() {
    if std::env::var_os(MEASURED).is_some() {
        return measure_idle_subscribers();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "limits::ten_thousand_idle_subscribers_cost_at_most_four_kilobytes_each", "--nocapture"]);
    let output = command.env(MEASURED, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("B for each of"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn measure_idle_subscribers() {
    let connections = CONNECTIONS.min(usize::try_from(raised_limit()).unwrap() - 200);
    assert!(connections >= FEWEST, "only {connections} connections: raise `ulimit -Hn`");
    let limits = Limits { connections: 2 * CONNECTIONS, connections_per_user: 2 * CONNECTIONS, ..Limits::default() };
    let house = House::build(Plan { limits, ring: 16 * 1024 * 1024, ..Plan::default() }).await;
    // What is there once, for all connections, is not theirs.
    let mut first = house.connect().await;
    first.call("subscribe", json!({"channels": ["notification", "change"]})).await;
    let before = resident();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "limits::many_subscribers_connect"])
        .env(CONNECT_TO, &house.path)
        .env(HOW_OFTEN, connections.to_string());
    let mut clients = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    house.wait_for_subscribers(connections + 1).await;
    let each = (resident() - before) / connections as u64;
    drop(clients.stdin.take());
    assert!(clients.wait().unwrap().success());
    println!("{each} B for each of {connections} idle subscribers");
    assert!(each <= 4096, "{each} B each");
}

/// This process's resident memory in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}
