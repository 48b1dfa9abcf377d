//! What an error of the network stack comes down to.
//!
//! reqwest and rust_socketio wrap the same few causes in many layers, and their outermost texts say nothing ("EngineIO Error"), so the
//! sources are walked.

use std::error::Error;
use std::io;

use super::wire::text::cut;

/// The cause at the bottom of an error, as far as anybody acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The certificate was not accepted.
    Certificate,
    /// The network: no route, no name, refused, reset, or TLS with something that does not speak it.
    Network,
    /// Something else: the peer spoke, but not what was expected.
    Other,
}

/// The cause of `error` and one sentence on it.
pub(super) fn of(error: &(dyn Error + 'static)) -> (Cause, String) {
    let mut deepest = error;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<native_tls::Error>() {
            let cause = if is_certificate(tls) { Cause::Certificate } else { Cause::Network };
            return (cause, cut(&tls.to_string()));
        }
        deepest = error;
        next = match error.downcast_ref::<io::Error>() {
            // `source()` of an io::Error passes over the error that it wraps.
            Some(io) => match io.get_ref() {
                Some(inner) if inner.source().is_some() || inner.is::<native_tls::Error>() => Some(inner),
                _ => return (Cause::Network, cut(&io.to_string())),
            },
            None => error.source(),
        };
    }
    (Cause::Other, cut(&deepest.to_string()))
}

/// Whether a TLS error is about trust. The TLS libraries have no common code for it: OpenSSL and Security.framework say it in English,
/// SChannel by a number (`CERT_E_*`, `TRUST_E_*`, `SEC_E_UNTRUSTED_ROOT`, `SEC_E_CERT_EXPIRED`, `SEC_E_WRONG_PRINCIPAL`).
fn is_certificate(error: &native_tls::Error) -> bool {
    let mut number = None;
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        number = number.or_else(|| error.downcast_ref::<io::Error>()?.raw_os_error());
        next = error.source();
    }
    let text = error.to_string().to_ascii_lowercase();
    number.is_some_and(is_schannel_trust) || text.contains("certificate") || text.contains("hostname mismatch")
}

fn is_schannel_trust(number: i32) -> bool {
    let code = number.cast_unsigned();
    matches!(code, 0x800B_0000..=0x800B_01FF | 0x8009_0322 | 0x8009_0325 | 0x8009_0327 | 0x8009_0328)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("EngineIO Error")]
    struct Wrapped(#[source] Box<dyn Error + Send + Sync>);

    #[test]
    fn the_sentence_is_the_one_at_the_bottom() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for (error, cause, part) in [
            (Wrapped(Box::new(refused())), Cause::Network, "connection refused"),
            (Wrapped(Box::new(io::Error::other(Wrapped(Box::new(refused()))))), Cause::Network, "connection refused"),
            (Wrapped(Box::new(io::Error::other("failed to lookup address information"))), Cause::Network, "failed to lookup"),
            (Wrapped("HTTP error: 400 Bad Request".into()), Cause::Other, "400 Bad Request"),
        ] {
            let (found, sentence) = of(&error);
            assert_eq!((found, sentence.contains(part)), (cause, true), "{sentence}");
        }
    }

    #[test]
    fn the_numbers_of_schannel_that_are_about_trust_are_known() {
        for (code, trust) in
            [(0x800B_0109_u32, true), (0x800B_0101, true), (0x8009_0325, true), (0x8009_0326, false), (0x8009_0308, false)]
        {
            assert_eq!(is_schannel_trust(code.cast_signed()), trust, "{code:x}");
        }
    }
}
