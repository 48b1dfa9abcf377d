//! An application that pushes, and asks again with the same request id for as long as it has no answer.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use adminengine_dev::World;
use aesync_protocol::entity::Changes;
use aesync_protocol::request::{Push, PushWait, RecordsGet};
use aesync_protocol::response::{EntryState, PushedEntry};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::stage::{Called, Stage, call};

/// How long an application waits for the server, in milliseconds: longer than most daemons here live.
const WAIT_MS: u64 = 1_500;

/// What was acknowledged: a row that must be on the server once, and what it must hold.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) created: Value,
    /// A later `title`, acknowledged too: on the server, or a conflict that is reported.
    pub(crate) retitled: Option<String>,
}

/// The acknowledged rows by type and id.
pub(crate) type Promises = Mutex<BTreeMap<(String, String), Promise>>;

pub(crate) struct App<'a> {
    pub(crate) name: &'static str,
    pub(crate) wait: PushWait,
    pub(crate) stage: &'a Stage,
    pub(crate) world: &'a World,
    pub(crate) tenant: &'a str,
    pub(crate) promises: &'a Promises,
}

impl App<'_> {
    /// Pushes until the play is over.
    pub(crate) fn play(&self, mut dice: Dice) {
        let mut count = 0_u64;
        let mut last: Option<String> = None;
        while self.stage.next_turn() {
            count += 1;
            let retitled = last.take().filter(|_| dice.once_in(3));
            let changes = match &retitled {
                Some(id) => edit(id, &format!("{} {count}, edited", self.name)),
                None => self.creations(count, &mut dice),
            };
            let entries = match self.push(&changes, count) {
                Ok(Some(entries)) => entries,
                Ok(None) => return,
                Err(wrong) => return self.stage.report(wrong),
            };
            if let Err(wrong) = self.note(&changes, &entries) {
                return self.stage.report(format!("{} {count}: {wrong}", self.name));
            }
            last = entries.iter().find(|entry| entry.entity_type == "interactions").map(|entry| entry.id.clone());
            if self.wait == PushWait::Queued {
                // Its pace; those that wait for the server have theirs from it.
                thread::sleep(dice.moment(25));
            }
        }
    }

    /// A user and some of its interactions, or interactions alone; some have ids, some leave that to the daemon.
    fn creations(&self, count: u64, dice: &mut Dice) -> Changes {
        let user = dice.uuid();
        let with_user = !dice.once_in(3);
        let interactions = (0..=dice.below(3)).map(|number| {
            let mut row = json!({"type": "call", "title": format!("{} {count} {number}", self.name), "description": "d",
                "date": "2026-01-01T10:00:00.000Z"});
            if with_user {
                row["clientUser"] = json!({ "id": user });
            }
            if dice.once_in(2) {
                row["id"] = dice.uuid().into();
            }
            row
        });
        let interactions = ("interactions".to_owned(), interactions.collect());
        if !with_user {
            return Changes(vec![interactions]);
        }
        let email = format!("{}-{count}@local.example", self.name);
        let user = json!({"id": user, "email": email, "name": format!("{count}"), "password": "hush"});
        Changes(vec![("end_user".to_owned(), vec![user]), interactions])
    }

    /// Asks until there is an answer; `None` when the play is over before.
    fn push(&self, changes: &Changes, count: u64) -> Result<Option<Vec<PushedEntry>>, String> {
        let request_id = format!("{}-{count}", self.name);
        let params = Push {
            changes: changes.clone(),
            request_id: Some(request_id),
            wait: Some(self.wait),
            timeout_ms: (self.wait != PushWait::Queued).then_some(WAIT_MS),
        };
        loop {
            let Some(mut client) = self.stage.connect() else { return Ok(None) };
            match call(&mut client, &params) {
                Called::Answered(pushed) => {
                    self.read_back(&mut client, &pushed.entries)?;
                    return Ok(Some(pushed.entries));
                }
                Called::Lost => {}
                Called::Wrong(wrong) => return Err(format!("{} {count}: {wrong}", self.name)),
            }
        }
    }

    /// What was answered can be read at once.
    fn read_back(&self, client: &mut aesync_protocol::client::Client, entries: &[PushedEntry]) -> Result<(), String> {
        for entry in entries {
            let params = RecordsGet { entity_type: entry.entity_type.clone(), id: entry.id.clone() };
            match call(client, &params) {
                Called::Answered(_) => {}
                Called::Lost => return Ok(()),
                Called::Wrong(wrong) => return Err(format!("{} can't be read after {entry:?}: {wrong}", self.name)),
            }
        }
        Ok(())
    }

    /// Keeps what the answer promises, and looks for the part of it that must be so already.
    fn note(&self, changes: &Changes, entries: &[PushedEntry]) -> Result<(), String> {
        let sent = changes.0.iter().flat_map(|(_, entities)| entities);
        if changes.count() != entries.len() {
            return Err(format!("{} changes, {} entries", changes.count(), entries.len()));
        }
        let mut promises = self.promises.lock().expect("the promises");
        for (sent, entry) in sent.zip(entries) {
            if sent["id"].as_str().is_some_and(|id| id != entry.id) {
                return Err(format!("{sent} was answered with the id {}", entry.id));
            }
            let on_server = matches!(entry.state, EntryState::Acked | EntryState::Confirmed | EntryState::Conflict);
            if on_server && self.world.row(self.tenant, &entry.entity_type, &entry.id).is_none() {
                return Err(format!("{entry:?}, and the server does not have it"));
            }
            let place = (entry.entity_type.clone(), entry.id.clone());
            if let Some(known) = promises.get_mut(&place) {
                known.retitled = sent["title"].as_str().map(str::to_owned);
            } else {
                promises.insert(place, Promise { created: sent.clone(), retitled: None });
            }
        }
        Ok(())
    }
}

/// An edit as an application makes it that has the whole row.
fn edit(id: &str, title: &str) -> Changes {
    let row = json!({"id": id, "type": "call", "title": title, "description": "d", "date": "2026-01-01T10:00:00.000Z"});
    Changes(vec![("interactions".to_owned(), vec![row])])
}
