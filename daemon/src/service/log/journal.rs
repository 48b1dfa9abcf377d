//! Lines for the journal: `<N>` in front is the priority (sd-daemon(3)); the journal has its own time stamps.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// See the module.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        context.field_format().format_fields(Writer::new(&mut text), event)?;
        // What came by way of the crate `log` is not of the target "log", but of the one that it was written for.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let priority = priority(*metadata.level());
        // Every line of a message needs the prefix, or the journal takes it for an event of its own with the default priority.
        for (index, line) in text.lines().enumerate() {
            let indent = if index == 0 { "" } else { "    " };
            writeln!(writer, "<{priority}>{}: {indent}{line}", metadata.target())?;
        }
        Ok(())
    }
}

/// The priority of syslog.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}
