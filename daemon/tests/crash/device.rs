//! Another device of the tenant: it writes on the server while the daemon lives, dies and starts.

use std::thread;

use adminengine_dev::World;
use serde_json::json;

use crate::dice::Dice;
use crate::stage::Stage;

/// Inserts rows and changes its own until the play is over.
pub(crate) fn play(stage: &Stage, world: &World, tenant: &str, mut dice: Dice) {
    let mut own: Vec<String> = Vec::new();
    let mut count = 0_u64;
    while stage.next_turn() {
        count += 1;
        let loud = world.device(tenant);
        // Some of what it does is never notified: only a pull that something else causes finds it.
        let device = if dice.once_in(4) { loud.quietly() } else { loud };
        // The more it has, the rarer it adds to it.
        let chosen = usize::try_from(dice.below(200)).expect("small");
        let done = match own.get(chosen) {
            Some(id) => device.update("end_user", id, &json!({ "name": format!("edit {count}") })).map(|_| None),
            None => device.insert("end_user", &json!({ "email": format!("{count}@remote.example"), "name": "new" })).map(Some),
        };
        match done {
            Ok(inserted) => own.extend(inserted.and_then(|row| row["id"].as_str().map(str::to_owned))),
            Err(failure) => return stage.report(format!("the other device: {}", failure.message())),
        }
        thread::sleep(dice.moment(60));
    }
}
