//! One scene with its faults: a daemon that is synced, work on both sides while they strike, and what must be so in the end.

use std::time::{Duration, Instant};

use adminengine_dev::{Fault, Rule, SocketEnd, World};
use aesync_protocol::request::{AuthSetToken, OutboxRetry, PushWait, Sync};
use aesyncd::Daemon;
use serde_json::{Value, json};

use crate::support::apps::{call, change, push, try_call};
use crate::support::truth::{converged, divergence};
use crate::support::{PATIENCE, Scene, synced};
use crate::table::Stay::{Lasting, Passing};
use crate::table::{POISON, Switch};

/// While faults strike, both sides work this many times at most where one fault may keep another from striking.
const ROUNDS: u32 = 25;

/// Faults that are in force together.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Each is over after some requests.
    pub(crate) passing: Vec<Rule>,
    /// In force until the daemon was judged under them.
    pub(crate) lasting: Vec<Rule>,
    /// The codes of which one may be reported in the place of convergence.
    pub(crate) ends: Vec<&'static str>,
    /// Whether the passing ones must be used up.
    pub(crate) must_strike: bool,
}

impl Case {
    /// Switches of the table, set together.
    pub(crate) fn of(switches: &[&Switch]) -> Self {
        let mut case = Self { passing: Vec::new(), lasting: Vec::new(), ends: Vec::new(), must_strike: switches.len() == 1 };
        for switch in switches {
            match &switch.stay {
                Passing(rule) => case.passing.push(rule.clone()),
                Lasting(rule) => case.lasting.push(rule.clone()),
            }
            case.ends.extend(switch.ends);
        }
        case
    }

    /// Whether logins count: then the daemon has credentials in the place of a token, and starts once more when the faults are there.
    fn concerns_logins(&self) -> bool {
        self.passing.iter().chain(&self.lasting).any(|rule| *rule.fault() == Fault::LoginOutage)
    }

    /// Puts everything in force; gives what tells whether the passing ones have all struck.
    fn begin(&self, world: &World) -> impl Fn(&World) -> bool + use<> {
        for rule in &self.lasting {
            world.faults().add(rule.clone());
        }
        let passing: Vec<_> = self.passing.iter().map(|rule| world.faults().add(rule.clone())).collect();
        move |world: &World| world.faults().active().iter().all(|(id, _)| !passing.contains(id))
    }

    fn is_reported(&self, daemon: &Daemon) -> Option<&'static str> {
        let status = daemon.status().borrow().clone();
        self.ends.iter().copied().find(|code| status.attention.iter().any(|attention| attention.code == *code))
    }

    /// The daemon ends converged or with a code of its own; and converged, once the faults are gone and a person did what the code asks
    /// for.
    pub(crate) async fn play(self) {
        let mut scene = Scene::hurried();
        scene.config.sync.interval = Duration::from_millis(500);
        scene.config.tuning.ping_interval = Duration::from_millis(300);
        scene.config.tuning.silence = Duration::from_secs(2);
        furnish(&scene);
        if self.concerns_logins() {
            use_credentials(&mut scene);
        }
        let mut daemon = scene.start().await;
        synced(&daemon).await;
        let all_struck = self.begin(&scene.world);
        if self.concerns_logins() {
            daemon.stop().await;
            daemon = scene.start().await;
        } else {
            scene.world.end_sockets(SocketEnd::Cut, None);
        }
        self.work(&scene, &daemon, all_struck).await;

        let start = Instant::now();
        let reported = loop {
            if let Some(code) = self.is_reported(&daemon) {
                break Some(code);
            }
            let Some(why) = divergence(&scene, &daemon).await else { break None };
            assert!(
                start.elapsed() < PATIENCE,
                "not converged, and none of {:?}: {why}; {:#?}",
                self.ends,
                *daemon.status().borrow()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        scene.world.faults().clear();
        if let Some(code) = reported {
            heal(&scene, &daemon, code).await;
        }
        converged(&scene, &daemon).await;
        for row in scene.world.rows(&scene.tenant, "end_user") {
            let id = row["id"].as_str().expect("an id");
            assert_eq!(scene.world.writes(&scene.tenant, "end_user", id).inserted, 1, "{row}");
        }
        daemon.stop().await;
    }

    /// Both sides work until every passing fault has struck as often as it should.
    async fn work(&self, scene: &Scene, daemon: &Daemon, all_struck: impl Fn(&World) -> bool) {
        let start = Instant::now();
        let mut round = 0;
        while round < 2 || (!all_struck(&scene.world) && self.is_reported(daemon).is_none()) {
            assert!(start.elapsed() < PATIENCE, "it did not strike; {:#?}", daemon.status().borrow());
            if !self.must_strike && round >= ROUNDS {
                return;
            }
            round += 1;
            self.enqueue(daemon, "end_user", json!({ "email": format!("{round}@local.example"), "password": "hush" })).await;
            if round == 1 {
                let mut poison = about("poison");
                poison["id"] = POISON.into();
                self.enqueue(daemon, "interactions", poison).await;
            }
            let device = scene.world.device(&scene.tenant);
            device.insert("end_user", &json!({ "email": format!("{round}@remote.example") })).expect("inserted");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Before the first sign-in there is nobody whose changes they could be.
    async fn enqueue(&self, daemon: &Daemon, entity_type: &str, entity: Value) {
        if self.concerns_logins() {
            while try_call(daemon, change(entity_type, vec![entity.clone()], PushWait::Queued)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        } else {
            push(daemon, entity_type, entity, PushWait::Queued).await;
        }
    }
}

fn about(title: &str) -> Value {
    json!({"type": "call", "title": title, "description": "d", "date": "2026-01-01T10:00:00.000Z"})
}

/// Rows that are there before anything goes wrong.
fn furnish(scene: &Scene) {
    let device = scene.world.device(&scene.tenant);
    for count in 0..5 {
        let user = device.insert("end_user", &json!({ "email": format!("{count}@first.example"), "password": "hush" }));
        let mut row = about(&count.to_string());
        row["clientUser"] = json!({ "id": user.expect("inserted")["id"] });
        device.insert("interactions", &row).expect("inserted");
    }
}

fn use_credentials(scene: &mut Scene) {
    let file = scene.dir.path().join("the.password");
    std::fs::write(&file, "correct horse").expect("written");
    scene.config.auth.token_file = None;
    scene.config.auth.email = Some("ada@example.com".to_owned());
    scene.config.auth.password_file = Some(file);
}

/// What a person does who reads the code.
async fn heal(scene: &Scene, daemon: &Daemon, code: &str) {
    match code {
        "quarantined" => drop(call(daemon, OutboxRetry { all: Some(true), entries: None }).await),
        "auth_required" => {
            let token = scene.world.token(&scene.tenant);
            drop(call(daemon, AuthSetToken { token, tenant_id: None }).await);
        }
        "push_stopped" => drop(try_call(daemon, Sync {}).await),
        other => panic!("nobody knows what to do about {other}"),
    }
}
