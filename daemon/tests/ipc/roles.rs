//! Who may do what, tried by real other users. That needs root, who alone can become somebody else.

#![allow(clippy::print_stdout, reason = "what is skipped is said, and processes of a test speak to it so")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use aesyncd::ipc::{Access, AccessLists, BindOptions, Call, Limits, bind, serve};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use crate::support::*;

/// Where the other users' side finds the socket, and what it sends.
const SPEAK_TO: &str = "AESYNC_TEST_SPEAK_TO";
const SPEAK: &str = "AESYNC_TEST_SPEAK";
/// Set for the test that runs with a user database of its own.
const DATABASE: &str = "AESYNC_TEST_DATABASE";

/// The other users' side: the tests below run it in a process of theirs. By itself it has nothing to say.
#[test]
fn another_user_speaks() {
    let (Some(path), Ok(line)) = (std::env::var_os(SPEAK_TO), std::env::var(SPEAK)) else { return };
    let mut connection = match UnixStream::connect(path) {
        Ok(stream) => BufReader::new(stream),
        Err(error) => return println!("\nheard {:?}", error.kind()),
    };
    let mut answer = String::new();
    let heard = connection.get_mut().write_all(line.as_bytes()).and_then(|()| connection.read_line(&mut answer));
    println!("\nheard {}", heard.map_or_else(|error| format!("{:?}\n", error.kind()), |_| answer));
    // Stays until the daemon ends it.
    let _ = connection.read_to_end(&mut Vec::new());
    println!("ended");
}

/// Another user's connection, in a process of theirs.
struct Stranger {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Stranger {
    /// Becomes `user`, with a group of the same number and these further groups, and makes one call.
    fn call(path: &Path, user: u32, groups: &[u32], method: &str) -> Self {
        let params = if method == "hello" { json!({"client": {"name": "t", "version": "1"}, "protocol": 1}) } else { json!({}) };
        let line = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
        let groups = if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={}", groups.join(",")) };
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={user}"), groups]);
        command.arg(std::env::current_exe().unwrap()).args(["--exact", "roles::another_user_speaks", "--nocapture"]);
        command.env(SPEAK_TO, path).env(SPEAK, format!("{line}\n")).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("setpriv");
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// What it heard: the role from `hello`, or the error's code, or why it could not connect.
    fn heard(&mut self) -> String {
        let heard = self.until("heard ");
        let Ok(answer) = serde_json::from_str::<Value>(&heard) else { return heard };
        answer["result"]["role"].as_str().unwrap_or_else(|| code(&answer["error"])).to_owned()
    }

    /// Until the daemon has closed the connection.
    fn is_closed(&mut self) {
        self.until("ended");
    }

    fn until(&mut self, start: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "it ended without {start:?}");
            if let Some(rest) = line.strip_prefix(start) {
                return rest.trim_end().to_owned();
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

/// What another user hears.
async fn as_user(path: &Path, user: u32, groups: &[u32], method: &str) -> String {
    let (path, groups, method) = (path.to_owned(), groups.to_owned(), method.to_owned());
    let called = tokio::task::spawn_blocking(move || Stranger::call(&path, user, &groups, &method).heard());
    in_time("another user's call", called).await.unwrap()
}

/// A served socket that the kernel lets everybody open, so that the daemon's own rules are what decides.
struct OpenHouse {
    path: PathBuf,
    access: Access,
    _calls: mpsc::Receiver<Call>,
    _stop: watch::Sender<bool>,
}

async fn open_house(directory: &Path, access: AccessLists, limits: Limits) -> OpenHouse {
    let path = directory.join("s");
    let listener = bind(BindOptions { access, limits, ..BindOptions::new(&path) }).await.expect("bound");
    let access = listener.access();
    let daemon = FakeDaemon::new(1 << 16);
    let (calls, kept_calls) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, Arc::clone(&daemon) as Arc<_>, calls, daemon.fanout.clone(), stopped));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    OpenHouse { path, access, _calls: kept_calls, _stop: stop }
}

/// A directory that everybody may enter.
fn public_directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Whether this test can become other users; says why not.
fn is_able() -> bool {
    let able = nix::unistd::Uid::effective().is_root() && Command::new("setpriv").arg("--version").output().is_ok();
    if !able {
        left_out("becoming another user needs root and setpriv");
    }
    able
}

/// Says that a test can't be made here. With CI=true it must be.
fn left_out(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI=true: {why}");
    println!("left out: {why}");
}

#[tokio::test]
async fn other_users_have_the_roles_that_access_gives_them() {
    if !is_able() {
        return;
    }
    let directory = public_directory();
    let access = AccessLists {
        observers: names(&["6001", "@6100"]),
        operators: names(&["6002"]),
        admins: names(&["6003", "nobody by this name"]),
    };
    let house = open_house(directory.path(), access, Limits::default()).await;
    for (user, method, expected) in [
        (6001, "hello", "observer"),
        (6001, "shutdown", "permission_denied"),
        (6001, "pull", "permission_denied"),
        (6002, "hello", "operator"),
        (6002, "clients", "permission_denied"),
        (6002, "store.check", "permission_denied"),
        (6003, "hello", "admin"),
        (6100, "hello", "observer"),
        (6009, "hello", "permission_denied"),
        (0, "hello", "admin"),
    ] {
        assert_eq!(as_user(&house.path, user, &[], method).await, expected, "{user} {method}");
    }
    std::fs::set_permissions(&house.path, std::fs::Permissions::from_mode(0o660)).unwrap();
    assert_eq!(as_user(&house.path, 6003, &[], "hello").await, "PermissionDenied", "the kernel keeps others out");
}

#[tokio::test]
async fn one_users_connections_too_many_leave_the_others_alone() {
    if !is_able() {
        return;
    }
    let directory = public_directory();
    let access = AccessLists { admins: names(&["6003", "6004"]), ..AccessLists::default() };
    let house = open_house(directory.path(), access, Limits { connections_per_user: 1, ..Limits::default() }).await;
    let path = house.path.clone();
    let blocking = tokio::task::spawn_blocking(move || {
        let mut first = Stranger::call(&path, 6003, &[], "hello");
        assert_eq!(first.heard(), "admin");
        let mut second = Stranger::call(&path, 6003, &[], "hello");
        assert_eq!(second.heard(), "busy");
        second.is_closed();
        assert_eq!(Stranger::call(&path, 6004, &[], "hello").heard(), "admin");
        // Neither root nor the daemon's own user is bounded, so that somebody can always look what is the matter.
        let mut looks = [Stranger::call(&path, 0, &[], "hello"), Stranger::call(&path, 0, &[], "hello")];
        assert_eq!(looks.each_mut().map(Stranger::heard), ["admin", "admin"]);
    });
    in_time("the calls", blocking).await.unwrap();
}

#[tokio::test]
async fn another_access_table_is_in_force_at_once_and_closes_the_connections_whose_role_it_changes() {
    if !is_able() {
        return;
    }
    let directory = public_directory();
    let access = AccessLists { operators: names(&["6001", "6002"]), ..AccessLists::default() };
    let house = open_house(directory.path(), access, Limits::default()).await;
    let mut own = Client::new(tokio::net::UnixStream::connect(&house.path).await.unwrap());
    own.call("ping", json!({})).await;
    let path = house.path.clone();
    let connect = move || {
        let mut connected = [6001, 6002].map(|user| Stranger::call(&path, user, &[], "hello"));
        assert_eq!(connected.each_mut().map(Stranger::heard), ["operator", "operator"]);
        connected
    };
    let [mut lowered, kept] = in_time("two users", tokio::task::spawn_blocking(connect)).await.unwrap();
    house.access.set(AccessLists { operators: names(&["6002"]), observers: names(&["6001", "6005"]), ..AccessLists::default() });
    assert_eq!(as_user(&house.path, 6005, &[], "hello").await, "observer", "whoever connects afterwards");
    assert_eq!(as_user(&house.path, 6001, &[], "hello").await, "observer");
    in_time("the end of the other role", tokio::task::spawn_blocking(move || lowered.is_closed())).await.unwrap();
    let clients = own.call("clients", json!({})).await["clients"].clone();
    let users: Vec<&Value> = clients.as_array().unwrap().iter().map(|client| &client["uid"]).collect();
    assert!(users.contains(&&json!(6002)), "who keeps the role keeps the connection: {clients}");
    drop(kept);
}

/// Supplementary groups come from the system's user database, so that a user who is added to a group need not sign in anew. Here it is
/// one of the test's own, in a mount namespace of its own.
#[test]
fn names_and_supplementary_groups_are_those_of_the_systems_user_database() {
    if std::env::var_os(DATABASE).is_some() {
        return with_a_database_of_its_own();
    }
    if !is_able() {
        return;
    }
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        return left_out("a user database of its own needs unshare and the right to mount");
    }
    let directory = TempDir::new().unwrap();
    let (passwd, group) = (directory.path().join("passwd"), directory.path().join("group"));
    let users = [("ada", 7001), ("bob", 7002), ("carol", 7003), ("dan", 7004), ("eve", 7005)];
    let lines = users.map(|(name, id)| format!("{name}:x:{id}:{id}::/:/bin/false\n")).concat();
    std::fs::write(&passwd, format!("root:x:0:0::/root:/bin/sh\n{lines}")).unwrap();
    std::fs::write(&group, "root:x:0:\ncrew:x:7100:bob,dan\nlookers:x:7101:dan,eve\napps:x:7200:carol,eve\n").unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-ec",
        "mount --bind \"$1\" /etc/passwd; mount --bind \"$2\" /etc/group; shift 2; exec \"$@\"",
        "sh",
    ]);
    command.args([&passwd, &group]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "roles::names_and_supplementary_groups_are_those_of_the_systems_user_database", "--nocapture"]);
    let output = command.env(DATABASE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_database_of_its_own() {
    let directory = public_directory();
    // A socket takes the group of such a directory; so its members are operators.
    nix::unistd::chown(directory.path(), None, Some(nix::unistd::Gid::from_raw(7200))).unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o2755)).unwrap();
    let access = AccessLists { observers: names(&["@lookers"]), operators: names(&["@crew"]), admins: names(&["ada"]) };
    let house = open_house(directory.path(), access, Limits::default()).await;
    for (user, groups, expected, why) in [
        (7001, vec![], "admin", "ada by name"),
        (7002, vec![], "operator", "bob by a group that only the database tells of"),
        (7003, vec![7200], "operator", "carol by the socket's group"),
        (7004, vec![], "operator", "dan by the higher of two groups"),
        (7005, vec![7200], "observer", "eve, whom [access] names, although she is in the socket's group"),
        (7006, vec![], "permission_denied", "a number without a name"),
    ] {
        assert_eq!(as_user(&house.path, user, &groups, "hello").await, expected, "{why}");
    }
    // As it is without this test's opening it to all: the kernel lets the socket's group in.
    std::fs::set_permissions(&house.path, std::fs::Permissions::from_mode(0o660)).unwrap();
    assert_eq!(as_user(&house.path, 7003, &[7200], "hello").await, "operator");
    assert_eq!(as_user(&house.path, 7001, &[], "hello").await, "PermissionDenied");
}
