//! Files that hold a secret and nothing else.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use crate::server::token::{self, MAX_TOKEN_BYTES, TokenError};

/// The longest password, in bytes.
const MAX_PASSWORD: usize = 4096;

/// Why a secret can't be had from its file. None of the messages shows any of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file can't be read.
    #[error("reading the {what} from {}: {source}; check the path and who may read it", path.display())]
    Read {
        /// `token` or `password`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds no token.
    #[error("the token in {}: {source}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TokenError,
    },
    /// It holds no password.
    #[error("the password in {} {wrong}; the file must hold the password alone", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        wrong: &'static str,
    },
}

/// The token in a file. White space around it is cut off.
///
/// # Errors
/// [`SecretFileError`], when the file can't be read or holds no JWT.
pub fn token(path: &Path) -> Result<SecretString, SecretFileError> {
    let text = text(path, "token", MAX_TOKEN_BYTES)?;
    token::read(&text).map_err(|source| SecretFileError::Token { path: path.to_owned(), source })
}

/// The password in a file. One line end after it is cut off, other white space may belong to it.
///
/// # Errors
/// [`SecretFileError`], when the file can't be read, is empty, or has more than one line.
pub fn password(path: &Path) -> Result<SecretString, SecretFileError> {
    let text = text(path, "password", MAX_PASSWORD)?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    let wrong = |wrong| Err(SecretFileError::Password { path: path.to_owned(), wrong });
    match password {
        "" => wrong("is empty"),
        _ if password.contains(['\n', '\r', '\0']) => wrong("has more than one line"),
        _ => Ok(SecretString::from(password)),
    }
}

/// What to tell about a secret file that everybody may read or write; `None` also when it can't be told.
#[must_use]
pub fn warning(path: &Path) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        (mode & 0o006 != 0).then(|| {
            let path = path.display();
            format!("every user of this machine may read or write {path} (mode {:04o}); run: chmod o= {path}", mode & 0o7777)
        })
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

fn text(path: &Path, what: &'static str, most: usize) -> Result<Zeroizing<String>, SecretFileError> {
    let read = || -> io::Result<Zeroizing<String>> {
        // Beyond the secret itself, white space around it is read. The capacity keeps it from being moved, and thus from being left behind.
        let limit = most.saturating_add(64);
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit.saturating_add(1)));
        File::open(path)?.take(limit.saturating_add(1) as u64).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::other(format!("it holds more than {most} bytes and is no {what} file")));
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err(io::Error::other("it is not text in UTF-8")),
        }
    };
    read().map_err(|source| SecretFileError::Read { what, path: path.to_owned(), source })
}
