//! `aectl notify` and `aectl indicator`: the daemon on a desktop, for as long as they run.

mod follow;
mod icon;
mod indicator;
mod notices;
mod notify;
mod tray;

use std::io;
use std::process::ExitCode;
use std::sync::mpsc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub(super) use indicator::run as indicator;
pub(super) use notify::run as notify;

use crate::exit::Failure;

/// Ends that may wait to be read.
const ENDS: usize = 4;

/// Why the program ends: somebody asked for it, or it can't go on.
type End = Result<(), Failure>;

/// Waits until something ends the program. Nothing is polled: while nothing happens, nothing wakes.
fn until_ended(start: impl FnOnce(mpsc::SyncSender<End>) -> Result<(), Failure>) -> Result<ExitCode, Failure> {
    let (end, ended) = mpsc::sync_channel(ENDS);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|source| Failure::File {
        tried: "listening for signals".to_owned(),
        source,
        next: "start it again",
    })?;
    let by_signal = end.clone();
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            // Nobody may be left to hear it.
            let _ = by_signal.send(Ok(()));
        }
    });
    start(end)?;
    match ended.recv() {
        Ok(Err(failure)) => Err(failure),
        Ok(Ok(())) | Err(mpsc::RecvError) => Ok(ExitCode::SUCCESS),
    }
}

/// Ends the program with the session's bus, without which nobody sees anything of it.
fn end_with_bus(end: mpsc::SyncSender<End>) -> Result<(), Failure> {
    const NEXT: &str = "start it within a desktop session";
    let connection =
        zbus::blocking::Connection::session().map_err(|error| bus("connecting to the session's bus", error, NEXT))?;
    std::thread::spawn(move || {
        // Nothing is sent here; the messages end when the connection does.
        zbus::blocking::MessageIterator::from(connection).take_while(Result::is_ok).for_each(drop);
        // Nobody may be left to hear it.
        let _ = end.send(Err(bus("staying on the session's bus", "it has ended", NEXT)));
    });
    Ok(())
}

/// The session bus, or what lives there, did not do it.
fn bus(tried: &str, error: impl std::fmt::Display, next: &'static str) -> Failure {
    Failure::File { tried: tried.to_owned(), source: io::Error::other(error.to_string()), next }
}
