//! Answers that are read whole.

use std::collections::BTreeMap;

use aesync_protocol::response::PendingPulled;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::listing::{self, ListingError, PageLimits};
use super::secret::SecretFields;

/// The rows of a push answer, flat and in request order; `Null` where one is no object.
pub(in crate::server) fn push(body: &[u8], secrets: &SecretFields) -> Result<Vec<Value>, String> {
    let Some(Value::Array(mut rows)) = success(body)?.remove("data") else {
        return Err("the answer has no list of rows".to_owned());
    };
    for row in &mut rows {
        match row {
            Value::Object(fields) => secrets.strip(fields),
            other => *other = Value::Null,
        }
    }
    Ok(rows)
}

/// The rows of a pull-pending answer.
pub(in crate::server) fn pending(body: &[u8], asked: &[String], secrets: &SecretFields) -> Result<PendingPulled, ListingError> {
    let whole = PageLimits { rows: usize::MAX, bytes: usize::MAX, row_bytes: body.len() };
    let mut data = BTreeMap::new();
    let listed = listing::read(body, asked, secrets, whole, &mut |page| {
        data.insert(page.entity_type, page.rows);
        true
    })?;
    for entity_type in listed.types {
        data.entry(entity_type).or_default();
    }
    Ok(PendingPulled { data, sync_timestamp: listed.sync_timestamp })
}

/// The text in an error body, as it is: `error` on sync and auth routes, `message` on the others. `None`: no error body of the server.
pub(in crate::server) fn error_message(body: &[u8]) -> Option<String> {
    let body: Map<String, Value> = serde_json::from_slice(body).ok()?;
    ["error", "message"].into_iter().find_map(|name| match body.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Object(inner) => inner.get("message").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    })
}

/// What a login brings.
#[derive(Debug)]
pub(in crate::server) struct LoginAnswer {
    pub(in crate::server) token: SecretString,
    pub(in crate::server) refresh_token: Option<SecretString>,
    /// `customer.id`, else `company.id`, in lower case.
    pub(in crate::server) tenant: Option<String>,
}

/// The answer of the login routes and of the refresh route.
pub(in crate::server) fn login(body: &[u8]) -> Result<LoginAnswer, String> {
    let mut answer = success(body)?;
    let Some(Value::Object(mut data)) = answer.remove("data") else { return Err("the answer has no data".to_owned()) };
    let tenant = ["customer", "company"].into_iter().find_map(|who| data.get(who)?.get("id")?.as_str().map(str::to_lowercase));
    let mut secret = |name: &str| match data.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(SecretString::from(text)),
        _ => None,
    };
    let Some(token) = secret("token") else { return Err("the answer has no token".to_owned()) };
    Ok(LoginAnswer { token, refresh_token: secret("refreshToken"), tenant })
}

fn success(body: &[u8]) -> Result<Map<String, Value>, String> {
    // The parser's own messages may show values, so they stay behind.
    let answer: Map<String, Value> = serde_json::from_slice(body).map_err(|_| "the answer is no JSON object".to_owned())?;
    match answer.get("success") {
        Some(Value::Bool(true)) => Ok(answer),
        _ => Err("the answer does not say that it was a success".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use secrecy::ExposeSecret;
    use serde_json::json;

    fn secrets() -> SecretFields {
        SecretFields::new(&["password".to_owned()])
    }

    #[test]
    fn a_login_brings_the_token_and_whose_it_is() {
        for (data, tenant, refresh) in [
            (json!({"token": "t", "customer": {"id": "ABC"}}), Some("abc"), None),
            (json!({"token": "t", "refreshToken": "r", "user": {"id": "u"}, "company": {"id": "Firm"}}), Some("firm"), Some("r")),
            (json!({"token": "t", "refreshToken": ""}), None, None),
            (json!({"token": "t", "customer": 7, "company": null}), None, None),
        ] {
            let answer = login(json!({"success": true, "data": data}).to_string().as_bytes()).expect("a login");
            assert_eq!(answer.token.expose_secret(), "t");
            assert_eq!(answer.tenant.as_deref(), tenant, "{data}");
            assert_eq!(answer.refresh_token.as_ref().map(ExposeSecret::expose_secret), refresh, "{data}");
        }
    }

    #[test]
    fn a_login_without_a_token_is_none() {
        for body in [
            json!({}),
            json!({"success": true}),
            json!({"success": true, "data": {"token": 5}}),
            json!({"success": true, "data": []}),
        ] {
            assert!(login(body.to_string().as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn the_text_of_an_error_stands_in_error_or_message() {
        for (body, message) in [
            (json!({"error": "a", "message": "b"}), Some("a")),
            (json!({"message": "b"}), Some("b")),
            (json!({"error": null, "message": "b"}), Some("b")),
            (json!({"error": {"message": "deep"}}), Some("deep")),
            (json!({"error": 5}), None),
            (json!(["a"]), None),
        ] {
            assert_eq!(error_message(body.to_string().as_bytes()).as_deref(), message, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte: u8) {
            let whole = json!({"success": true, "data": {"token": "a", "end_user": [{"id": 1}]}, "syncTimestamp": "2026-01-01T00:00:00Z"});
            let mut mutated = whole.to_string().into_bytes();
            let at = at.index(mutated.len());
            mutated[at] = byte;
            for body in [&bytes, &mutated] {
                let _ = push(body, &secrets());
                let _ = pending(body, &["end_user".to_owned()], &secrets());
                let _ = login(body);
                let _ = error_message(body);
            }
        }
    }
}
