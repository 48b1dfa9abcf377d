//! What the actors share: where the daemon is, when they rest, and what went wrong first.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::request::Method;

/// Waits that suit a daemon which lives for a fraction of a second.
pub(crate) const SETTINGS: &str = r#"
[sync]
overlap = "2s"
[log]
filter = "info"
format = "pretty"
[tuning]
hint_delay = "20ms"
pull_gap = "40ms"
backoff_min = "20ms"
backoff_max = "200ms"
http_interval = "1s"
"#;

/// How long one call may take. A daemon that is killed closes the connection at once; this is for one that hangs.
const CALL: Duration = Duration::from_secs(20);
/// Between two knocks at a daemon that is not there.
const KNOCK: Duration = Duration::from_millis(4);
/// How long a wait for the actors or the daemon may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Shared by all threads of the test.
pub(crate) struct Stage {
    pub(crate) socket: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    resting: bool,
    stopped: bool,
    /// Actors that have nothing under way.
    idle: usize,
    wrong: Option<String>,
}

impl Stage {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits while the actors rest; false when the play is over. An actor calls it when it has nothing under way.
    pub(crate) fn next_turn(&self) -> bool {
        let mut state = self.state.lock().expect("the stage");
        state.idle += 1;
        self.changed.notify_all();
        while state.resting && !state.stopped {
            state = self.changed.wait(state).expect("the stage");
        }
        state.idle -= 1;
        !state.stopped
    }

    /// Lets `actors` finish what they have under way.
    pub(crate) fn rest(&self, actors: usize) {
        let mut state = self.state.lock().expect("the stage");
        state.resting = true;
        let deadline = Instant::now() + PATIENCE;
        while state.idle < actors {
            assert!(state.wrong.is_none(), "{}", state.wrong.as_deref().unwrap_or_default());
            assert!(Instant::now() < deadline, "only {} of {actors} came to rest", state.idle);
            state = self.changed.wait_timeout(state, Duration::from_secs(1)).expect("the stage").0;
        }
    }

    /// Ends a rest.
    pub(crate) fn go_on(&self) {
        self.state.lock().expect("the stage").resting = false;
        self.changed.notify_all();
    }

    /// Ends the play.
    pub(crate) fn stop(&self) {
        self.state.lock().expect("the stage").stopped = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().expect("the stage").stopped
    }

    /// What went wrong first, anywhere; nobody needs to go on after it.
    pub(crate) fn report(&self, wrong: String) {
        let mut state = self.state.lock().expect("the stage");
        state.wrong.get_or_insert(wrong);
        state.stopped = true;
        self.changed.notify_all();
    }

    /// Fails with what went wrong.
    pub(crate) fn check(&self) {
        let wrong = self.state.lock().expect("the stage").wrong.take();
        assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
    }

    /// A connection to the daemon, whenever there is one; `None` when the play is over.
    pub(crate) fn connect(&self) -> Option<Client> {
        while !self.is_stopped() {
            if let Ok(mut client) = Client::connect(&self.socket) {
                client.set_timeout(CALL);
                return Some(client);
            }
            thread::sleep(KNOCK);
        }
        None
    }
}

/// Lets the actors end, also when a check failed: a scope waits for its threads.
pub(crate) struct EndOfPlay<'a>(pub(crate) &'a Stage);

impl Drop for EndOfPlay<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A call's end, as an application sees it that outlives the daemon.
pub(crate) enum Called<T> {
    Answered(T),
    /// The daemon died before the answer came: nobody knows whether it was carried out.
    Lost,
    /// The daemon's own error, or none of the ways in which a killed daemon may fail.
    Wrong(String),
}

/// Calls, and sorts what came of it.
pub(crate) fn call<M: Method>(client: &mut Client, params: &M) -> Called<M::Answer> {
    match client.call(params) {
        Ok(answer) => Called::Answered(answer),
        Err(ClientError::Closed { .. }) => Called::Lost,
        Err(ClientError::Remote(error)) => Called::Wrong(format!("{}: {error:?}", M::NAME)),
        Err(error) => Called::Wrong(format!("{}: {error}", M::NAME)),
    }
}
