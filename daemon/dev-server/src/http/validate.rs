//! The request schemas of the sync routes, with the wording of their validator (Joi), and the token check before them.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};

use super::answer::error;
use super::intercept::{Call, Token};
use crate::schema::ENTITY_TYPES;
use crate::stamp::Stamp;

/// A 400 with the validator's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid(pub(super) String);

impl Invalid {
    pub(super) fn answer(&self) -> Response {
        error(StatusCode::BAD_REQUEST, &self.0)
    }
}

/// The tenant of the request's token, or the 401.
pub(super) fn tenant(call: &Call) -> Result<&str, Box<Response>> {
    let refusal = match &call.token {
        Token::Absent => "No token provided",
        Token::Refused => "Unauthorized",
        Token::Valid(None) => "Unauthorized - No company/customer ID",
        Token::Valid(Some(tenant)) => return Ok(tenant),
    };
    Err(Box::new(error(StatusCode::UNAUTHORIZED, refusal)))
}

/// The rows of a push in the order in which they are stored.
pub(super) type Changes<'a> = Vec<(&'a str, &'a Map<String, Value>)>;

/// Either `{changes}` or the older `{table, operation, data, timestamp}`.
pub(super) fn changes(body: &Value) -> Result<Changes<'_>, Invalid> {
    let body = object("value", body)?;
    match body.get("changes") {
        Some(changes) if body.len() == 1 => {
            let mut rows = Vec::new();
            for (entity_type, list) in object("changes", changes)? {
                let path = format!("changes.{entity_type}");
                let list = list.as_array().ok_or_else(|| Invalid(format!("\"{path}\" must be an array")))?;
                for (index, row) in list.iter().enumerate() {
                    rows.push((entity_type.as_str(), object(&format!("{path}[{index}]"), row)?));
                }
            }
            Ok(rows)
        }
        _ => single(body).map(|row| vec![row]),
    }
}

fn single(body: &Map<String, Value>) -> Result<(&str, &Map<String, Value>), Invalid> {
    const KEYS: [&str; 4] = ["table", "operation", "data", "timestamp"];
    if let Some(missing) = KEYS.iter().find(|key| !body.contains_key(**key)) {
        return Err(Invalid(format!("\"{missing}\" is required")));
    }
    let table = body.get("table").and_then(Value::as_str).ok_or_else(|| Invalid("\"table\" must be a string".into()))?;
    let data = object("data", body.get("data").unwrap_or(&Value::Null))?;
    no_other_key(body, &KEYS)?;
    Ok((table, data))
}

/// What a pull asks for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) since: Stamp,
    pub(super) entity_types: Vec<&'a str>,
}

/// `{lastSyncTimestamp, entityTypes}`; `lastSync` is another name of the first, and no `entityTypes` means all.
pub(super) fn asked(body: &Value) -> Result<Asked<'_>, Invalid> {
    const KEYS: [&str; 3] = ["lastSyncTimestamp", "lastSync", "entityTypes"];
    let body = object("value", body)?;
    let entity_types = match body.get("entityTypes") {
        None => ENTITY_TYPES.to_vec(),
        Some(Value::Array(types)) => {
            let text = |(index, value): (usize, &'_ Value)| match value {
                Value::String(_) => Ok(()),
                _ => Err(Invalid(format!("\"entityTypes[{index}]\" must be a string"))),
            };
            types.iter().enumerate().try_for_each(text)?;
            types.iter().filter_map(Value::as_str).collect()
        }
        Some(_) => return Err(Invalid("\"entityTypes\" must be an array".into())),
    };
    no_other_key(body, &KEYS)?;
    let Some((name, sent)) = KEYS[..2].iter().find_map(|name| Some((name, body.get(*name)?))) else {
        return Err(Invalid("\"value\" must contain at least one of [lastSyncTimestamp, lastSync]".into()));
    };
    let since = sent.as_str().and_then(Stamp::parse);
    let since = since.ok_or_else(|| Invalid(format!("\"{name}\" must be in ISO 8601 date format")))?;
    Ok(Asked { since: since.cut_to_millis(), entity_types })
}

fn object<'a>(path: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Invalid> {
    value.as_object().ok_or_else(|| Invalid(format!("\"{path}\" must be of type object")))
}

fn no_other_key(body: &Map<String, Value>, keys: &[&str]) -> Result<(), Invalid> {
    match body.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(other) => Err(Invalid(format!("\"{other}\" is not allowed"))),
        None => Ok(()),
    }
}
