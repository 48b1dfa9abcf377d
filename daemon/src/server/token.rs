//! What a token says about itself.
//!
//! The signature is the server's business and can't be checked here. What is read is what the daemon needs before it asks the server:
//! whose token it is (rules R38, R39) and until when it is good (rule R40: the server does not tell an expired token from a wrong one).

use aesync_protocol::Timestamp;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

/// The longest token that is accepted, in bytes. Node refuses requests whose headers are over 16 KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

const BASE64URL: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// The claims of a token, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `companyId`, else `customerId`, in lower case: the tenant to which the server maps the token. `None`: the server refuses it.
    pub tenant: Option<String>,
    /// `email`, else `sub`, else `userId`, else nothing.
    pub user: String,
    /// `exp`: the server refuses the token from then on.
    pub expires_at: Option<Timestamp>,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
}

/// Why a text is no token. None of the messages shows any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing but white space.
    #[error("the token is empty; sign in, or put the token into the file")]
    Empty,
    /// Over [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than 16 KiB; this is not a token of the server: check which file it was read from")]
    TooLong,
    /// A character that no token has, such as a space or a line break in the middle.
    #[error(
        "the token is no JWT: it holds characters other than letters, digits, dot, hyphen and underscore; check that the file holds the token alone"
    )]
    Characters,
    /// Not three parts.
    #[error("the token is no JWT: it does not have three parts with dots between them; copy it whole")]
    Parts,
    /// The second part is no base64url.
    #[error("the token is no JWT: its second part is no base64url; copy it whole")]
    Encoding,
    /// The second part is no JSON object.
    #[error("the token is no JWT: its second part holds no JSON object; copy it whole")]
    Payload,
}

/// Reads a token as it stands in a file or was typed: white space around it is cut off, and its claims must be readable.
///
/// # Errors
/// [`TokenError`], when it is no JWT.
pub fn read(text: &str) -> Result<SecretString, TokenError> {
    let text = text.trim();
    Claims::read(text)?;
    Ok(SecretString::from(text))
}

impl Claims {
    /// The claims of `token`.
    ///
    /// # Errors
    /// [`TokenError`], when it is no JWT.
    pub fn of(token: &SecretString) -> Result<Self, TokenError> {
        Self::read(token.expose_secret())
    }

    fn read(token: &str) -> Result<Self, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Empty);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte)) {
            return Err(TokenError::Characters);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(TokenError::Parts);
        };
        if header.is_empty() || payload.is_empty() {
            return Err(TokenError::Parts);
        }
        let json = BASE64URL.decode(payload).map_err(|_| TokenError::Encoding)?;
        let claims: Map<String, Value> = serde_json::from_slice(&json).map_err(|_| TokenError::Payload)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        let user = match claims.get("userId") {
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => text("userId").map(str::to_owned),
        };
        Ok(Self {
            tenant: text("companyId").or_else(|| text("customerId")).map(str::to_lowercase),
            user: text("email").or_else(|| text("sub")).map(str::to_owned).or(user).unwrap_or_default(),
            expires_at: claims.get("exp").and_then(instant),
            issued_at: claims.get("iat").and_then(instant),
        })
    }
}

/// A JWT's NumericDate: seconds since 1970, with or without a fraction.
fn instant(value: &Value) -> Option<Timestamp> {
    if let Some(seconds) = value.as_i64() {
        return Some(Timestamp::from_millis(seconds.saturating_mul(1000)));
    }
    let millis = value.as_f64()? * 1000.0;
    // The cast saturates, and `from_millis` clamps.
    #[allow(clippy::cast_possible_truncation)]
    millis.is_finite().then(|| Timestamp::from_millis(millis.floor() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn token(claims: &Value) -> String {
        format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", BASE64URL.encode(claims.to_string()))
    }

    fn claims(value: &Value) -> Claims {
        Claims::of(&read(&token(value)).expect("a token")).expect("claims")
    }

    #[test]
    fn the_tenant_is_the_company_else_the_customer_in_lower_case() {
        for (value, tenant) in [
            (json!({"customerId": "ABC"}), Some("abc")),
            (json!({"companyId": "Firm", "customerId": "abc"}), Some("firm")),
            (json!({"companyId": "", "customerId": "abc"}), Some("abc")),
            (json!({"companyId": null, "customerId": "abc"}), Some("abc")),
            (json!({"companyId": 7}), None),
            (json!({}), None),
        ] {
            assert_eq!(claims(&value).tenant.as_deref(), tenant, "{value}");
        }
    }

    #[test]
    fn the_user_is_the_mail_address_else_the_subject_else_the_user_id() {
        for (value, user) in [
            (json!({"email": "a@b.c", "sub": "s"}), "a@b.c"),
            (json!({"sub": "s", "userId": "u"}), "s"),
            (json!({"userId": "u"}), "u"),
            (json!({"userId": 12}), "12"),
            (json!({"email": 5}), ""),
        ] {
            assert_eq!(claims(&value).user, user, "{value}");
        }
    }

    #[test]
    fn the_times_are_seconds_since_1970() {
        for (value, millis) in [
            (json!(1_767_225_600), Some(1_767_225_600_000)),
            (json!(1.9996), Some(1_999)),
            (json!(u64::MAX), Some(Timestamp::from_millis(i64::MAX).as_millis())),
            (json!(-1e300), Some(Timestamp::from_millis(i64::MIN).as_millis())),
            (json!("1767225600"), None),
            (json!(null), None),
        ] {
            let claims = claims(&json!({"exp": value, "iat": value}));
            assert_eq!(claims.expires_at.map(Timestamp::as_millis), millis, "{value}");
            assert_eq!(claims.issued_at, claims.expires_at);
        }
    }

    #[test]
    fn white_space_around_a_token_is_cut_off() {
        let text = token(&json!({"customerId": "a"}));
        assert_eq!(read(&format!("\u{feff}{text}")).err(), Some(TokenError::Characters));
        assert_eq!(read(&format!(" \t{text}\r\n")).expect("a token").expose_secret(), text);
    }

    #[test]
    fn what_is_no_jwt_is_refused_without_being_shown() {
        for (text, error) in [
            (String::new(), TokenError::Empty),
            (" \n".into(), TokenError::Empty),
            ("a".repeat(MAX_TOKEN_BYTES + 1), TokenError::TooLong),
            ("se cret.se.cret".into(), TokenError::Characters),
            ("secret\nsecret.a.b".into(), TokenError::Characters),
            ("secret".into(), TokenError::Parts),
            ("secret.secret".into(), TokenError::Parts),
            ("secret.secret.secret.secret".into(), TokenError::Parts),
            ("..".into(), TokenError::Parts),
            ("secret.a.secret".into(), TokenError::Encoding),
            ("secret.AAAA.secret".into(), TokenError::Payload),
            (format!("secret.{}.secret", BASE64URL.encode("[]")), TokenError::Payload),
        ] {
            let found = read(&text).expect_err(&text);
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_padded_payload_is_read_too() {
        let text = token(&json!({"customerId": "abcde"}));
        assert!(text.contains('='), "{text}");
        assert!(read(&text).is_ok());
        assert!(read(&text.replace('=', "")).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".*", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&text);
            let _ = read(&format!("a.{}.b", BASE64URL.encode(payload)));
        }
    }
}
