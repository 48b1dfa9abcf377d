use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use zbus::zvariant::OwnedValue;

use crate::bus::{Bus, Served, wait_for};
use crate::event;
use crate::support::{Daemon, Reply, error};

/// What the service was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Post { id: u32, replaces: u32, summary: String, body: String },
    Close(u32),
}

/// The desktop's notification service.
struct Service {
    asked: Arc<Mutex<Vec<Asked>>>,
    last: u32,
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Service {
    fn get_capabilities(&self) -> Vec<String> {
        vec!["body".to_owned()]
    }

    fn get_server_information(&self) -> (String, String, String, String) {
        ("test".to_owned(), "aesync".to_owned(), "1".to_owned(), "1.2".to_owned())
    }

    #[allow(clippy::too_many_arguments, reason = "the specification's")]
    fn notify(
        &mut self,
        _app_name: String,
        replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        let id = if replaces == 0 { self.last + 1 } else { replaces };
        self.last = self.last.max(id);
        self.asked.lock().expect("no panic").push(Asked::Post { id, replaces, summary, body });
        id
    }

    fn close_notification(&self, id: u32) {
        self.asked.lock().expect("no panic").push(Asked::Close(id));
    }
}

fn serve(bus: &Bus) -> (Served, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::<Mutex<Vec<_>>>::default();
    let service = Service { asked: Arc::clone(&asked), last: 0 };
    let connection = bus
        .connect()
        .name("org.freedesktop.Notifications")
        .and_then(|builder| builder.serve_at("/org/freedesktop/Notifications", service))
        .and_then(zbus::blocking::connection::Builder::build)
        .expect("served");
    (connection, asked)
}

#[test]
fn conflicts_are_one_notification_that_a_restart_does_not_repeat_and_that_goes_when_they_are_settled() {
    let Some(bus) = Bus::start() else { return };
    let (_service, asked) = serve(&bus);
    let connections = AtomicUsize::new(0);
    let daemon = Daemon::new(move |method, _| {
        if method != "subscribe" {
            return error("unsupported", method, "fix the test");
        }
        let events = match connections.fetch_add(1, Ordering::Relaxed) {
            0 => vec![event("synced", &[]), event("pending", &[("conflicts", 1)])],
            // The daemon started anew: the same conflict, then more of them.
            1 => vec![event("pending", &[("conflicts", 1)]), event("pending", &[("conflicts", 50), ("auth_required", 1)])],
            _ => return Reply::Follow(json!({"log": "l", "seq": 7}), vec![event("pending", &[("auth_required", 1)])]),
        };
        Reply::Stream(json!({"log": "l", "seq": 7}), events)
    });
    let mut aectl = bus.aectl(&daemon.path, "notify");
    let post = |id, replaces, summary: &str, body: &str| Asked::Post {
        id,
        replaces,
        summary: summary.to_owned(),
        body: body.to_owned(),
    };
    let (overruled, sign_in) = ("The server overruled local changes", "Sign-in needed");
    let expected = [
        post(1, 0, overruled, "1 of &lt;conflicts&gt;: see aectl status"),
        post(1, 1, overruled, "50 of &lt;conflicts&gt;: see aectl status"),
        post(2, 0, sign_in, "1 of &lt;auth_required&gt;: see aectl status"),
        Asked::Close(1),
    ];
    wait_for("the last of what is to be told", || asked.lock().expect("no panic").contains(&Asked::Close(1)).then_some(()));
    assert_eq!(*asked.lock().expect("no panic"), expected);
    aectl.terminate();
    assert_eq!(aectl.code(), Some(0));
}

#[test]
fn without_a_notification_service_it_says_so_and_ends() {
    let Some(bus) = Bus::start() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let mut aectl = bus.aectl(&dir.path().join("s"), "notify");
    assert_eq!(aectl.code(), Some(1));
}
