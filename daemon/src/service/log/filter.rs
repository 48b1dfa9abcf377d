//! What is logged.

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterFn, Targets};

use crate::spelling::nearest;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Crates that see what goes over the wire or onto the disk. At their finest level they log it, tokens, passwords and rows included (rule R41).
const WIRE: [&str; 11] = [
    "tungstenite",
    "tokio_tungstenite",
    "rust_engineio",
    "rust_socketio",
    "hyper",
    "hyper_util",
    "h2",
    "reqwest",
    "native_tls",
    "openssl",
    "sled",
];

/// Checks a filter.
///
/// # Errors
/// What is wrong with it.
pub fn check_filter(text: &str) -> Result<(), String> {
    parse(text).map(|_| ())
}

/// Reads a filter. What no directive is about is logged from `error` on.
pub(super) fn parse(text: &str) -> Result<Targets, String> {
    if text.trim().is_empty() {
        return Err("it is empty; write off to log nothing".to_owned());
    }
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    for directive in &directives {
        // A misspelt level reads as the name of a crate, of which everything is logged.
        let is_word = !directive.is_empty() && directive.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_word && !LEVELS.contains(&directive.to_ascii_lowercase().as_str()) {
            let hint = nearest(directive, LEVELS).map_or_else(String::new, |level| format!("; did you mean {level}?"));
            return Err(format!("{directive:?} is no level{hint}; to log everything of a crate, write {directive}=trace"));
        }
    }
    let targets: Targets = directives.join(",").parse().map_err(|error| format!("{text:?} is no filter ({error})"))?;
    Ok(if targets.default_level().is_none() { targets.with_default(LevelFilter::ERROR) } else { targets })
}

/// Keeps the crates of [`WIRE`] from logging at trace level, whatever the filter says.
pub(super) fn wire_stays_silent() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    fn allowed(event: &Metadata<'_>) -> bool {
        let of = event.target().split("::").next().unwrap_or_default();
        *event.level() < tracing::Level::TRACE || !WIRE.contains(&of)
    }
    // The hint keeps the events that the other filter drops from being looked at.
    FilterFn::new(allowed as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::TRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_a_list_of_directives() {
        for text in ["info", "INFO", " debug ", "off", "info,aesyncd::engine=debug", "warn, aesyncd=info", "hyper=off"] {
            assert_eq!(check_filter(text), Ok(()), "{text}");
        }
        for (text, part) in [
            ("", "empty"),
            ("inof", "did you mean info?"),
            ("info,wran", "did you mean warn?"),
            ("hyper", "hyper=trace"),
            ("a=b=c", "no filter"),
            ("aesyncd=loud", "no filter"),
        ] {
            let error = check_filter(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
