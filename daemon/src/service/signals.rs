//! Signals as a stream.

use std::io;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT; on Windows Ctrl-C, or the service control manager: stop cleanly.
    Stop,
    /// SIGHUP; on Windows the service control manager's `paramchange`: read the configuration again.
    Reload,
}

/// The signals of this process, from [`Signals::listen`] on.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    streams: [(Signal, tokio::signal::unix::Signal); 3],
    #[cfg(windows)]
    ctrl_c: tokio::signal::windows::CtrlC,
    /// From the service control manager, if it started this process.
    #[cfg(windows)]
    requests: Option<tokio::sync::mpsc::Receiver<Signal>>,
}

#[cfg(unix)]
impl Signals {
    /// Takes the signals over; their default actions no longer happen. Needs a tokio runtime with its I/O driver.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let stream = |wish, kind| Ok::<_, io::Error>((wish, signal(kind)?));
        let streams = [
            stream(Signal::Stop, SignalKind::terminate())?,
            stream(Signal::Stop, SignalKind::interrupt())?,
            stream(Signal::Reload, SignalKind::hangup())?,
        ];
        Ok(Self { streams })
    }

    /// The next signal. May be dropped and called again without losing one. Several of a kind may count as one, as always with signals.
    pub async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (wish, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*wish);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

#[cfg(windows)]
impl Signals {
    /// Takes Ctrl-C over, and what the service control manager asks for.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { ctrl_c: tokio::signal::windows::ctrl_c()?, requests: super::windows::requests() })
    }

    /// The next signal. May be dropped and called again without losing one.
    pub async fn next(&mut self) -> Signal {
        // None: no more can come from there.
        let requested = async {
            match &mut self.requests {
                Some(requests) => requests.recv().await,
                None => None,
            }
        };
        tokio::select! {
            Some(()) = self.ctrl_c.recv() => Signal::Stop,
            Some(wish) = requested => wish,
            else => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn raise(signal: &str) {
        let status = std::process::Command::new("kill").args([signal, &std::process::id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    #[tokio::test]
    async fn a_hangup_asks_for_a_reload_and_an_interrupt_or_a_termination_for_a_stop() {
        let mut signals = Signals::listen().expect("signals");
        for (name, wish) in [("-HUP", Signal::Reload), ("-INT", Signal::Stop), ("-TERM", Signal::Stop), ("-HUP", Signal::Reload)]
        {
            raise(name);
            let heard = tokio::time::timeout(std::time::Duration::from_secs(10), signals.next()).await;
            assert_eq!(heard.ok(), Some(wish), "{name}");
        }
    }
}
