//! What a sign-in leaves in the state directory for the next start: the token, and the server that it is from. Only the daemon can read it.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::credentials::SecretError;
use crate::server::ServerUrl;
use crate::store::sync_dir;

/// The file that holds the token alone.
const TOKEN: &str = "token";
/// The file that holds the server's address alone.
const SERVER: &str = "server";
/// Longer than any address, in bytes.
const MAX_ADDRESS: u64 = 8 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Saved {
    dir: PathBuf,
}

impl Saved {
    /// What is kept in this directory.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The server of the last sign-in; `None` when there was none.
    ///
    /// # Errors
    /// When the file is there and can't be read, or holds no address.
    pub(crate) fn server(&self) -> Result<Option<ServerUrl>, SecretError> {
        let path = self.dir.join(SERVER);
        let failed = |source| SecretError::File { doing: "reading the server's address from", path: path.clone(), source };
        let mut text = String::new();
        match fs::File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.and_then(|file| file.take(MAX_ADDRESS).read_to_string(&mut text)).map_err(failed)?,
        };
        ServerUrl::parse(&text).map(Some).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// The file of the token, if that may be sent to `server`: a token goes to the server that it is from, and nowhere else. One that was
    /// saved without an address counts as the configured server's.
    ///
    /// # Errors
    /// As [`Saved::server`].
    pub(super) fn token_for(&self, server: Option<&ServerUrl>) -> Result<Option<PathBuf>, SecretError> {
        let fits = self.server()?.is_none_or(|saved| Some(&saved) == server);
        Ok(fits.then(|| self.dir.join(TOKEN)))
    }

    /// Keeps a token and its server. After a crash in between there is no token, rather than one beside another's server.
    ///
    /// # Errors
    /// When the files can't be written.
    pub(super) fn keep(&self, server: &ServerUrl, token: &SecretString) -> Result<(), SecretError> {
        let write = |name: &str, doing, content: &str| {
            let path = self.dir.join(name);
            write_private(&path, content.as_bytes()).map_err(|source| SecretError::File { doing, path, source })
        };
        if !matches!(self.server(), Ok(Some(saved)) if saved == *server) {
            self.forget_token()?;
            write(SERVER, "keeping the server's address in", server.as_str())?;
        }
        write(TOKEN, "keeping the token in", token.expose_secret())
    }

    /// Removes the token. The server stays: the next sign-in most likely goes there too.
    ///
    /// # Errors
    /// When the file is there and can't be removed.
    pub(super) fn forget_token(&self) -> Result<(), SecretError> {
        let path = self.dir.join(TOKEN);
        match fs::remove_file(&path) {
            Ok(()) => sync_dir(&self.dir).map_err(|source| SecretError::File { doing: "removing the token from", path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(SecretError::File { doing: "removing the token from", path, source }),
        }
    }
}

/// Writes beside the file and renames: whoever reads it finds the old or the new one, never a part.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        ServerUrl::parse(text).expect(text)
    }

    #[test]
    fn a_token_is_found_for_its_own_server_and_for_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let saved = Saved::new(dir.path());
        let (ours, other) = (url("https://a.example.org"), url("https://b.example.org"));
        assert_eq!(saved.server().expect("readable"), None);
        saved.keep(&ours, &SecretString::from("one")).expect("written");
        assert_eq!(saved.server().expect("readable"), Some(ours.clone()));
        let token = |server| saved.token_for(server).expect("readable").map(|path| fs::read_to_string(path).expect("a token"));
        assert_eq!(token(Some(&ours)).as_deref(), Some("one"));
        assert_eq!((token(Some(&other)), token(None)), (None, None));
        saved.keep(&other, &SecretString::from("two")).expect("written");
        assert_eq!((token(Some(&ours)), token(Some(&other)).as_deref()), (None, Some("two")));
    }

    #[test]
    fn when_the_server_can_not_be_written_no_token_stays_behind_for_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let saved = Saved::new(dir.path());
        saved.keep(&url("https://a.example.org"), &SecretString::from("one")).expect("written");
        fs::create_dir(dir.path().join("server.new")).expect("in the way");
        saved.keep(&url("https://b.example.org"), &SecretString::from("two")).expect_err("no file can be written there");
        assert!(!dir.path().join("token").exists());
    }

    #[test]
    fn a_token_that_was_saved_without_an_address_counts_as_the_configured_servers() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("token"), "one").expect("written");
        let found = Saved::new(dir.path()).token_for(Some(&url("https://a.example.org"))).expect("readable");
        assert_eq!(found, Some(dir.path().join("token")));
    }

    #[test]
    fn an_address_that_can_not_be_read_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("server"), "not an address").expect("written");
        let error = Saved::new(dir.path()).server().expect_err("no address").to_string();
        assert!(error.contains(&*dir.path().join("server").to_string_lossy()) && error.contains("no URL"), "{error}");
    }
}
