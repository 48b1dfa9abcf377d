//! The log: to stderr, filtered, in one of three formats.

mod filter;
mod journal;

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

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
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Starts the log of this process.
    ///
    /// # Errors
    /// For a filter that means nothing, and when there is a log already.
    pub fn start(config: &LogConfig) -> Result<Self, LogError> {
        let (log, subscriber) = build(config, io::stderr, io::stderr().is_terminal())?;
        subscriber.try_init()?;
        Ok(log)
    }

    /// Changes what is logged, from the next event on.
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
    let layer = layer.with_filter(filter).with_filter(filter::wire_stays_silent());
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
fn stderr_is_the_journal() -> bool {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let stderr = io::stderr().as_fd().try_clone_to_owned().and_then(|fd| std::fs::File::from(fd).metadata());
    stderr.is_ok_and(|stderr| *stream == *format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(not(unix))]
fn stderr_is_the_journal() -> bool {
    false
}
