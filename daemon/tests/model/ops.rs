//! What can happen, and how it is drawn.

use proptest::prelude::*;
use serde_json::json;

use super::server::{FAULTS, Fault};
use super::sim::{Sim, user};

/// What can happen.
#[derive(Clone, Debug)]
pub enum Op {
    /// An application creates, edits or deletes one of a few entities.
    Create(u8),
    Edit(u8, u32),
    Delete(u8),
    /// An application creates an entity without an id, of some hundred bytes.
    CreateNew(u16),
    /// An application records an interaction, possibly of a user that does not exist yet.
    Interact(u8, u8),
    /// An application pushes what the server refuses for good.
    Poison(u8),
    /// Another device writes, stamps into the future, or erases.
    Remote(u8, u32),
    Future(u8),
    Erase(u8),
    /// Something breaks for some seconds, or for long.
    Fault(Fault, u16),
    LongFault(Fault),
    /// Notifications pour in.
    Storm(u8),
    /// The daemon is killed and started.
    Crash,
    Sync,
    Switch,
    SignIn,
    /// Milliseconds pass.
    Wait(u16),
    LongWait,
}

pub fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..12_u8).prop_map(Op::Create),
        3 => (0..12_u8, any::<u32>()).prop_map(|(n, name)| Op::Edit(n, name)),
        2 => (0..12_u8).prop_map(Op::Delete),
        3 => (0..1_500_u16).prop_map(Op::CreateNew),
        4 => (0..8_u8, 0..12_u8).prop_map(|(n, user)| Op::Interact(n, user)),
        1 => (0..3_u8).prop_map(Op::Poison),
        4 => (0..12_u8, any::<u32>()).prop_map(|(n, name)| Op::Remote(n, name)),
        1 => (0..12_u8).prop_map(Op::Future),
        1 => (0..12_u8).prop_map(Op::Erase),
        4 => (0..FAULTS.len(), 1..60_000_u16).prop_map(|(fault, millis)| Op::Fault(FAULTS[fault], millis)),
        1 => (0..FAULTS.len()).prop_map(|fault| Op::LongFault(FAULTS[fault])),
        1 => any::<u8>().prop_map(Op::Storm),
        2 => Just(Op::Crash),
        1 => Just(Op::Sync),
        1 => Just(Op::Switch),
        1 => Just(Op::SignIn),
        10 => (1..3_000_u16).prop_map(Op::Wait),
        1 => Just(Op::LongWait),
    ]
}

/// A case: where chance begins, and 200 steps.
pub fn case() -> impl Strategy<Value = (u64, Vec<Op>)> {
    (any::<u64>(), prop::collection::vec(op(), 200))
}

/// The id of the `n`th entity of a kind.
pub fn id(kind: u8, n: u8) -> String {
    format!("{kind:08x}-0000-4000-8000-0000000000{n:02x}")
}

pub fn carry_out(sim: &mut Sim, op: &Op) {
    match *op {
        Op::Create(n) => _ = sim.push("end_user", json!({"id": id(1, n), "email": format!("{n}@example.com"), "name": n})),
        Op::Edit(n, name) => _ = sim.push("end_user", json!({"id": id(1, n), "email": format!("{n}@example.com"), "name": name})),
        Op::Delete(n) => _ = sim.push("end_user", json!({"id": id(1, n), "is_deleted": 1})),
        Op::CreateNew(bytes) => {
            let email = format!("new{}@example.com", sim.count());
            sim.push("end_user", json!({"email": email, "note": "n".repeat(usize::from(bytes))}));
        }
        Op::Interact(n, parent) => {
            // In upper case, as some applications write ids.
            let link = json!({"id": id(1, parent).to_uppercase()});
            let entity =
                json!({"id": id(2, n), "type": "call", "title": n, "description": "d", "date": "2026-01-01", "clientUser": link});
            sim.push("interactions", entity);
        }
        Op::Poison(n) => _ = sim.push("end_user", json!({"id": id(3, n), "email": format!("p{n}@example.com"), "poison": true})),
        Op::Remote(n, name) => {
            let id = id(4, n);
            sim.remote_write("end_user", &id, user(&id, name), 0);
        }
        Op::Future(n) => {
            let id = id(5, n);
            sim.remote_write("end_user", &id, user(&id, 1), 3_600_000);
        }
        Op::Erase(n) => {
            let tenant = sim.tenant();
            sim.server.erase(tenant, "end_user", usize::from(n));
        }
        Op::Fault(fault, millis) => sim.fault(fault, i64::from(millis)),
        Op::LongFault(fault) => sim.fault(fault, 1_200_000),
        Op::Storm(n) => {
            for _ in 0..n {
                sim.hint("end_user");
            }
        }
        Op::Crash => sim.crash(),
        Op::Sync => sim.sync(),
        Op::Switch => sim.switch_tenant(),
        Op::SignIn => sim.sign_in(),
        Op::Wait(millis) => sim.advance(i64::from(millis)),
        Op::LongWait => sim.advance(600_000),
    }
}
