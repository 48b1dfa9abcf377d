//! What the watchdog is fed by: a loop that turns, and nothing less.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use aesyncd::{Daemon, Patience, StartOptions};

use crate::support::{PATIENCE, Scene, synced};

fn patience(turn: Duration) -> Patience {
    Patience { turn, ..Patience::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_loop_that_hangs_is_not_alive_though_everything_around_it_is() {
    let scene = Scene::hurried();
    let (entered, has_entered) = tokio::sync::oneshot::channel();
    let (release, released) = mpsc::channel::<()>();
    let inside = Mutex::new((Some(entered), released));
    let mut options = StartOptions::new(scene.state_dir(), scene.socket());
    // The loop reads the configuration itself, so that it stands still for as long as this takes.
    options.reload = Box::new(move || {
        let mut inside = inside.lock().expect("not poisoned");
        let _ = inside.0.take().map(|entered| entered.send(()));
        let _ = inside.1.recv();
        Err("that took long".to_owned())
    });
    let daemon = Daemon::start(scene.config.clone(), options).await.expect("the daemon starts");
    synced(&daemon).await;
    assert!(daemon.is_alive(patience(PATIENCE)).await);
    let reload = async { daemon.reload().await.expect_err("refused").message };
    let look = async {
        has_entered.await.expect("the reload has begun");
        let hangs = !daemon.is_alive(patience(Duration::from_millis(200))).await;
        release.send(()).expect("the reload waits");
        hangs
    };
    let (message, hangs) = tokio::join!(reload, look);
    assert!(hangs && message.contains("that took long"), "{hangs} {message}");
    assert!(daemon.is_alive(patience(PATIENCE)).await, "it turns again");
    daemon.stop().await;
}
