//! Who may call what: every method by each role, asked by users who have it. To become another user takes root.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use aesync_protocol::ErrorCode;
use aesync_protocol::request::METHODS;
use aesync_protocol::response::Role;
use serde_json::{Value, json};

use crate::house::{OwnHouse, left_out, own};
use crate::wire::error_of;

/// Where the other users' side connects.
const SPEAK_TO: &str = "AESYNC_CONFORMANCE_SPEAK_TO";

/// Users of no name, and what the configuration makes of them.
const USERS: [(u32, Role); 3] = [(6001, Role::Observer), (6002, Role::Operator), (6003, Role::Admin)];

/// The other users' side: the test below runs it in processes of theirs. By itself it has nobody to speak to.
#[test]
fn another_user_speaks() {
    let Some(path) = std::env::var_os(SPEAK_TO) else { return };
    let mut connection = BufReader::new(UnixStream::connect(path).expect("let in by the kernel"));
    println!();
    for line in std::io::stdin().lines() {
        writeln!(connection.get_mut(), "{}", line.expect("a line")).expect("written");
        let mut answer = String::new();
        // A subscription's events are not what this is about.
        while answer.is_empty() || answer.contains("\"method\":\"event\"") {
            answer.clear();
            assert!(connection.read_line(&mut answer).expect("an answer") > 0, "the daemon closed the connection");
        }
        println!("heard {}", answer.trim_end());
    }
}

/// Another user's connection, in a process of theirs.
struct Stranger {
    child: Child,
    says: ChildStdin,
    heard: BufReader<ChildStdout>,
}

impl Stranger {
    fn connect(path: &Path, user: u32) -> Self {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
        command.arg(std::env::current_exe().expect("this test's program"));
        command.args(["--exact", "roles::another_user_speaks", "--nocapture"]).env(SPEAK_TO, path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("setpriv");
        let (says, heard) = (child.stdin.take().expect("stdin"), BufReader::new(child.stdout.take().expect("stdout")));
        Self { child, says, heard }
    }

    /// The line that answers.
    fn call(&mut self, method: &str, params: &Value) -> String {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        writeln!(self.says, "{request}").expect("said");
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.heard.read_line(&mut line).expect("readable") > 0, "{method}: the process ended");
            if let Some(answer) = line.strip_prefix("heard ") {
                assert!(answer.trim_end().ends_with('}'), "{method}: no answer: {answer}");
                return answer.trim_end().to_owned();
            }
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The least role that may call it.
fn least(method: &str) -> Role {
    match method {
        "hello" | "ping" | "status" | "wait" | "subscribe" | "unsubscribe" | "metrics" | "rpc.discover" => Role::Observer,
        "auth.login" | "auth.setToken" | "auth.logout" | "pause" | "resume" | "config.get" | "config.reload" | "clients"
        | "store.check" | "shutdown" => Role::Admin,
        _ => Role::Operator,
    }
}

/// Params with which a call comes to its end at once, whatever that is.
fn params(method: &str) -> Value {
    match method {
        "hello" => json!({"client": {"name": "suite", "version": "1"}, "protocol": 1}),
        "wait" => json!({"for": "online", "timeoutMs": 0}),
        "subscribe" => json!({"channels": ["notification", "progress"], "entityTypes": ["none"]}),
        "push" => json!({"changes": {}}),
        "records.get" => json!({"entityType": "end_user", "id": "00000000-0000-4000-8000-000000000000"}),
        "records.list" => json!({"entityType": "end_user"}),
        "changes" => json!({"since": 0}),
        "outbox.retry" | "outbox.discard" => json!({"all": true}),
        "outbox.edit" => json!({"entry": 999, "data": {}}),
        "conflicts.resolve" => json!({"entry": 999, "keep": "server"}),
        "auth.login" => json!({"email": "ada@example.com", "password": "wrong"}),
        "auth.setToken" => json!({"token": "none"}),
        _ => json!({}),
    }
}

/// Whether this process can become others; says why not.
fn is_able() -> bool {
    let able = nix::unistd::Uid::effective().is_root() && Command::new("setpriv").arg("--version").output().is_ok();
    if !able {
        left_out("becoming another user needs root and setpriv");
    }
    able
}

/// A daemon whose socket the kernel lets everybody open, so that its own rules are what decides.
fn open_house() -> Option<OwnHouse> {
    let house =
        own(&[("AESYNC_ACCESS__OBSERVERS", "6001"), ("AESYNC_ACCESS__OPERATORS", "6002"), ("AESYNC_ACCESS__ADMINS", "6003")])?;
    std::fs::set_permissions(house.dir.path(), std::fs::Permissions::from_mode(0o755)).expect("opened to all");
    std::fs::set_permissions(house.socket(), std::fs::Permissions::from_mode(0o666)).expect("opened to all");
    Some(house)
}

#[test]
fn each_role_may_call_its_methods_and_no_others() {
    if !is_able() {
        return;
    }
    let Some(mut house) = open_house() else { return };
    house.connect_synced();
    for (user, role) in USERS {
        let mut stranger = Stranger::connect(&house.socket(), user);
        let hello: Value = serde_json::from_str(&stranger.call("hello", &params("hello"))).expect("JSON");
        assert_eq!(hello["result"]["role"], role.as_str());
        // What ends it comes last.
        let methods = METHODS.iter().filter(|method| **method != "shutdown").chain(["shutdown"].iter());
        for method in methods {
            let line = stranger.call(method, &params(method));
            let refusal = error_of(&line).filter(|error| error.is(ErrorCode::PermissionDenied));
            assert_eq!(refusal.is_none(), role >= least(method), "{} {method}: {line}", role.as_str());
            if let Some(refusal) = refusal {
                let more = &refusal.data.as_ref().expect("particulars").more;
                assert_eq!(more["required"], least(method).as_str(), "{method}: {refusal:?}");
            }
        }
    }
    house.wait_for_the_end();
}

#[test]
fn an_observer_may_follow_what_is_no_record_and_a_user_without_a_role_nothing() {
    if !is_able() {
        return;
    }
    let Some(house) = open_house() else { return };
    let mut observer = Stranger::connect(&house.socket(), 6001);
    for (channel, is_allowed) in [("notification", true), ("progress", true), ("change", false), ("outbox", false)] {
        let line = observer.call("subscribe", &json!({"channels": [channel]}));
        let refusal = error_of(&line).filter(|error| error.is(ErrorCode::PermissionDenied));
        assert_eq!(refusal.is_none(), is_allowed, "{channel}: {line}");
    }
    let line = Stranger::connect(&house.socket(), 6009).call("ping", &json!({}));
    assert!(error_of(&line).is_some_and(|error| error.is(ErrorCode::PermissionDenied)), "{line}");
    std::fs::set_permissions(house.socket(), std::fs::Permissions::from_mode(0o660)).expect("as it was");
}
