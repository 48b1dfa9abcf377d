//! The server that is talked to: its address, and the HTTP client for it.

use crate::config::Config;
use crate::server::{Rest, RestOptions, ServerUrl};

/// Rows of a pull that are written at a time. A page is one write set: of this size, what an application pushes meanwhile waits for some
/// milliseconds only.
const PAGE_ROWS: usize = 150;

/// See the module.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(super) url: ServerUrl,
    pub(super) rest: Rest,
}

impl Upstream {
    /// The server to start with: the configured one, else the one that the last sign-in named.
    pub(crate) fn at_start(config: &Config, remembered: Option<ServerUrl>) -> Result<Option<Self>, String> {
        let url = match &config.server.url {
            Some(text) => Some(ServerUrl::parse(text).map_err(|error| format!("server.url: {error}"))?),
            None => remembered,
        };
        url.map(|url| Self::new(url, config)).transpose().map_err(|error| format!("server: {error}"))
    }

    /// A server, reached as the configuration says.
    pub(super) fn new(url: ServerUrl, config: &Config) -> Result<Self, String> {
        let mut options = RestOptions::new(url.clone());
        options.ca_file.clone_from(&config.server.ca_file);
        options.secret_fields.clone_from(&config.replica.secret_fields);
        options.timeouts.request = config.tuning.request_timeout;
        options.timeouts.pull_headers = config.tuning.request_timeout;
        options.limits.page_rows = PAGE_ROWS;
        let rest = Rest::new(options).map_err(|error| error.to_string())?;
        Ok(Self { url, rest })
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("url", &self.url).finish_non_exhaustive()
    }
}
