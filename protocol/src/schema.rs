//! The OpenRPC document, generated from the types: what `rpc.discover` answers is this, checked in as `openrpc.json`.
//!
//! To write the file again after a change of the types: `AESYNC_WRITE=1 cargo test -p aesync-protocol --test wire openrpc`

use std::borrow::Cow;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::entity::Changes;
use crate::error::{ErrorCode, ErrorData, rpc};
use crate::event::{Channel, Event};
use crate::request::{self, Method};
use crate::time::Timestamp;

/// The version of the OpenRPC specification that the document follows.
const OPENRPC: &str = "1.3.2";

/// Where the schemas of named types stand.
const SCHEMAS: &str = "/components/schemas";

/// The document.
#[must_use]
pub fn openrpc() -> Value {
    let mut settings = SchemaSettings::draft07();
    settings.definitions_path = SCHEMAS.into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let methods = request::describe_all(&mut generator);
    let event = generator.subschema_for::<Event>();
    let application = error(&mut generator);
    json!({
        "openrpc": OPENRPC,
        "info": {
            "title": "aesyncd",
            "version": crate::PROTOCOL.to_string(),
            "description": "The local interface of aesyncd: JSON-RPC 2.0, one object a line, over a Unix socket or a named pipe. \
                Unknown fields in params are refused; clients ignore fields that they don't know.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "methods": methods,
        "x-notifications": [{
            "name": "event",
            "summary": "What a subscriber receives.",
            "params": event,
        }],
        "components": {"schemas": generator.take_definitions(true), "errors": {"application": application}},
    })
}

/// One method.
pub(crate) fn describe<M: Method + JsonSchema>(generator: &mut SchemaGenerator) -> Value
where
    M::Answer: JsonSchema,
{
    let params = M::json_schema(generator).to_value();
    let mut method = json!({
        "name": M::NAME,
        "summary": params.get("description").cloned().unwrap_or_default(),
        "paramStructure": "by-name",
        "params": params_of(&params),
        "result": {"name": "result", "schema": generator.subschema_for::<M::Answer>()},
        "errors": [{"$ref": "#/components/errors/application"}],
        "x-role": M::ROLE.as_str(),
    });
    if M::NAME == request::Subscribe::NAME
        && let Some(method) = method.as_object_mut()
    {
        let roles: Map<String, Value> =
            Channel::ALL.iter().map(|channel| (channel.as_str().to_owned(), channel.role().as_str().into())).collect();
        method.insert("x-role-by-channel".to_owned(), roles.into());
    }
    method
}

/// The fields of a params object as OpenRPC has them: a list of named schemas.
fn params_of(params: &Value) -> Vec<Value> {
    let required: Vec<&str> =
        params.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = params.get("properties").and_then(Value::as_object).into_iter().flatten();
    fields.map(|(name, schema)| json!({"name": name, "required": required.contains(&name.as_str()), "schema": schema})).collect()
}

fn error(generator: &mut SchemaGenerator) -> Value {
    let codes = generator.subschema_for::<ErrorCode>();
    let data = generator.subschema_for::<ErrorData>();
    json!({
        "code": rpc::APPLICATION,
        "message": "A sentence for people: what was tried, what went wrong, what to do next.",
        "data": {"allOf": [data, {"type": "object", "properties": {"code": codes}}]},
    })
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "ISO 8601 in UTC with milliseconds and Z.",
        })
    }
}

impl JsonSchema for Changes {
    fn schema_name() -> Cow<'static, str> {
        "Changes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Entity types, each with its entities.",
            "additionalProperties": {"type": "array", "items": {"type": "object"}},
        })
    }
}
