//! Where the server is.

use std::fmt;

use reqwest::Url;

/// The address of an AdminEngine server: `http` or `https`, a host, optionally a port and a path before `/api`.
///
/// It is kept in the normal form of the URL standard (lower-case host, no default port, a slash at the end), so that two ways to write one
/// address are one server (rule R38).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl(Url);

/// A text that is no usable server address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("the server address is no URL ({reason}); write it like https://admin.example.org")]
    NotAUrl {
        /// What the parser says.
        reason: String,
    },
    /// Its scheme is neither `http` nor `https`.
    #[error("the server address starts with {scheme:?}; only http and https are possible")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// It carries a user name or a password.
    #[error(
        "the server address carries a user name or a password; remove them and sign in with a token or with e-mail and password"
    )]
    Credentials,
    /// It carries a query or a fragment.
    #[error("the server address carries a query or a fragment; write it without everything from ? or # on")]
    Query,
}

impl ServerUrl {
    /// Reads an address as it stands in the configuration.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong with it; it never repeats credentials.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let mut url = Url::parse(text.trim()).map_err(|error| AddressError::NotAUrl { reason: error.to_string() })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme { scheme: url.scheme().to_owned() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::Query);
        }
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self(url))
    }

    /// The address in its normal form, without the slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Whether what is said to it is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL of a route such as `api/client/sync/push`.
    pub(super) fn route(&self, route: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{route}", self.0.path()));
        url
    }

    /// The URL of the socket: the path in front of `/api` stands in front of `/socket.io` as well.
    pub(super) fn socket(&self) -> Url {
        self.route("socket.io/")
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ways_to_write_one_address_are_one_server() {
        for (text, normal) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            (" HTTPS://Admin.Example.org:443/ \n", "https://admin.example.org"),
            ("https://example.org/engine//", "https://example.org/engine"),
        ] {
            assert_eq!(ServerUrl::parse(text).expect(text).as_str(), normal);
        }
    }

    #[test]
    fn routes_and_the_socket_stand_below_the_address() {
        let plain = ServerUrl::parse("http://h:1").expect("valid");
        assert_eq!(plain.route("api/client/sync/push").as_str(), "http://h:1/api/client/sync/push");
        assert_eq!(plain.socket().as_str(), "http://h:1/socket.io/");
        let below = ServerUrl::parse("https://h/engine").expect("valid");
        assert_eq!(below.route("health").as_str(), "https://h/engine/health");
        assert_eq!(below.socket().as_str(), "https://h/engine/socket.io/");
    }

    #[test]
    fn an_unusable_address_is_refused_with_the_reason_and_without_its_password() {
        for (text, part) in [
            ("", "no URL"),
            ("admin.example.org", "no URL"),
            ("ftp://h", "\"ftp\""),
            ("ws://h", "\"ws\""),
            ("http://", "no URL"),
            ("http://me:hunter2@h", "user name or a password"),
            ("http://h/?a=b", "query"),
            ("http://h/#a", "query"),
        ] {
            let message = ServerUrl::parse(text).expect_err(text).to_string();
            assert!(message.contains(part), "{text}: {message}");
            assert!(!message.contains("hunter2"));
        }
    }
}
