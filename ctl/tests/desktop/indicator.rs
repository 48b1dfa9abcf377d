use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use zbus::blocking::Proxy;
use zbus::zvariant::{OwnedValue, Value};

use crate::bus::{Bus, Served, wait_for};
use crate::event;
use crate::support::{Daemon, Reply, error};

/// The panel's side: it learns of icons.
struct Watcher(Arc<Mutex<Vec<String>>>);

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&self, service: String) {
        self.0.lock().expect("no panic").push(service);
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }
}

fn watch(bus: &Bus) -> (Served, Arc<Mutex<Vec<String>>>) {
    let items = Arc::<Mutex<Vec<_>>>::default();
    let connection = bus
        .connect()
        .name("org.kde.StatusNotifierWatcher")
        .and_then(|builder| builder.serve_at("/StatusNotifierWatcher", Watcher(Arc::clone(&items))))
        .and_then(zbus::blocking::connection::Builder::build)
        .expect("served");
    (connection, items)
}

/// The icon, as a panel sees it.
struct Item<'a> {
    item: Proxy<'a>,
    menu: Proxy<'a>,
}

/// A layout of the menu: the item's number, its properties, its children.
type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

impl Item<'_> {
    fn title(&self) -> String {
        self.item.get_property("Title").expect("a title")
    }

    fn status(&self) -> String {
        self.item.get_property("Status").expect("a status")
    }

    /// Colour of the pixel in the middle of the first icon: red, green, blue.
    fn colour(&self) -> [u8; 3] {
        let icons: Vec<(i32, i32, Vec<u8>)> = self.item.get_property("IconPixmap").expect("icons");
        let (width, height, bytes) = &icons[0];
        let middle = usize::try_from((height / 2 * width + width / 2) * 4).expect("small");
        [bytes[middle + 1], bytes[middle + 2], bytes[middle + 3]]
    }

    /// Number, label and whether it can be clicked, of each line.
    fn lines(&self) -> Vec<(i32, String, bool)> {
        let (_, layout): (u32, Layout) = self.menu.call("GetLayout", &(0, -1, Vec::<&str>::new())).expect("a menu");
        let line = |child: OwnedValue| {
            let (number, properties, _) = Layout::try_from(child).expect("a line");
            let text = |name: &str| properties.get(name).and_then(|value| String::try_from(value.clone()).ok());
            let enabled = properties.get("enabled").and_then(|value| bool::try_from(value.clone()).ok()).unwrap_or(true);
            (number, text("label").unwrap_or_else(|| "-".to_owned()), enabled)
        };
        layout.2.into_iter().map(line).collect()
    }

    fn click(&self, label: &str) {
        let lines = self.lines();
        let (number, ..) = lines.iter().find(|(_, found, _)| found == label).unwrap_or_else(|| panic!("{label}: {lines:?}"));
        // To the click that ends it there is no answer.
        self.menu.call_noreply("Event", &(*number, "clicked", Value::from(0), 0_u32)).expect("clicked");
    }
}

#[test]
fn the_icon_follows_the_daemon_and_its_menu_asks_it() {
    let Some(bus) = Bus::start() else { return };
    let connections = AtomicUsize::new(0);
    let daemon = Daemon::new(move |method, _| match method {
        "subscribe" if connections.fetch_add(1, Ordering::Relaxed) == 0 => {
            Reply::Stream(json!({"log": "l", "seq": 7}), vec![event("synced", &[])])
        }
        "subscribe" => Reply::Follow(json!({"log": "l", "seq": 7}), vec![event("pending", &[("conflicts", 2)])]),
        "sync" => Reply::Result(json!({"pushed": 0, "types": {}, "seq": 7})),
        "pause" => Reply::Result(json!({})),
        _ => error("unsupported", method, "fix the test"),
    });
    // It is started before the panel is, and waits for it.
    let mut aectl = bus.aectl(&daemon.path, "indicator");
    let (watcher, items) = watch(&bus);
    let service = wait_for("the icon", || items.lock().expect("no panic").first().cloned());
    let proxy = |path: &'static str, interface: &'static str| -> Proxy<'_> {
        let builder = zbus::blocking::proxy::Builder::new(&watcher).destination(service.clone());
        let builder = builder.and_then(|builder| builder.path(path)).and_then(|builder| builder.interface(interface));
        // An icon tells of changes by signals of its own.
        builder.expect("names").cache_properties(zbus::proxy::CacheProperties::No).build().expect("a proxy")
    };
    let item = Item {
        item: proxy("/StatusNotifierItem", "org.kde.StatusNotifierItem"),
        menu: proxy("/MenuBar", "com.canonical.dbusmenu"),
    };

    wait_for("the state", || item.title().starts_with("▲ Pending").then_some(()));
    assert_eq!(item.status(), "NeedsAttention");
    assert_eq!(item.colour(), [0xFF, 0x98, 0x00]);
    let lines = item.lines();
    let labels: Vec<&str> = lines.iter().map(|(_, label, _)| label.as_str()).collect();
    assert!(labels[0].starts_with("▲ Pending") && labels[1].starts_with("2 of <conflicts>"), "{labels:?}");
    assert_eq!(labels[2..], ["-", "Sync now", "Pause", "-", "Quit"]);
    assert!(!lines[0].2 && !lines[1].2, "what only says something can't be clicked");

    let asked = |method: &str| daemon.requests().into_iter().any(|(asked, _)| asked == method).then_some(());
    item.click("Sync now");
    wait_for("the sync", || asked("sync"));
    item.click("Pause");
    wait_for("the pause", || asked("pause"));
    item.click("Quit");
    assert_eq!(aectl.code(), Some(0));
}

#[test]
fn it_ends_with_the_session() {
    let Some(mut bus) = Bus::start() else { return };
    let (_watcher, items) = watch(&bus);
    let dir = tempfile::tempdir().expect("a directory");
    let mut aectl = bus.aectl(&dir.path().join("s"), "indicator");
    wait_for("the icon", || items.lock().expect("no panic").first().cloned());
    bus.end();
    assert_eq!(aectl.code(), Some(1));
}
