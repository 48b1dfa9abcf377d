//! The server's texts, made fit for a log line and a status.

use std::borrow::Cow;

use secrecy::{ExposeSecret, SecretString};

/// The longest text of the server that is kept, in characters.
pub(in crate::server) const MAX_TEXT_CHARS: usize = 1_000;

/// The shortest secret that [`without`] looks for: a shorter one would be found everywhere.
const MIN_SECRET_BYTES: usize = 4;

/// The first [`MAX_TEXT_CHARS`] characters, on one line: control characters become spaces.
pub(in crate::server) fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `text` without `secret`: servers and proxies echo what they were sent (rule R41).
pub(in crate::server) fn without<'a>(text: &'a str, secret: &SecretString) -> Cow<'a, str> {
    let secret = secret.expose_secret();
    if secret.len() >= MIN_SECRET_BYTES && text.contains(secret) { text.replace(secret, "[hidden]").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_a_thousand_characters_on_one_line() {
        assert_eq!(cut("a\nb\u{1b}[31m\tc"), "a b [31m c");
        assert_eq!(cut(&"ü".repeat(5_000)), "ü".repeat(1_000));
    }

    #[test]
    fn an_echoed_secret_is_hidden() {
        let secret = SecretString::from("abc.def.ghi");
        assert_eq!(without("Bearer abc.def.ghi is no good", &secret), "Bearer [hidden] is no good");
        assert_eq!(without("e", &SecretString::from("e")), "e");
    }
}
