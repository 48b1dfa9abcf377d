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

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        std::fs::write(&path, content).expect("writable");
        (dir, path)
    }

    #[test]
    fn one_line_end_behind_a_password_is_cut_off_and_nothing_else() {
        for (content, expected) in [
            ("hunter2", "hunter2"),
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            (" a b \n", " a b "),
            ("\u{fc}", "\u{fc}"),
        ] {
            let (_dir, path) = file(content.as_bytes());
            assert_eq!(password(&path).expect(content).expose_secret(), expected);
        }
    }

    #[test]
    fn a_token_is_read_without_the_white_space_around_it() {
        let (_dir, path) = file(b"\n eyJhIjoxfQ.eyJhIjoxfQ.c2ln \n");
        assert_eq!(super::token(&path).expect("a token").expose_secret(), "eyJhIjoxfQ.eyJhIjoxfQ.c2ln");
    }

    #[test]
    fn a_secret_that_can_not_be_had_is_refused_with_the_file_and_without_its_text() {
        let long = vec![b'x'; 20_000];
        for (content, part) in [
            (b"".as_slice(), "is empty"),
            (b"\n", "is empty"),
            (b"hunter2\nhunter2\n", "more than one line"),
            (b"hunter2\n\n", "more than one line"),
            (b"hunter2\xff", "UTF-8"),
            (&long, "more than 4096 bytes"),
        ] {
            let (_dir, path) = file(content);
            let message = password(&path).expect_err(part).to_string();
            assert!(message.contains(part) && message.contains(&path.display().to_string()), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        for (content, part) in [(b"hunter2".as_slice(), "no JWT"), (b"", "empty"), (&long, "more than 16384 bytes")] {
            let (_dir, path) = file(content);
            let message = super::token(&path).expect_err(part).to_string();
            assert!(message.contains(part) && message.contains(&path.display().to_string()), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        let missing = password(Path::new("/nowhere/secret")).expect_err("missing").to_string();
        assert!(missing.contains("/nowhere/secret") && missing.contains("No such file"), "{missing}");
    }
}
