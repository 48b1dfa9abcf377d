//! Tokens and passwords: where they come from, and where they are kept (rules R40, R41). They never enter the engine.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aesync_protocol::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::saved::Saved;
use crate::config::AuthConfig;
use crate::engine::input::TokenFacts;
use crate::server::token::{self, Claims, MAX_TOKEN_BYTES};
use crate::server::{Credentials, ServerUrl};

/// The name of the systemd credential.
const CREDENTIAL: &str = "aesyncd.token";

/// A token with what it says of itself.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) secret: SecretString,
    pub(super) claims: Claims,
}

/// Why a secret could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The file.
    #[error("{doing} {}: {source}; check that the file is there and that the daemon's user may use it", path.display())]
    File {
        /// What was being tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Its content.
    #[error("the token in {}: {source}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: token::TokenError,
    },
}

/// What the daemon can sign in with.
#[derive(Debug)]
pub(super) struct Keyring {
    config: AuthConfig,
    saved: Saved,
    /// From `auth.login`, until the daemon stops: never written to disk.
    remembered: Option<Credentials>,
}

impl Token {
    /// A token from its text.
    pub(super) fn parse(text: &str) -> Result<Self, token::TokenError> {
        let secret = token::read(text)?;
        let claims = Claims::of(&secret)?;
        Ok(Self { secret, claims })
    }

    /// What the engine may know of it; `server` says where it is from, if that is not the server in force.
    pub(super) fn facts(&self, server: Option<&ServerUrl>) -> TokenFacts {
        TokenFacts {
            server: server.map(|server| server.as_str().to_owned()),
            tenant: self.claims.tenant.clone(),
            user: self.claims.user.clone(),
            expires_at: self.claims.expires_at,
            log: uuid::Uuid::new_v4().to_string(),
        }
    }
}

impl Keyring {
    pub(super) fn new(config: AuthConfig, state_dir: &Path) -> Self {
        Self { config, saved: Saved::new(state_dir), remembered: None }
    }

    /// Other sources apply from now on.
    pub(super) fn configure(&mut self, config: AuthConfig) {
        self.config = config;
    }

    /// The token for `server`: of those that are there, the one that lasts longest. What could not be read is reported beside it.
    pub(super) fn token(&self, server: Option<&ServerUrl>) -> (Option<Token>, Vec<SecretError>) {
        let mut problems = Vec::new();
        let mut best: Option<Token> = None;
        let saved = self.saved.token_for(server).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        for path in self.configured_files().into_iter().chain(saved) {
            match read_token(&path) {
                Ok(Some(found)) => {
                    // The first of equals: what is configured counts before what was saved.
                    if best.as_ref().is_none_or(|best| lasts(&found) > lasts(best)) {
                        best = Some(found);
                    }
                }
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        (best, problems)
    }

    /// The files in which an administrator may have put a token.
    fn configured_files(&self) -> Vec<PathBuf> {
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| PathBuf::from(dir).join(CREDENTIAL));
        let mut files: Vec<PathBuf> = self.config.token_file.clone().into_iter().chain(credential).collect();
        files.dedup();
        files
    }

    /// Whether a token can be had without a person.
    pub(super) fn can_renew(&self) -> bool {
        self.remembered.is_some() || self.config.token_file.is_some() || self.config.email.is_some()
    }

    /// E-mail and password, should there be any.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, SecretError> {
        if let Some(remembered) = &self.remembered {
            return Ok(Some(remembered.clone()));
        }
        let (Some(email), Some(path)) = (&self.config.email, &self.config.password_file) else { return Ok(None) };
        let password = read_secret(path).map_err(|source| SecretError::File {
            doing: "reading the password from",
            path: path.clone(),
            source,
        })?;
        Ok(Some(Credentials {
            email: email.clone(),
            password: SecretString::from(password.expose_secret().trim_end_matches(['\r', '\n'])),
        }))
    }

    /// Keeps e-mail and password in memory, to renew the token with.
    pub(super) fn remember(&mut self, credentials: Credentials) {
        self.remembered = Some(credentials);
    }

    /// Keeps a token of `server` for the next start.
    pub(super) fn save(&self, server: &ServerUrl, token: &SecretString) -> Result<(), SecretError> {
        self.saved.keep(server, token)
    }

    /// Forgets everything that was not configured.
    pub(super) fn forget(&mut self) -> Result<(), SecretError> {
        self.remembered = None;
        self.saved.forget_token()
    }
}

/// A token without an expiry lasts longest.
fn lasts(token: &Token) -> Timestamp {
    token.claims.expires_at.unwrap_or(Timestamp::from_millis(i64::MAX))
}

fn read_token(path: &Path) -> Result<Option<Token>, SecretError> {
    let text = match read_secret(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SecretError::File { doing: "reading the token from", path: path.to_owned(), source }),
    };
    Token::parse(text.expose_secret()).map(Some).map_err(|source| SecretError::Token { path: path.to_owned(), source })
}

/// At most a little more than the largest token: a wrong path must not fill the memory.
fn read_secret(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_TOKEN_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(SecretString::from(text))
}
