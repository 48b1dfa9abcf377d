//! The log: to stderr, filtered, in one of three formats.

mod filter;
mod journal;

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

pub use self::filter::check_filter;
use crate::config::{LogConfig, LogFormat};

/// Why there is no log, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter means nothing.
    #[error("setting the log filter: {0}")]
    Filter(String),
    /// There is a log already.
    #[error("starting the log: {0}; it can be started once per process")]
    Started(#[from] TryInitError),
    /// The log is gone.
    #[error("setting the log filter: {0}; restart the daemon")]
    Reload(#[from] reload::Error),
}

/// The running log.
#[derive(Clone, Debug)]
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
}

impl Log {
    /// Starts the log of this process.
    ///
    /// # Errors
    /// For a filter that means nothing, and when there is a log already.
    pub fn start(config: &LogConfig) -> Result<Self, LogError> {
        Self::start_into(config, io::stderr, io::stderr().is_terminal())
    }

    /// The same into any writer, with or without colours.
    ///
    /// # Errors
    /// As [`Log::start`].
    pub fn start_into<W>(config: &LogConfig, writer: W, colour: bool) -> Result<Self, LogError>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let (log, subscriber) = build(config, writer, colour)?;
        subscriber.try_init()?;
        Ok(log)
    }

    /// Changes what is logged, from the next event on. Dependencies that use the `log` crate stay below the level of the start.
    ///
    /// # Errors
    /// For a filter that means nothing; the old one stays.
    pub fn set_filter(&self, text: &str) -> Result<(), LogError> {
        Ok(self.filter.reload(filter::parse(text).map_err(LogError::Filter)?)?)
    }
}

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

fn build<W>(config: &LogConfig, writer: W, colour: bool) -> Result<(Log, impl Subscriber + Send + Sync + 'static), LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter::parse(&config.filter).map_err(LogError::Filter)?);
    let lines = fmt::layer().with_writer(writer).with_ansi(colour);
    let layer: Boxed = match resolved(config.format) {
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
        LogFormat::Journal => lines.event_format(journal::Lines).with_ansi(false).boxed(),
        LogFormat::Pretty | LogFormat::Auto => lines.boxed(),
    };
    let layer = layer.with_filter(filter.and(filter::wire_stays_silent()));
    Ok((Log { filter: handle }, tracing_subscriber::registry().with(layer)))
}

fn resolved(format: LogFormat) -> LogFormat {
    match format {
        LogFormat::Auto if stderr_is_the_journal() => LogFormat::Journal,
        LogFormat::Auto => LogFormat::Pretty,
        chosen => chosen,
    }
}

/// Whether stderr is the stream that systemd connected to the journal: `JOURNAL_STREAM` holds its device and inode. The variable alone is
/// inherited by everything that a service starts.
#[cfg(unix)]
pub(super) fn stderr_is_the_journal() -> bool {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let stderr = io::stderr().as_fd().try_clone_to_owned().and_then(|fd| std::fs::File::from(fd).metadata());
    stderr.is_ok_and(|stderr| *stream == *format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(not(unix))]
pub(super) fn stderr_is_the_journal() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().expect("not poisoned"))).expect("UTF-8")
        }
    }

    /// The lines that `events` log, and what it may do with the log.
    fn logged(filter: &str, format: LogFormat, events: impl FnOnce(&Log, &Lines)) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let config = LogConfig { filter: filter.to_owned(), format };
        let (log, subscriber) = build(&config, move || writer.clone(), false).expect("a filter");
        tracing::subscriber::with_default(subscriber, || events(&log, &lines));
        lines.take()
    }

    #[test]
    fn a_line_for_the_journal_has_its_priority_in_front_and_no_time() {
        let text = logged("trace", LogFormat::Journal, |_, _| {
            tracing::error!(target: "t", code = 7, "broken");
            tracing::warn!(target: "t", "one\ntwo\n");
            tracing::info!(target: "t", "fine");
            tracing::debug!(target: "t", "detail");
            tracing::trace!(target: "t", "more");
        });
        assert_eq!(text, "<3>t: broken code=7\n<4>t: one\n<4>t:     two\n<6>t: fine\n<7>t: detail\n<7>t: more\n");
    }

    #[test]
    fn a_line_of_json_is_one_object() {
        let text = logged("info", LogFormat::Json, |_, _| tracing::info!(target: "t", count = 2, "one\ntwo"));
        let value: serde_json::Value = serde_json::from_str(text.strip_suffix('\n').expect("a line")).expect("JSON");
        assert_eq!(value["message"], "one\ntwo");
        assert_eq!((&value["level"], &value["target"], &value["count"]), (&"INFO".into(), &"t".into(), &2.into()));
        assert!(value["timestamp"].is_string(), "{value}");
    }

    #[test]
    fn a_pretty_line_has_its_time_its_level_and_its_target() {
        let text = logged("info", LogFormat::Pretty, |_, _| tracing::info!(target: "t", "fine"));
        assert!(text.starts_with("20") && text.ends_with(" INFO t: fine\n"), "{text}");
    }

    #[test]
    fn a_new_filter_counts_from_the_next_event_on_and_a_wrong_one_changes_nothing() {
        let text = logged("info", LogFormat::Journal, |log, lines| {
            tracing::debug!(target: "t", "one");
            log.set_filter("warn,t=debug").expect("a filter");
            tracing::debug!(target: "t", "two");
            tracing::info!(target: "u", "three");
            let error = log.set_filter("t=loud").expect_err("no filter").to_string();
            assert!(error.contains("t=loud"), "{error}");
            tracing::debug!(target: "t", "four");
            assert_eq!(lines.take(), "<7>t: two\n<7>t: four\n");
            log.set_filter("off").expect("a filter");
            tracing::error!(target: "t", "five");
        });
        assert_eq!(text, "");
    }

    #[test]
    fn what_goes_over_the_wire_is_never_logged() {
        let text = logged("trace,tungstenite::protocol=trace", LogFormat::Journal, |_, _| {
            tracing::trace!(target: "tungstenite::protocol", "hunter2");
            tracing::trace!(target: "hyper", "hunter2");
            tracing::debug!(target: "hyper::client", "pooled");
            tracing::trace!(target: "hyperbole", "ours");
        });
        assert_eq!(text, "<7>hyper::client: pooled\n<7>hyperbole: ours\n");
    }
}
