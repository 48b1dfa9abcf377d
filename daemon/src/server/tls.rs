//! Whom to trust: one configuration of TLS for HTTP and for the websocket.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use native_tls::{Certificate, Protocol, TlsConnector};

use super::address::ServerUrl;

/// More than any bundle of certificates has: the whole of Mozilla's is 230 KB.
const MAX_CA_FILE: u64 = 4 * 1024 * 1024;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA file can't be read.
    #[error("reading the CA file {}: {source}; check the path and who may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The CA file holds no certificate.
    #[error("the CA file {} holds no certificate in PEM form; it must have at least one block BEGIN CERTIFICATE", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What the TLS library says, if it says anything.
        source: Option<native_tls::Error>,
    },
    /// The TLS library failed.
    #[error("setting up TLS: {0}; check the installation of the system's TLS library")]
    Library(#[from] native_tls::Error),
}

/// A connector that trusts the system's authorities and those in `ca_file`, with TLS 1.2 or newer. For a `server` that is talked to
/// without TLS it keeps none of the system's: they take two megabytes.
pub(super) fn connector(server: &ServerUrl, ca_file: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let mut builder = TlsConnector::builder();
    builder.min_protocol_version(Some(Protocol::Tlsv12));
    builder.disable_built_in_roots(!server.is_encrypted());
    if let Some(path) = ca_file {
        for authority in authorities(path)? {
            builder.add_root_certificate(authority);
        }
    }
    Ok(builder.build()?)
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, TlsError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut pem = Vec::new();
        File::open(path)?.take(MAX_CA_FILE + 1).read_to_end(&mut pem)?;
        if pem.len() as u64 > MAX_CA_FILE {
            return Err(io::Error::other("it is larger than 4 MiB"));
        }
        Ok(pem)
    };
    let pem = read().map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    match Certificate::stack_from_pem(&pem) {
        Ok(found) if found.is_empty() => Err(TlsError::NoCertificate { path: path.to_owned(), source: None }),
        Ok(found) => Ok(found),
        Err(source) => Err(TlsError::NoCertificate { path: path.to_owned(), source: Some(source) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ServerUrl {
        ServerUrl::parse("https://127.0.0.1:1").expect("valid")
    }

    #[test]
    fn a_ca_file_that_is_missing_or_holds_no_certificate_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = connector(&server(), Some(&dir.path().join("none.pem"))).expect_err("missing").to_string();
        assert!(missing.contains("none.pem") && missing.contains("check the path"), "{missing}");

        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let path = dir.path().join("ca.pem");
            std::fs::write(&path, text).expect("writable");
            let message = connector(&server(), Some(&path)).expect_err(text).to_string();
            assert!(message.contains("ca.pem") && message.contains("no certificate"), "{message}");
        }
    }

    #[test]
    fn every_certificate_of_a_bundle_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        let bundle: String = (0..3)
            .map(|n| rcgen::generate_simple_self_signed(vec![format!("h{n}")]).expect("a certificate").cert.pem())
            .collect();
        std::fs::write(&path, bundle).expect("writable");
        assert_eq!(authorities(&path).expect("a bundle").len(), 3);
        assert!(connector(&server(), Some(&path)).is_ok());
    }
}
