//! What the daemon owes to the system that runs it, and what it gets from there.

#[cfg(unix)]
pub mod activation;
mod bar;
mod headline;
pub mod last_words;
pub mod log;
mod noted;
pub mod notify;
mod signals;
mod tidy;
#[cfg(unix)]
mod turn_away;
#[cfg(windows)]
pub mod windows;

pub use self::bar::Bar;
pub use self::headline::{headline, turned};
pub use self::noted::{News, Noted};
pub use self::signals::{Signal, Signals};
pub use self::tidy::Tidying;
#[cfg(unix)]
pub use self::turn_away::turn_away;
